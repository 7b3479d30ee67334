//! The company on a socket.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use super::Company;

/// The largest body, in bytes.
const MAX_BODY: usize = 16 << 20;
/// How long a head may take.
const HEAD: Duration = Duration::from_secs(5);

impl Company {
    /// Answers on a socket for as long as it is polled. Every answer closes
    /// its connection, as those of Odoo's prefork server do.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            let company = Arc::clone(&self);
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let company = Arc::clone(&company);
                    async move { Ok::<_, Infallible>(company.receive(request).await) }
                });
                let served = http1::Builder::new()
                    .keep_alive(false)
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD)
                    .serve_connection(TokioIo::new(stream), service);
                // A client that hangs up is its own affair.
                drop(served.await);
            });
        }
    }

    async fn receive(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
            let mut refused = Response::new(Full::default());
            *refused.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
            return refused;
        };
        self.answer(&Request::from_parts(head, body.to_bytes()))
            .map(Full::new)
    }
}
