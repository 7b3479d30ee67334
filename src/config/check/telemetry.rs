//! Where traces go.

use std::path::Path;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{ConfigChecker, http_url::HttpUrl, secret};

impl ConfigChecker<'_> {
    pub(super) fn telemetry(&mut self) {
        let telemetry = &self.config.telemetry;
        if telemetry.service_name.is_empty() {
            self.error(path!["telemetry", "service_name"], "this is empty", None);
        }
        if let Some(file) = &telemetry.otlp_ca_file {
            self.check_readable(path!["telemetry", "otlp_ca_file"], file);
        }
        if let Some(file) = &telemetry.otlp_headers_file {
            self.otlp_headers(file);
        }
        let path = path!["telemetry", "otlp_url"];
        match telemetry.otlp_url.as_deref().map(HttpUrl::parse) {
            Some(Ok(url)) => {
                if url.port == 4317 {
                    self.warning(
                        path,
                        "port 4317 usually speaks gRPC, and traces are sent over HTTP",
                        Some("collectors usually take that on port 4318"),
                    );
                }
                if !url.secure && !url.is_internal() {
                    self.warning(
                        path,
                        "traces go over the network unencrypted",
                        Some("use `https://`"),
                    );
                }
            }
            Some(Err((message, _))) => {
                self.error(path, message, Some("write it like `http://collector:4318`"));
            }
            None => {
                let useless = [
                    ("otlp_headers_file", telemetry.otlp_headers_file.is_some()),
                    ("otlp_ca_file", telemetry.otlp_ca_file.is_some()),
                ];
                for (key, _) in useless.into_iter().filter(|(_, set)| *set) {
                    self.warning(
                        path!["telemetry", key],
                        "this has no use without `otlp_url`",
                        None,
                    );
                }
            }
        }
    }

    fn otlp_headers(&mut self, file: &Path) {
        let path = path!["telemetry", "otlp_headers_file"];
        if secret::is_readable_by_others(file) {
            self.warning(
                path,
                "others than its owner can read the header fields for the collector",
                Some("chmod 600"),
            );
        }
        match secret::read_text(file).and_then(|text| parse_headers(file, &text)) {
            Ok(headers) => self.findings.otlp_headers = headers,
            Err(message) => self.error(path, &message, None),
        }
    }
}

/// Header fields, one a line. A message does not repeat them.
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
