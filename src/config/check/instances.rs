//! Each Odoo, by itself.

use super::{ConfigChecker, http_url::HttpUrl};
use crate::config::{Instance, diagnostic::ConfigError};
use gatepost_base::InstanceName;

impl ConfigChecker<'_> {
    pub(super) fn instances(&mut self) {
        let config = self.config;
        if config.instances.is_empty() {
            self.findings.errors.push(ConfigError {
                location: self.layers.root_location(),
                key: "instances".to_owned(),
                message: "no Odoo instance is configured".to_owned(),
                hint: Some(
                    "add `[instances.NAME]` with `url`, `database` and `api_key_file`, or set ODOO_URL, ODOO_DB and ODOO_API_KEY".to_owned(),
                ),
            });
        }
        for (name, instance) in &config.instances {
            self.urls(name, instance);
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
            if let Some(file) = &instance.ca_file {
                self.check_readable(path!["instances", name, "ca_file"], file);
            }
            if instance.connect_timeout_ms > instance.timeout_ms {
                self.warning(
                    path!["instances", name, "connect_timeout_ms"],
                    "this is longer than `timeout_ms`, which ends the call first",
                    None,
                );
            }
        }
    }

    fn urls(&mut self, name: &InstanceName, instance: &Instance) {
        let path = path!["instances", name, "url"];
        match HttpUrl::parse(&instance.url) {
            Ok(url) => {
                let first = url.path.split('/').nth(1).unwrap_or_default();
                if matches!(first, "json" | "jsonrpc" | "odoo" | "web" | "xmlrpc") {
                    self.error(
                        path,
                        &format!("this is a page of Odoo, and the server itself is needed: cut `/{first}` and all behind it"),
                        None,
                    );
                }
                if !url.secure && !url.is_internal() {
                    self.warning(
                        path,
                        "the API key and all data go over the network unencrypted",
                        Some("use `https://`"),
                    );
                }
                if !url.secure && instance.ca_file.is_some() {
                    self.warning(
                        path!["instances", name, "ca_file"],
                        "this has no use with an `http://` URL",
                        None,
                    );
                }
            }
            Err((message, hint)) => self.error(path, message, Some(hint)),
        }
        if let Some(web) = &instance.web_url
            && let Err((message, hint)) = HttpUrl::parse(web)
        {
            self.error(path!["instances", name, "web_url"], message, Some(hint));
        }
    }
}
