//! The servers that the gateway calls, on one loopback address.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Collected, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, runtime::Runtime};

/// How the servers answer a request.
type Handler = Box<dyn FnMut(&Request<Bytes>) -> Response<Bytes> + Send>;

/// A server whose answers each input decides.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    handler: Arc<Mutex<Handler>>,
}

impl Peer {
    /// Starts a server that runs in this runtime.
    pub(crate) fn start(runtime: &Runtime) -> Self {
        let handler: Handler = Box::new(|_| Response::default());
        let handler = Arc::new(Mutex::new(handler));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(serve(listener, Arc::clone(&handler)));
        Self { address, handler }
    }

    /// Answers like this from now on.
    pub(crate) fn answer_with(
        &self,
        handler: impl FnMut(&Request<Bytes>) -> Response<Bytes> + Send + 'static,
    ) {
        *lock(&self.handler) = Box::new(handler);
    }
}

async fn serve(listener: TcpListener, handler: Arc<Mutex<Handler>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let handler = Arc::clone(&handler);
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let handler = Arc::clone(&handler);
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await;
                    let body = body.map_or_else(|_| Bytes::new(), Collected::to_bytes);
                    let answer = lock(&handler)(&Request::from_parts(head, body));
                    Ok::<_, Infallible>(answer.map(Full::new))
                }
            });
            // The gateway closes the connection when it is dropped.
            drop(
                http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await,
            );
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
