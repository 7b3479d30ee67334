//! Serves the simulated Odoo on a socket.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use super::{
    error::FakeOdooError,
    fake_odoo::FakeOdoo,
    fault_injection::{FaultPoint, InjectedFault},
};

/// The largest request body, in bytes.
const MAX_BODY_BYTES: usize = 16 << 20;
/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

impl FakeOdoo {
    /// Serves connections until the future is dropped. Each response closes its
    /// connection, as Odoo's prefork server does.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            let odoo = Arc::clone(&self);
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let odoo = Arc::clone(&odoo);
                    async move { odoo.handle_http(request).await }
                });
                let served = http1::Builder::new()
                    .keep_alive(false)
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_TIMEOUT)
                    .serve_connection(TokioIo::new(stream), service);
                // A client that disconnects is not an error here.
                drop(served.await);
            });
        }
    }

    /// Answers a request, or injects the fault that a test has arranged.
    async fn handle_http(
        self: &Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, ConnectionAborted> {
        let (head, body) = request.into_parts();
        let Ok(body) = Limited::new(body, MAX_BODY_BYTES).collect().await else {
            let mut rejected = Response::new(Full::default());
            *rejected.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
            return Ok(rejected);
        };
        let request = Request::from_parts(head, body.to_bytes());
        let Some(fault) = self.pending_faults.take(request.uri().path()) else {
            return Ok(self.handle(&request).map(Full::new));
        };
        let done = (fault.point == FaultPoint::AfterCommit).then(|| self.handle(&request));
        match fault.fault {
            InjectedFault::SerializationFailure => Ok(FakeOdooError::serialization_failure()
                .into_response()
                .map(Full::new)),
            InjectedFault::CloseConnection => Err(ConnectionAborted),
            InjectedFault::InternalError => Ok(FakeOdooError::internal_error()
                .into_response()
                .map(Full::new)),
            InjectedFault::ProxyPage(status) => {
                let mut page = Response::new(Full::from("<html></html>"));
                *page.status_mut() = status;
                let html = HeaderValue::from_static("text/html");
                page.headers_mut().insert(CONTENT_TYPE, html);
                Ok(page)
            }
            InjectedFault::Hold { reached, released } => {
                let odoo = Arc::clone(self);
                // In its own task: Odoo continues after the client disconnects.
                let held = tokio::spawn(async move {
                    reached.add_permits(1);
                    // The semaphore is never closed, so this ends only on release.
                    if let Ok(permit) = released.acquire().await {
                        permit.forget();
                    }
                    done.unwrap_or_else(|| odoo.handle(&request))
                });
                held.await
                    .map(|response| response.map(Full::new))
                    .or(Err(ConnectionAborted))
            }
        }
    }
}

/// The connection ends without a response.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed without a response")]
struct ConnectionAborted;
