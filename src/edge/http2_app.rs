//! Serving one HTTP/2 connection, whose streams are counted.

use std::sync::Arc;

use async_trait::async_trait;
use pingora::{
    apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream},
    protocols::http::{ServerSession, v2::server::H2Options},
    server::ShutdownWatch,
};

use super::connections::PlacedConnection;

/// Serves one HTTP/2 connection with another app, and counts its open streams, so
/// that it can make room for other connections while it has none.
pub(super) struct Http2App<A> {
    pub(super) app: Arc<A>,
    pub(super) connection: Arc<PlacedConnection>,
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> HttpServerApp for Http2App<A> {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        // Dropping the session resets the stream; its request was not read.
        let _open = self.connection.start_stream()?;
        self.app.process_new_http(session, shutdown).await
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.app.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.app.server_options()
    }
}
