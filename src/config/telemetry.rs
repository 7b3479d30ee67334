//! `[telemetry]`: traces.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use smart_default::SmartDefault;

/// Where traces are sent. Metrics are always on the admin listener.
#[derive(Clone, Debug, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// A collector that accepts OTLP over HTTP, such as `http://collector:4318`.
    /// Default: no traces.
    pub otlp_url: Option<String>,
    /// A file with header fields for the collector, one `Name: value` a line; they may be secret.
    #[schemars(extend("format" = "path"))]
    pub otlp_headers_file: Option<PathBuf>,
    /// PEM certificates to trust for an `https://` collector instead of the system's.
    #[schemars(extend("format" = "path"))]
    pub otlp_ca_file: Option<PathBuf>,
    /// The fraction of traces sampled, if they begin in the gateway. A trace that
    /// a client began follows the client's decision. Default 1.
    #[default(1.0)]
    #[schemars(range(min = 0, max = 1))]
    pub sample_ratio: f64,
    /// The service name in traces. Default `gatepost`.
    #[default("gatepost".to_owned())]
    pub service_name: String,
    /// Whether traces include the caller's subject. Default `false`.
    pub include_caller: bool,
}
