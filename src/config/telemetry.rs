//! `[telemetry]`: traces.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// Where traces are sent. Metrics are always on the admin listener.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
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
    #[schemars(range(min = 0, max = 1))]
    pub sample_ratio: f64,
    /// The service name in traces. Default `gatepost`.
    pub service_name: String,
    /// Whether traces include the caller's subject. Default `false`.
    pub include_caller: bool,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            otlp_url: None,
            otlp_headers_file: None,
            otlp_ca_file: None,
            sample_ratio: 1.0,
            service_name: "gatepost".to_owned(),
            include_caller: false,
        }
    }
}
