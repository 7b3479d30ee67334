//! The admin listener: `/livez`, `/readyz`, `/metrics` and `/reload`.

use std::{net::IpAddr, os::unix::ffi::OsStrExt as _, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
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
    reload::Reloads,
    request_handler::RequestHandler,
    write::{self, ResponseOptions},
};
use crate::{
    gateway::{Head, HttpResponse, RouteTable, without_port},
    telemetry::{Metrics, Readiness, RequestLog, Telemetry, logging},
};
use gatepost_base::TraceId;

/// How long a readiness result is reused, so that requests to the admin listener
/// cannot overload Odoo.
const READINESS_TTL: Duration = Duration::from_secs(2);

/// How long the check of all services may take. Clearly more than the 3 s of a ping
/// (`odoo-client`): otherwise one Odoo that hangs makes the others late too.
const READINESS_TIMEOUT: Duration = Duration::from_secs(5);

/// The value of `Server` in the answer of `/livez` (RFC 9110, section 10.2.4).
pub const SERVER_NAME: &str = "gatepost";

/// The header field in which the response to a reload names the configuration file.
pub const CONFIG_FILE_HEADER: &str = "gatepost-config-file";

/// What the admin listener serves.
#[derive(Clone, Copy, Debug)]
enum AdminRoute {
    Livez,
    Metrics,
    Readyz,
    Reload,
}

const ROUTES: RouteTable<AdminRoute> = RouteTable(&[
    ("/livez", AdminRoute::Livez, "GET, HEAD"),
    ("/metrics", AdminRoute::Metrics, "GET, HEAD"),
    ("/readyz", AdminRoute::Readyz, "GET, HEAD"),
    ("/reload", AdminRoute::Reload, "POST"),
]);

/// Serves the admin listener.
pub(super) struct AdminServer<H> {
    gateway: Arc<ArcSwap<H>>,
    telemetry: Arc<Telemetry>,
    bounds: Bounds,
    drain: Arc<Drain>,
    hosts: AdminHosts,
    reloads: Arc<Reloads>,
    /// Locked during a check, so that concurrent requests share one.
    cached_readiness: Mutex<Option<(Instant, Readiness)>>,
}

impl<H: RequestHandler> AdminServer<H> {
    pub(super) fn new(
        gateway: Arc<ArcSwap<H>>,
        telemetry: Arc<Telemetry>,
        bounds: Bounds,
        drain: Arc<Drain>,
        hosts: AdminHosts,
        reloads: Arc<Reloads>,
    ) -> Self {
        Self {
            gateway,
            telemetry,
            bounds,
            drain,
            hosts,
            reloads,
            cached_readiness: Mutex::new(None),
        }
    }

    pub(super) async fn respond(&self, head: &Head) -> HttpResponse {
        let Some((route, methods)) = ROUTES.find(&head.path) else {
            return HttpResponse::empty(StatusCode::NOT_FOUND);
        };
        if !methods.split(", ").any(|allowed| head.method == allowed) {
            return HttpResponse::empty(StatusCode::METHOD_NOT_ALLOWED)
                .with_header(header::ALLOW, HeaderValue::from_static(methods));
        }
        match route {
            // `check` recognizes a running gateway by this name.
            AdminRoute::Livez => text_response("ok\n", "text/plain; charset=utf-8")
                .with_header(header::SERVER, HeaderValue::from_static(SERVER_NAME)),
            AdminRoute::Metrics => self.metrics().await,
            AdminRoute::Readyz => self.readyz().await,
            AdminRoute::Reload => self.reload(head).await,
        }
    }

