//! `[telemetry]`: traces for operators.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// Where traces go. Metrics are on the admin listener, whatever stands here.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// A collector that takes OTLP over HTTP, such as `http://collector:4318`.
    /// Default: no traces are kept.
    pub otlp_url: Option<String>,
    /// A file of header fields for it, one `Name: value` a line; they may be secret.
    #[schemars(extend("format" = "path"))]
    pub otlp_headers_file: Option<PathBuf>,
    /// PEM certificates to trust for an `https://` collector instead of the system's.
    #[schemars(extend("format" = "path"))]
    pub otlp_ca_file: Option<PathBuf>,
    /// Which part of the traces that begin here is kept. Those that a client
    /// began are kept if the client keeps them. Default 1.
    #[schemars(range(min = 0, max = 1))]
    pub sample_ratio: f64,
    /// What we are called in traces. Default `gatepost`.
    pub service_name: String,
    /// Whether the caller's subject stands in traces. Default `false`.
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
