//! Checks of `public_urls`: each URL leads to one instance.

use std::collections::BTreeMap;

use super::{ConfigChecker, http_url::HttpUrl};
use gatepost_base::InstanceName;

impl ConfigChecker<'_> {
    pub(super) fn public_urls(&mut self) {
        let config = self.config;
        let mut claims = BTreeMap::new();
        for (name, instance) in &config.instances {
            for (index, text) in instance.public_urls.iter().enumerate() {
                let path = path!["instances", name, "public_urls", index];
                if let Some(url) = self.url(path, text) {
                    self.public_url(path, name, &url);
                    if let Some(other) = self.default_owner(name, &url) {
                        let message = format!(
                            "the path `{}` leads to the instance `{other}`",
                            url.routing_path()
                        );
                        self.error(path, &message, None);
                        continue;
                    }
                    match claims.insert(url.routing_key(), name) {
                        Some(other) if other == name => {
                            self.warning(path, "this URL is listed twice", None);
                        }
                        Some(other) => self.error(
                            path,
                            &format!("the instance `{other}` already has this URL"),
                            Some("give each instance its own URLs; case does not matter"),
                        ),
                        None => {}
                    }
                }
            }
        }
    }

    fn public_url(&mut self, path: &[String], name: &InstanceName, url: &HttpUrl) {
        if !url.secure && !url.is_loopback() {
            self.error(
                path,
                "a public URL must be `https://` because tokens are sent to it",
                Some("`http://` is allowed for loopback addresses only"),
            );
        }
        if let Err(message) = check_routable_path(&url.path) {
            let hint = format!("such as `https://mcp.example.com/{name}/mcp`");
            self.error(path, message, Some(&hint));
        }
    }

    /// The other instance that has this path by default.
    fn default_owner(&self, name: &InstanceName, url: &HttpUrl) -> Option<&InstanceName> {
        let path = url.routing_path();
        let mut names = self.config.instances.keys();
        names.find(|other| *other != name && path == format!("/{other}/mcp"))
    }
}

/// Whether a path can be routed: it is not empty and has one spelling only.
fn check_routable_path(path: &str) -> Result<(), &'static str> {
    let trimmed = path.strip_suffix('/').unwrap_or(path);
    if trimmed.is_empty() {
        return Err("a public URL must have a path");
    }
    let mut parts = trimmed.split('/').skip(1);
    if trimmed.contains('%') || parts.any(|part| matches!(part, "" | "." | "..")) {
        return Err("the path must have no `%`, no empty parts and no `.` or `..`");
    }
    if trimmed.to_ascii_lowercase().starts_with("/.well-known") {
        return Err("paths below `/.well-known` are reserved");
    }
    Ok(())
}