    /// Reloads for a process of this machine or container, and answers with the
    /// warnings, one a line.
    async fn reload(&self, head: &Head) -> HttpResponse {
        let by_proxy = [
            header::FORWARDED,
            HeaderName::from_static("x-forwarded-for"),
        ];
        let is_local = head.peer.is_some_and(|peer| peer.is_loopback())
            && !by_proxy
                .iter()
                .any(|field| head.headers.contains_key(field));
        // A web page on this machine sends an `Origin`.
        if !is_local || head.headers.contains_key(header::ORIGIN) {
            let why = "only `gatepost reload` on this machine or in this container may do this\n";
            return HttpResponse::text(StatusCode::FORBIDDEN, why);
        }
        let reloads = Arc::clone(&self.reloads);
        // It reads files, which blocks.
        let response = match tokio::task::spawn_blocking(move || reloads.run()).await {
            Ok(Ok(warnings)) => text_response(warnings.join("\n"), "text/plain; charset=utf-8"),
            Ok(Err(error)) => HttpResponse {
                status: StatusCode::UNPROCESSABLE_ENTITY,
                ..text_response(error, "text/plain; charset=utf-8")
            },
            Err(error) => {
                error!(%error, "Failed to reload");
                HttpResponse::empty(StatusCode::INTERNAL_SERVER_ERROR)
            }
        };
        // `gatepost reload` may have been given another file.
        let file = self.reloads.config_file.get();
        let file = file.and_then(|file| HeaderValue::from_bytes(file.as_os_str().as_bytes()).ok());
        match file {
            Some(file) => response.with_header(HeaderName::from_static(CONFIG_FILE_HEADER), file),
            None => response,
        }
    }

