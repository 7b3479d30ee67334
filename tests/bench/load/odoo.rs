//! The sample company, counting the calls that reach it.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Collected, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use odoo_sim::FakeOdoo;
use serde_json::Value;
use tokio::runtime::Runtime;

/// The duration of one call: long enough for clients to disconnect meanwhile.
const CALL_DURATION: Duration = Duration::from_millis(2);

/// The trace of a call that belongs to no request.
pub(super) const NO_TRACE: u128 = 0;

/// An Odoo that counts calls by the trace they belong to, and changes. It can be
/// restarted, with its records.
pub(super) struct CountingOdoo {
    address: SocketAddr,
    served: Arc<Served>,
    runtime: Option<Runtime>,
}

/// What all connections share.
struct Served {
    company: FakeOdoo,
    counts: Mutex<OdooCounts>,
}

/// What was counted.
#[derive(Default)]
struct OdooCounts {
    calls_by_trace: HashMap<u128, u32>,
    /// How often each change was made: `create NAME`, `write NAME`, `unlink ID`.
    changes: HashMap<String, u32>,
}

impl CountingOdoo {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut odoo = Self {
            address: listener.local_addr().unwrap(),
            served: Arc::new(Served {
                company: FakeOdoo::new(jiff::civil::date(2026, 11, 21)),
                counts: Mutex::default(),
            }),
            runtime: None,
        };
        odoo.serve(listener);
        odoo
    }

    /// Stops in the middle of everything. A call was made or not.
    pub(super) fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(10));
        }
    }

    /// Starts again at the same address.
    pub(super) fn restart(&mut self) {
        self.serve(TcpListener::bind(self.address).unwrap());
    }

    fn serve(&mut self, listener: TcpListener) {
        listener.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.spawn(serve(listener, Arc::clone(&self.served)));
        self.runtime = Some(runtime);
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn calls(&self) -> u32 {
        let counts = self.served.counts.lock().unwrap();
        counts.calls_by_trace.values().sum()
    }

    pub(super) fn calls_by_trace(&self) -> HashMap<u128, u32> {
        self.served.counts.lock().unwrap().calls_by_trace.clone()
    }

    pub(super) fn changes(&self) -> HashMap<String, u32> {
        self.served.counts.lock().unwrap().changes.clone()
    }
}

async fn serve(listener: TcpListener, served: Arc<Served>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let served = Arc::clone(&served);
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let served = Arc::clone(&served);
                async move {
                    let (head, body) = request.into_parts();
                    // The rest of a request is missing if its client
                    // disconnected.
                    let body = body.collect().await;
                    let body = body.map_or_else(|_| Bytes::new(), Collected::to_bytes);
                    let request = Request::from_parts(head, body);
                    // Not a ping.
                    if request.method() == http::Method::POST {
                        served.count_call(&request);
                    }
                    tokio::time::sleep(CALL_DURATION).await;
                    let answer = served.company.handle(&request);
                    if answer.status() == http::StatusCode::OK {
                        served.count_changes(&request);
                    }
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

impl Served {
    fn count_call(&self, request: &Request<Bytes>) {
        let trace = request
            .headers()
            .get("traceparent")
            .map_or(NO_TRACE, |parent| {
                let parent = parent.to_str().unwrap();
                u128::from_str_radix(parent.split('-').nth(1).unwrap(), 16).unwrap()
            });
        let mut counts = self.counts.lock().unwrap();
        *counts.calls_by_trace.entry(trace).or_default() += 1;
    }

    fn count_changes(&self, request: &Request<Bytes>) {
        let method = request.uri().path().rsplit('/').next().unwrap();
        if !["create", "write", "unlink"].contains(&method) {
            return;
        }
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        let changed: Vec<String> = match method {
            "create" => {
                let records = body["vals_list"].as_array().unwrap().iter();
                records.map(|one| one["name"].to_string()).collect()
            }
            "write" => vec![body["vals"]["name"].to_string()],
            _ => {
                let ids = body["ids"].as_array().unwrap().iter();
                ids.map(Value::to_string).collect()
            }
        };
        let mut counts = self.counts.lock().unwrap();
        for one in changed {
            *counts.changes.entry(format!("{method} {one}")).or_default() += 1;
        }
    }
}
