//! Which settings a reload cannot apply.

use super::{AdminConfig, Config, ServerConfig, TelemetryConfig};

impl Config {
    /// The settings that differ in a newer configuration, and that a running process
    /// applies only when it is started again: those of sockets and of traces.
    pub fn settings_that_need_restart(&self, newer: &Self) -> Vec<&'static str> {
        let mut changed = self.server.settings_that_need_restart(&newer.server);
        changed.extend(self.admin.settings_that_need_restart(&newer.admin));
        changed.extend(self.telemetry.settings_that_need_restart(&newer.telemetry));
        changed
    }
}

/// The names of those values that differ, as `[(name, differs)]`.
fn differing<const N: usize>(settings: [(&'static str, bool); N]) -> Vec<&'static str> {
    let settings = settings.into_iter();
    settings
        .filter_map(|(name, differs)| differs.then_some(name))
        .collect()
}

// Each of these names every field, so that a new one is on one of the sides.

impl ServerConfig {
    fn settings_that_need_restart(&self, newer: &Self) -> Vec<&'static str> {
        let Self {
            listen,
            tls,
            trusted_proxies,
            max_header_bytes,
            header_timeout_ms,
            body_timeout_ms,
            write_timeout_ms,
            event_stream_after_ms,
            heartbeat_ms,
            drain_timeout_ms,
            max_connections,
            max_connections_per_address,
            // Those of the gateway, which a reload builds again.
            anonymous_role: _,
            allowed_origins: _,
            allowed_hosts: _,
            challenge_always_error: _,
            max_body_bytes: _,
            max_bodies_bytes: _,
        } = self;
        differing([
            ("server.listen", *listen != newer.listen),
            ("server.tls", *tls != newer.tls),
            (
                "server.trusted_proxies (as far as it concerns max_connections_per_address)",
                *trusted_proxies != newer.trusted_proxies,
            ),
            (
                "server.max_header_bytes",
                *max_header_bytes != newer.max_header_bytes,
            ),
            (
                "server.header_timeout_ms",
                *header_timeout_ms != newer.header_timeout_ms,
            ),
            (
                "server.body_timeout_ms",
                *body_timeout_ms != newer.body_timeout_ms,
            ),
            (
                "server.write_timeout_ms",
                *write_timeout_ms != newer.write_timeout_ms,
            ),
            (
                "server.event_stream_after_ms",
                *event_stream_after_ms != newer.event_stream_after_ms,
            ),
            ("server.heartbeat_ms", *heartbeat_ms != newer.heartbeat_ms),
            (
                "server.drain_timeout_ms",
                *drain_timeout_ms != newer.drain_timeout_ms,
            ),
            (
                "server.max_connections",
                *max_connections != newer.max_connections,
            ),
            (
                "server.max_connections_per_address",
                *max_connections_per_address != newer.max_connections_per_address,
            ),
        ])
    }
}

impl AdminConfig {
    fn settings_that_need_restart(&self, newer: &Self) -> Vec<&'static str> {
        let Self {
            listen,
            allowed_hosts,
        } = self;
        differing([
            ("admin.listen", *listen != newer.listen),
            ("admin.allowed_hosts", *allowed_hosts != newer.allowed_hosts),
        ])
    }
}

impl TelemetryConfig {
    fn settings_that_need_restart(&self, newer: &Self) -> Vec<&'static str> {
        let Self {
            otlp_url,
            otlp_headers_file,
            otlp_ca_file,
            sample_ratio,
            service_name,
            include_caller,
        } = self;
        differing([
            ("telemetry.otlp_url", *otlp_url != newer.otlp_url),
            (
                "telemetry.otlp_headers_file",
                *otlp_headers_file != newer.otlp_headers_file,
            ),
            (
                "telemetry.otlp_ca_file",
                *otlp_ca_file != newer.otlp_ca_file,
            ),
            (
                "telemetry.sample_ratio",
                sample_ratio.total_cmp(&newer.sample_ratio).is_ne(),
            ),
            (
                "telemetry.service_name",
                *service_name != newer.service_name,
            ),
            (
                "telemetry.include_caller",
                *include_caller != newer.include_caller,
            ),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn changed_sockets_and_traces_need_a_restart_and_nothing_else_does() {
        let old = Config::default();
        let mut new = old.clone();
        new.server.allowed_hosts.push("gatepost:8080".to_owned());
        new.server.max_body_bytes = 2048;
        new.limits.address_per_minute = 7;
        assert!(old.settings_that_need_restart(&new).is_empty());
        new.server.listen.clear();
        new.server.drain_timeout_ms = 1;
        new.admin.listen = None;
        new.telemetry.sample_ratio = 0.5;
        assert_eq!(
            old.settings_that_need_restart(&new),
            [
                "server.listen",
                "server.drain_timeout_ms",
                "admin.listen",
                "telemetry.sample_ratio"
            ]
        );
    }
}
