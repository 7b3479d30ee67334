//! Exports spans to a collector: OTLP over HTTP, in protobuf.
//!
//! The message types are `OpenTelemetry`'s, the exporter is not: that one also reads
//! settings from environment variables, and does not report how many spans a
//! collector rejected.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::InstrumentationScope,
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;
use reqwest::{Client, redirect};
use rustls::ClientConfig;

use super::spans::string_attribute;
use gatepost_base::TraceId;

/// How long one export may take.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest response that is read.
const MAX_RESPONSE_BYTES: usize = 64 << 10;
/// The path of the traces endpoint (OTLP specification, "OTLP/HTTP Request").
const TRACES_PATH: &str = "/v1/traces";

/// The collector that traces are exported to.
pub struct CollectorSettings {
    /// Such as `http://collector:4318`; the standard path is added.
    pub url: String,
    /// Header fields of each export; their values may be secret.
    pub headers: HeaderMap,
    /// The trusted certificates.
    pub tls: ClientConfig,
    /// The `service.name` of the spans.
    pub service_name: String,
}

impl std::fmt::Debug for CollectorSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CollectorSettings")
            .field("url", &self.url)
            .field("service_name", &self.service_name)
            .finish_non_exhaustive()
    }
}

/// A client of a collector.
pub(super) struct Collector {
    client: Client,
    url: String,
    headers: HeaderMap,
    resource: Resource,
}

/// Why a collector did not accept the spans of an export.
#[derive(Debug)]
pub(super) struct ExportError {
    /// Whether a retry may succeed.
    pub(super) is_retryable: bool,
    /// For the log; without the URL.
    pub(super) reason: String,
}

impl Collector {
    /// # Errors
    /// When no HTTP client can be built from the settings.
    pub(super) fn new(settings: CollectorSettings) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .tls_backend_preconfigured(settings.tls)
            // The header fields may be secret, so they go to the configured host only.
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("gatepost/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let base = settings.url.trim_end_matches('/');
        let base = base.strip_suffix(TRACES_PATH).unwrap_or(base);
        let mut attributes = vec![
            string_attribute("service.name", &settings.service_name),
            string_attribute("service.version", env!("CARGO_PKG_VERSION")),
        ];
        // Distinguishes replicas.
        if let Ok(id) = TraceId::random() {
            attributes.push(string_attribute("service.instance.id", &id.to_string()));
        }
        Ok(Self {
            client,
            url: format!("{base}{TRACES_PATH}"),
            headers: settings.headers,
            resource: Resource {
                attributes,
                ..Resource::default()
            },
        })
    }

    /// The body of an export of these spans.
    pub(super) fn encode(&self, spans: Vec<Span>) -> Bytes {
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(self.resource.clone()),
                scope_spans: vec![ScopeSpans {
                    scope: Some(InstrumentationScope {
                        name: "gatepost".to_owned(),
                        version: env!("CARGO_PKG_VERSION").to_owned(),
                        ..InstrumentationScope::default()
                    }),
                    spans,
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        };
        request.encode_to_vec().into()
    }

    /// Exports a body, and returns how many of its spans were rejected.
    ///
    /// # Errors
    /// [`ExportError`] if none was accepted.
    pub(super) async fn export(&self, body: Bytes) -> Result<u64, ExportError> {
        let failed = |error: reqwest::Error| ExportError {
            is_retryable: true,
            reason: gatepost_identity::http_failure(&error),
        };
        let mut response = self
            .client
            .post(&self.url)
            .headers(self.headers.clone())
            .header(header::CONTENT_TYPE, "application/x-protobuf")
            .body(body)
            .send()
            .await
            .map_err(failed)?;
        let status = response.status();
        if !status.is_success() {
            // OTLP specification, "OTLP/HTTP Response", "Retryable Response Codes".
            let is_retryable = matches!(
                status,
                StatusCode::TOO_MANY_REQUESTS
                    | StatusCode::BAD_GATEWAY
                    | StatusCode::SERVICE_UNAVAILABLE
                    | StatusCode::GATEWAY_TIMEOUT
            );
            return Err(ExportError {
                is_retryable,
                reason: format!("it answered {status}"),
            });
        }
        let mut body = BytesMut::new();
        // The spans were accepted, so an unreadable body does not matter.
        while let Ok(Some(part)) = response.chunk().await {
            if body.len() + part.len() > MAX_RESPONSE_BYTES {
                return Ok(0);
            }
            body.extend_from_slice(&part);
        }
        let rejected = ExportTraceServiceResponse::decode(body.freeze())
            .ok()
            .and_then(|response| response.partial_success)
            .map_or(0, |partial| partial.rejected_spans);
        Ok(u64::try_from(rejected).unwrap_or(0))
    }
}
