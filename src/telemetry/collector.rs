//! The way to a collector of traces: OTLP over HTTP, in protobuf.
//!
//! With `OpenTelemetry`'s own message types, and without its exporter: that one
//! reads settings from environment variables behind the configuration's back,
//! and does not say how many spans a collector has refused.

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

/// How long one hand-over may take.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest answer that is read.
const MAX_RESPONSE_BYTES: usize = 64 << 10;
/// Where collectors take traces (OTLP specification, "OTLP/HTTP Request").
const TRACES_PATH: &str = "/v1/traces";

/// Where traces go.
pub struct CollectorSettings {
    /// `http://collector:4318`; the path of the standard is added.
    pub url: String,
    /// Header fields to send along; their values may be secret.
    pub headers: HeaderMap,
    /// Whom to believe.
    pub tls: ClientConfig,
    /// What we are called there.
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

/// The way to a collector.
pub(super) struct Collector {
    client: Client,
    url: String,
    headers: HeaderMap,
    resource: Resource,
}

/// Spans that were not taken.
#[derive(Debug)]
pub(super) struct ExportError {
    /// Whether it may be another time.
    pub(super) is_retryable: bool,
    /// For our log; without the URL.
    pub(super) reason: String,
}

impl Collector {
    /// # Errors
    /// When no client can be made of the settings.
    pub(super) fn new(settings: CollectorSettings) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .tls_backend_preconfigured(settings.tls)
            // Its headers are for whom they were configured.
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
        // Tells replicas apart.
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

    /// The body that hands over these spans.
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

    /// Hands over a body, and gives back how many spans of it were refused.
    ///
    /// # Errors
    /// [`NotTaken`], of all of them.
    pub(super) async fn export(&self, body: Bytes) -> Result<u64, ExportError> {
        let lost = |error: reqwest::Error| ExportError {
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
            .map_err(lost)?;
        let status = response.status();
        if !status.is_success() {
            // OTLP specification, "OTLP/HTTP Response", "Retryable Response Codes".
            let again = matches!(
                status,
                StatusCode::TOO_MANY_REQUESTS
                    | StatusCode::BAD_GATEWAY
                    | StatusCode::SERVICE_UNAVAILABLE
                    | StatusCode::GATEWAY_TIMEOUT
            );
            return Err(ExportError {
                is_retryable: again,
                reason: format!("it answers {status}"),
            });
        }
        let mut answer = BytesMut::new();
        // They were taken: what cannot be read of the answer does not count.
        while let Ok(Some(part)) = response.chunk().await {
            if answer.len() + part.len() > MAX_RESPONSE_BYTES {
                return Ok(0);
            }
            answer.extend_from_slice(&part);
        }
        let refused = ExportTraceServiceResponse::decode(answer.freeze())
            .ok()
            .and_then(|answer| answer.partial_success)
            .map_or(0, |partly| partly.rejected_spans);
        Ok(u64::try_from(refused).unwrap_or(0))
    }
}
