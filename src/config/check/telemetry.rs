//! Checks of `[telemetry]`.

use std::path::Path;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{ConfigChecker, http_url::HttpUrl, secret};

impl ConfigChecker<'_> {
    pub(super) fn telemetry(&mut self) {
        let telemetry = &self.config.telemetry;
        if telemetry.service_name.is_empty() {
            self.error(path!["telemetry", "service_name"], "this is empty", None);
        }
        self.check_ca_file(
            path!["telemetry", "otlp_ca_file"],
            telemetry.otlp_ca_file.as_deref(),
        );
        if let Some(file) = &telemetry.otlp_headers_file {
            self.otlp_headers(file);
        }
        let path = path!["telemetry", "otlp_url"];
        match telemetry.otlp_url.as_deref().map(HttpUrl::parse) {
            Some(Ok(url)) => {
                if url.port == 4317 {
                    self.warning(
                        path,
                        "port 4317 is usually gRPC, and traces are sent over HTTP",
                        Some("collectors usually accept OTLP over HTTP on port 4318"),
                    );
                }
                if !url.secure && !url.is_internal() {
                    self.warning(path, "traces are sent unencrypted", Some("use `https://`"));
                }
            }
            Some(Err((message, _))) => {
                self.error(path, message, Some("write it like `http://collector:4318`"));
            }
            None => {
                let unused = [
                    ("otlp_headers_file", telemetry.otlp_headers_file.is_some()),
                    ("otlp_ca_file", telemetry.otlp_ca_file.is_some()),
                ];
                for (key, _) in unused.into_iter().filter(|(_, set)| *set) {
                    let message = "this is not used without `otlp_url`";
                    self.warning(path!["telemetry", key], message, None);
                }
            }
        }
    }

    fn otlp_headers(&mut self, file: &Path) {
        let path = path!["telemetry", "otlp_headers_file"];
        self.warn_if_readable(path, file, "the header fields for the collector");
        match secret::read(file, secret::text).and_then(|text| parse_headers(file, &text)) {
            Ok(headers) => self.findings.secrets.otlp_headers = headers,
            Err(message) => self.error(path, &message, None),
        }
    }
}

/// Parses header fields, one a line. The error does not repeat them.
fn parse_headers(file: &Path, text: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let field = line.split_once(':').and_then(|(name, value)| {
            let name: HeaderName = name.trim().parse().ok()?;
            let mut value: HeaderValue = value.trim().parse().ok()?;
            value.set_sensitive(true);
            Some((name, value))
        });
        let Some((name, value)) = field else {
            return Err(format!(
                "line {} of {} is not a header field; write `Name: value`",
                index + 1,
                file.display()
            ));
        };
        headers.append(name, value);
    }
    Ok(headers)
}
