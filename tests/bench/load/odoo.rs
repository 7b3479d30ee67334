//! The sample company, counting the calls that reach it.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Collected, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use odoo_sim::FakeOdoo;

/// The duration of one call: long enough for clients to disconnect meanwhile.
const CALL_DURATION: Duration = Duration::from_millis(2);

/// An Odoo that counts calls by the trace they belong to.
pub(super) struct CountingOdoo {
    address: SocketAddr,
    calls_by_trace: Arc<Mutex<HashMap<u128, u32>>>,
}

impl CountingOdoo {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let calls_by_trace = Arc::new(Mutex::new(HashMap::new()));
        let counting = Arc::clone(&calls_by_trace);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(serve(listener, counting));
        });
        Self {
            address,
            calls_by_trace,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn calls(&self) -> u32 {
        self.calls_by_trace.lock().unwrap().values().sum()
    }

    pub(super) fn calls_by_trace(&self) -> HashMap<u128, u32> {
        self.calls_by_trace.lock().unwrap().clone()
    }
}

async fn serve(listener: TcpListener, counted: Arc<Mutex<HashMap<u128, u32>>>) {
    let company = Arc::new(FakeOdoo::new(jiff::civil::date(2026, 11, 21)));
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (company, counted) = (Arc::clone(&company), Arc::clone(&counted));
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let (company, counted) = (Arc::clone(&company), Arc::clone(&counted));
                async move {
                    let (head, body) = request.into_parts();
                    // The rest of a request is missing if its client
                    // disconnected.
                    let body = body.collect().await;
                    let body = body.map_or_else(|_| Bytes::new(), Collected::to_bytes);
                    // Not a ping.
                    if head.method == http::Method::POST {
                        let parent = head.headers["traceparent"].to_str().unwrap();
                        let trace = u128::from_str_radix(parent.split('-').nth(1).unwrap(), 16);
                        *counted.lock().unwrap().entry(trace.unwrap()).or_default() += 1;
                    }
                    tokio::time::sleep(CALL_DURATION).await;
                    let answer = company.handle(&Request::from_parts(head, body));
                    Ok::<_, Infallible>(answer.map(Full::new))
                }
            });
            let mut server = http1::Builder::new();
            server.keep_alive(false);
            // Errors of a client that disconnects are ignored.
            drop(server.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}
