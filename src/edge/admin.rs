//! What operators look at: `/livez`, `/readyz`, `/metrics`.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use pingora::{
    apps::{HttpServerApp, ReusedHttpStream},
    protocols::http::ServerSession,
    server::ShutdownWatch,
};
use serde_json::{Map, Value, json};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use tracing::error;

use super::{
    bounds::Bounds,
    drain::Drain,
    head::{self, HeadOutcome},
    service::Host,
    write::{self, ResponseOptions},
};
use crate::{
    gateway::HttpResponse,
    telemetry::{MetricsSnapshot, Readiness, RequestLog, Telemetry},
};
use gatepost_base::TraceId;

/// How long an answer to `/readyz` is given again, so that nobody can make us
/// hammer Odoo by asking.
const READINESS_TTL: Duration = Duration::from_secs(2);

/// How long all instances may take to answer it. Clearly more than the 3 s of a
/// ping (`upstream/link.rs`): else one Odoo that hangs makes the others late too.
const READINESS_TIMEOUT: Duration = Duration::from_secs(5);

/// The operators' listener.
pub(super) struct Admin<H> {
    gateway: Arc<ArcSwap<H>>,
    telemetry: Arc<Telemetry>,
    bounds: Bounds,
    drain: Arc<Drain>,
    /// Held while Odoo is asked, so that it is asked once.
    cached_readiness: Mutex<Option<(Instant, Readiness)>>,
}

impl<H: Host> Admin<H> {
    pub(super) fn new(
        gateway: Arc<ArcSwap<H>>,
        telemetry: Arc<Telemetry>,
        bounds: Bounds,
        drain: Arc<Drain>,
    ) -> Self {
        Self {
            gateway,
            telemetry,
            bounds,
            drain,
            cached_readiness: Mutex::new(None),
        }
    }

