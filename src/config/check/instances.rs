//! Checks of `[instances.NAME]`.

use super::ConfigChecker;
use crate::config::InstanceConfig;
use gatepost_base::InstanceName;

impl ConfigChecker<'_> {
    pub(super) fn instances(&mut self) {
        let config = self.config;
        if config.instances.is_empty() {
            self.error(
                path!["instances"],
                "no Odoo instance is configured",
                Some("add `[instances.NAME]` with `url`, `database` and `api_key_file`, or set ODOO_URL, ODOO_DB and ODOO_API_KEY"),
            );
        }
        for (name, instance) in &config.instances {
            self.instance_urls(name, instance);
            self.instance_keys(name, instance);
            if let Some(database) = &instance.database
                && (database.is_empty() || !database.bytes().all(|byte| byte.is_ascii_graphic()))
            {
                self.error(
                    path!["instances", name, "database"],
                    "a database name is one word of ASCII letters, digits and signs",
                    None,
                );
            }
            let timeouts = (instance.connect_timeout_ms, instance.timeout_ms);
            self.check_timeouts(path!["instances", name], timeouts);
            self.check_ca_file(
                path!["instances", name, "ca_file"],
                instance.ca_file.as_deref(),
            );
        }
    }

    /// Warns of a connection timeout that is longer than the whole timeout.
    pub(super) fn check_timeouts(&mut self, table: &[String], (connect, whole): (u64, u64)) {
        if connect > whole {
            let path = [table, path!["connect_timeout_ms"]].concat();
            let message = "this is longer than `timeout_ms`, which expires first";
            self.warning(&path, message, None);
        }
    }

    fn instance_urls(&mut self, name: &InstanceName, instance: &InstanceConfig) {
        let path = path!["instances", name, "url"];
        if let Some(url) = self.url(path, &instance.url) {
            let first = url.path.split('/').nth(1).unwrap_or_default();
            if matches!(first, "json" | "jsonrpc" | "odoo" | "web" | "xmlrpc") {
                let message = format!(
                    "this is the address of a page of Odoo, not of the server: remove `/{first}` and everything after it"
                );
                self.error(path, &message, None);
            }
            if !url.secure && !url.is_internal() {
                let message = "the API key and all data are sent unencrypted";
                self.warning(path, message, Some("use `https://`"));
            }
            if !url.secure && instance.ca_file.is_some() {
                let path = path!["instances", name, "ca_file"];
                self.warning(path, "this is not used with an `http://` URL", None);
            }
        }
        if let Some(web) = &instance.web_url {
            self.url(path!["instances", name, "web_url"], web);
        }
    }
}
