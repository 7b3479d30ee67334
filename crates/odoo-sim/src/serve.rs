//! The company on a socket.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use super::{
    FakeOdoo,
    mishap::{FaultPoint, InjectedFault},
    refusal::FakeOdooError,
};

/// The largest body, in bytes.
const MAX_BODY_BYTES: usize = 16 << 20;
/// How long a head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

impl FakeOdoo {
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
                    async move { company.handle_http(request).await }
                });
                let served = http1::Builder::new()
                    .keep_alive(false)
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_TIMEOUT)
                    .serve_connection(TokioIo::new(stream), service);
                // A client that hangs up is its own affair.
                drop(served.await);
            });
        }
    }

    /// Answers, or closes the connection when a test wants that.
    async fn handle_http(
        self: &Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, ConnectionAborted> {
        let (head, body) = request.into_parts();
        let Ok(body) = Limited::new(body, MAX_BODY_BYTES).collect().await else {
            let mut refused = Response::new(Full::default());
            *refused.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
            return Ok(refused);
        };
        let request = Request::from_parts(head, body.to_bytes());
        let Some(mishap) = self.take_fault(request.uri().path()) else {
            return Ok(self.handle(&request).map(Full::new));
        };
        let done = (mishap.point == FaultPoint::AfterCommit).then(|| self.handle(&request));
        match mishap.fault {
            InjectedFault::SerializationFailure => Ok(FakeOdooError::serialization_failure()
                .into_response()
                .map(Full::new)),
            InjectedFault::CloseConnection => Err(ConnectionAborted),
            InjectedFault::InternalError => Ok(FakeOdooError::internal_error()
                .into_response()
                .map(Full::new)),
            InjectedFault::Hold { reached, released } => {
                let company = Arc::clone(self);
                // On its own: Odoo goes on when the client has hung up.
                let held = tokio::spawn(async move {
                    reached.add_permits(1);
                    // It is never closed, so this is only left by being let go.
                    if let Ok(permit) = released.acquire().await {
                        permit.forget();
                    }
                    done.unwrap_or_else(|| company.handle(&request))
                });
                held.await
                    .map(|response| response.map(Full::new))
                    .or(Err(ConnectionAborted))
            }
        }
    }
}

/// The connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is cut")]
struct ConnectionAborted;