    /// The metrics, in the text exposition format whatever `Accept` asks for: the
    /// `prometheus` crate writes no other, and a scraper that prefers `OpenMetrics`
    /// reads it, too.
    async fn metrics(&self) -> HttpResponse {
        let readiness = if self.drain.is_draining() {
            None
        } else {
            self.readiness().await
        };
        let record_state = |metrics: &Metrics| {
            let gateway = self.gateway.load();
            gateway.record_state(metrics, readiness.as_ref());
            let certificate = self.reloads.certificate.as_ref();
            if let Some(certificate) = certificate {
                metrics
                    .gatepost_certificate_expires_timestamp_seconds()
                    .set(certificate.expires_at());
            }
            metrics
                .gatepost_log_lines_dropped_total()
                .inc_by(logging::dropped_lines());
        };
        match self.telemetry.metrics.encode(record_state) {
            Ok(metrics) => text_response(metrics, "text/plain; version=0.0.4; charset=utf-8"),
            Err(e) => {
                error!(error = %e, "Failed to encode the metrics");
                HttpResponse::empty(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    /// 200 if the edge does not drain, the audit journal can be written, calls can
    /// be counted unless they may go uncounted, and at least one instance answers and
    /// has an API key that has not expired: with one Odoo down, the others are still
    /// served.
    async fn readyz(&self) -> HttpResponse {
        let draining = self.drain.is_draining();
        // While draining the answer is known.
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
            state_store,
            unusable,
            warnings,
            limits,
        } = known.unwrap_or_default();
        let connected = self.gateway.load().is_redis_connected();
        let limits = match (limits, connected) {
            // Lost since the check.
            (Some(Ok(())), Some(false)) => Some(Err("the connection was lost".to_owned())),
            (limits, _) => limits,
        };
        let available =
            |service: &Option<Result<(), String>>| service.as_ref().is_none_or(Result::is_ok);
        // A provider that is unavailable does not count, because callers with a cached
        // result are still served and another replica would not reach it either. Nor
        // does the state store, because reads continue and replicas share it.
        let ready = !draining
            && available(&audit)
            && available(&limits)
            && instances
                .iter()
                .any(|(name, answer)| answer.is_ok() && !unusable.contains(name));
        let mut report = json!({
            "ready": ready,
            "draining": draining,
            "late": late,
            "instances": statuses(instances),
            "providers": statuses(providers),
        });
        let redis = match limits {
            Some(limits) => Some(status("answers", limits)),
            None => connected.map(|answers| json!({ "answers": answers })),
        };
        let more = [
            ("warnings", (!warnings.is_empty()).then(|| json!(warnings))),
            ("redis", redis),
            ("audit", audit.map(|audit| status("written", audit))),
            (
                "changes",
                state_store.map(|store| status("remembered", store)),
            ),
        ];
        if let Some(report) = report.as_object_mut() {
            let more = more.into_iter();
            report.extend(more.filter_map(|(name, status)| Some((name.to_owned(), status?))));
        }
        let status = if ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        HttpResponse::json(status, Bytes::from(report.to_string()))
    }

    /// The cached result if it is fresh, otherwise a new one; `None` if the check
    /// takes too long.
    async fn readiness(&self) -> Option<Readiness> {
        let checked = async {
            let mut cached = self.cached_readiness.lock().await;
            if let Some((when, readiness)) = &*cached
                && when.elapsed() < READINESS_TTL
            {
                return readiness.clone();
            }
            let readiness = self.gateway.load_full().readiness().await;
            *cached = Some((Instant::now(), readiness.clone()));
            readiness
        };
        timeout(READINESS_TIMEOUT, checked).await.ok()
    }
}

#[async_trait]
impl<H: RequestHandler> HttpServerApp for AdminServer<H> {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let outcome = head::read_head(&mut session, &self.bounds, shutdown, shutdown).await;
        let request_id = TraceId::random().unwrap_or_else(|_| TraceId::new(0));
        let mut options = ResponseOptions {
            request_id,
            bounds: &self.bounds,
            drain: &self.drain,
            head_only: false,
        };
        let (response, readable) = match outcome {
            HeadOutcome::Closed => return None,
            HeadOutcome::BadRequest(why) => {
                session.set_keepalive(None);
                (why.to_response(&mut RequestLog::new(request_id)), false)
            }
            HeadOutcome::Request => {
                let request = session.req_header();
                options.head_only = request.method == Method::HEAD;
                let host = head::host(request);
                let response = if self.hosts.allows(host.as_deref()) {
                    let head = head::to_gateway_head(&session, false);
                    self.respond(&head).await
                } else {
                    let why = "this is not a host name of the admin listener; add it to `admin.allowed_hosts`\n";
                    HttpResponse::text(StatusCode::MISDIRECTED_REQUEST, why)
                };
                (response, true)
            }
        };
        write::response(&mut session, response, options)
            .await
            .ok()?;
        if !readable || !session.is_body_done() {
            write::lingering_close(session).await;
            return None;
        }
        write::finish_and_reuse(session, &self.bounds).await
    }
}

/// The host names that the admin listener answers to, so that no web page reaches
/// it through a name that it points here (DNS rebinding). A page can do that only
/// with a name of the public DNS: addresses, names without a dot, such as those of
/// containers, and the domains of clusters and private networks are none.
#[derive(Debug)]
pub(super) struct AdminHosts(Vec<String>);

impl AdminHosts {
    /// Those names and these.
    pub(super) fn new(allowed: &[String]) -> Self {
        Self(allowed.to_vec())
    }

    fn allows(&self, host: Option<&str>) -> bool {
        // Every browser sends one.
        let Some(host) = host else { return true };
        let name = without_port(host).to_ascii_lowercase();
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let private = [".internal", ".local", ".localhost", ".svc"];
        bare.parse::<IpAddr>().is_ok()
            || !name.contains('.')
            || private.iter().any(|domain| name.ends_with(domain))
            || self.0.iter().any(|allowed| {
                [host, &name]
                    .iter()
                    .any(|asked| allowed.eq_ignore_ascii_case(asked))
            })
    }
}

fn statuses<N: ToString>(services: Vec<(N, Result<(), String>)>) -> Map<String, Value> {
    let services = services.into_iter();
    services
        .map(|(name, answer)| (name.to_string(), status("answers", answer)))
        .collect()
}

fn status(key: &str, answer: Result<(), String>) -> Value {
    match answer {
        Ok(()) => json!({ key: true }),
        Err(why) => json!({ key: false, "why": why }),
    }
}

fn text_response(body: impl Into<Bytes>, content_type: &'static str) -> HttpResponse {
    let content_type = HeaderValue::from_static(content_type);
    let mut response =
        HttpResponse::empty(StatusCode::OK).with_header(header::CONTENT_TYPE, content_type);
    response.body = body.into();
    response
}