    pub(super) async fn respond(&self, method: &Method, path: &str) -> HttpResponse {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let allow = HeaderValue::from_static("GET, HEAD");
            return HttpResponse::empty(StatusCode::METHOD_NOT_ALLOWED)
                .with_header(header::ALLOW, allow);
        }
        match path {
            "/livez" => text_response(Bytes::from_static(b"ok\n"), "text/plain; charset=utf-8"),
            "/metrics" => match self
                .telemetry
                .metrics
                .encode(&self.metrics_snapshot().await)
            {
                Ok(metrics) => text_response(
                    Bytes::from(metrics),
                    "application/openmetrics-text; version=1.0.0; charset=utf-8",
                ),
                Err(e) => {
                    error!(error = %e, "Failed to write the metrics");
                    HttpResponse::empty(StatusCode::INTERNAL_SERVER_ERROR)
                }
            },
            "/readyz" => self.readyz().await,
            _ => HttpResponse::empty(StatusCode::NOT_FOUND),
        }
    }

    /// 200 when we stay, can keep the audit journal, can count calls where none
    /// goes on uncounted, and at least one instance answers: with one Odoo down,
    /// the others are served, and taking us out of the balance helps nobody.
    async fn readyz(&self) -> HttpResponse {
        let draining = self.drain.is_draining();
        // Leaving needs no second opinion.
        let known = if draining {
            Some(Readiness::default())
        } else {
            self.readiness().await
        };
        let late = known.is_none();
        let Readiness {
            instances,
            providers,
            audit,
            state_store: changes,
            limits,
        } = known.unwrap_or_default();
        // A provider that is away does not count: who was let in is served on,
        // and another replica would find it away too.
        // Without a journal nothing may be changed here: another replica may have one.
        let written = audit.as_ref().is_none_or(Result::is_ok);
        // Without Redis each replica counts by itself, which is service, or refuses every call.
        let is_here = self.gateway.load().is_redis_up();
        let limits = match (limits, is_here) {
            // Lost since they were asked.
            (Some(Ok(())), Some(false)) => Some(Err("the connection was lost".to_owned())),
            (limits, _) => limits,
        };
        let counted = limits.as_ref().is_none_or(Result::is_ok);
        let served = instances.iter().any(|(_, answers)| answers.is_ok());
        let ready = !draining && written && counted && served;
        let mut told = json!({
            "ready": ready,
            "draining": draining,
            "late": late,
            "instances": availability(instances),
            "providers": availability(providers),
        });
        let redis = match limits {
            Some(Ok(())) => Some(json!({ "answers": true })),
            Some(Err(why)) => Some(json!({ "answers": false, "why": why })),
            None => is_here.map(|answers| json!({ "answers": answers })),
        };
        if let (Some(redis), Some(told)) = (redis, told.as_object_mut()) {
            told.insert("redis".to_owned(), redis);
        }
        if let (Some(audit), Some(told)) = (audit, told.as_object_mut()) {
            let audit = match audit {
                Ok(()) => json!({ "written": true }),
                Err(why) => json!({ "written": false, "why": why }),
            };
            told.insert("audit".to_owned(), audit);
        }
        // Without what is remembered of changes none is made, but reads go on: a file
        // has no other replica, and a Redis is away from the others too.
        if let (Some(changes), Some(told)) = (changes, told.as_object_mut()) {
            let changes = match changes {
                Ok(()) => json!({ "remembered": true }),
                Err(why) => json!({ "remembered": false, "why": why }),
            };
            told.insert("changes".to_owned(), changes);
        }
        let status = if ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        HttpResponse::json(status, Bytes::from(told.to_string()))
    }

    /// What metrics say of the others. Who leaves asks nobody any more.
    async fn metrics_snapshot(&self) -> MetricsSnapshot {
        let readiness = if self.drain.is_draining() {
            None
        } else {
            self.readiness().await
        };
        // Not out of what is known: an Odoo that is slow to say so must not hide it.
        let gateway = self.gateway.load();
        let metrics = &self.telemetry.metrics;
        metrics.set_redis_up(gateway.is_redis_up());
        metrics.set_audit_up(gateway.is_journal_writable());
        MetricsSnapshot {
            upstream: gateway.client_stats(),
            store: gateway.store_status(),
            readiness: readiness.unwrap_or_default(),
        }
    }

    /// What is known, if that is fresh, or else what the instances say now;
    /// `None` when they take too long.
    async fn readiness(&self) -> Option<Readiness> {
        let asked = async {
            let mut known = self.cached_readiness.lock().await;
            if let Some((when, readiness)) = &*known
                && when.elapsed() < READINESS_TTL
            {
                return readiness.clone();
            }
            let readiness = self.gateway.load_full().check_readiness().await;
            *known = Some((Instant::now(), readiness.clone()));
            readiness
        };
        timeout(READINESS_TIMEOUT, asked).await.ok()
    }
}

#[async_trait]
impl<H: Host> HttpServerApp for Admin<H> {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        leaving: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let arrival = head::read_head(&mut session, &self.bounds, leaving).await;
        let request_id = TraceId::random().unwrap_or_else(|_| TraceId::new(0));
        let mut manner = ResponseOptions {
            request_id,
            bounds: &self.bounds,
            drain: &self.drain,
            head_only: false,
        };
        let reply = match arrival {
            HeadOutcome::Closed => return None,
            HeadOutcome::BadRequest(why) => {
                let reply = why.to_response(&mut RequestLog::new(request_id));
                write::response(&mut session, reply, manner).await.ok()?;
                write::lingering_close(session).await;
                return None;
            }
            HeadOutcome::Request => {
                let request = session.req_header();
                manner.head_only = request.method == Method::HEAD;
                self.respond(&request.method, request.uri.path()).await
            }
        };
        write::response(&mut session, reply, manner).await.ok()?;
        if !session.is_body_done() {
            write::lingering_close(session).await;
            return None;
        }
        write::finish_and_reuse(session, &self.bounds).await
    }
}

fn availability<N: ToString>(all: Vec<(N, Result<(), String>)>) -> Map<String, Value> {
    let told = all.into_iter().map(|(name, answers)| {
        let told = match answers {
            Ok(()) => json!({ "answers": true }),
            Err(why) => json!({ "answers": false, "why": why }),
        };
        (name.to_string(), told)
    });
    told.collect()
}

fn text_response(body: Bytes, kind: &'static str) -> HttpResponse {
    let kind = HeaderValue::from_static(kind);
    let mut reply = HttpResponse::empty(StatusCode::OK).with_header(header::CONTENT_TYPE, kind);
    reply.body = body;
    reply
}
