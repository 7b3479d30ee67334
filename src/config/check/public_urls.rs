//! Which URL leads to which instance.

use std::collections::BTreeMap;

use super::{ConfigChecker, http_url::HttpUrl};
use gatepost_base::InstanceName;

impl ConfigChecker<'_> {
    /// Each public URL leads to one instance, in whatever way it is spelled.
    pub(super) fn public_urls(&mut self) {
        let config = self.config;
        let mut claims: BTreeMap<(String, u16, String), &InstanceName> = BTreeMap::new();
        for (name, instance) in &config.instances {
            for (index, text) in instance.public_urls.iter().enumerate() {
                let path = path!["instances", name, "public_urls", index];
                let url = match HttpUrl::parse(text) {
                    Ok(url) => url,
                    Err((message, hint)) => {
                        self.error(path, message, Some(hint));
                        continue;
                    }
                };
                if !url.secure && !url.is_loopback() {
                    self.error(
                        path,
                        "a public URL must be `https://`: tokens are sent to it",
                        Some("`http://` is allowed for loopback addresses only"),
                    );
                }
                if let Err(message) = check_routable_path(&url.path) {
                    self.error(
                        path,
                        message,
                        Some(&format!("such as `https://mcp.example.com/{name}/mcp`")),
                    );
                }
                let claimed_path = url.routing_path();
                let default_of = config
                    .instances
                    .keys()
                    .find(|other| *other != name && claimed_path == format!("/{other}/mcp"));
                if let Some(other) = default_of {
                    self.error(
                        path,
                        &format!("the path `{claimed_path}` leads to the instance `{other}`"),
                        None,
                    );
                    continue;
                }
                match claims.insert(url.routing_key(), name) {
                    Some(other) if other == name => {
                        self.warning(path, "this URL stands here twice", None);
                    }
                    Some(other) => self.error(
                        path,
                        &format!("the instance `{other}` has this URL already"),
                        Some(
                            "give each instance URLs of its own; upper and lower case are the same",
                        ),
                    ),
                    None => {}
                }
            }
        }
    }
}

/// Whether a path can be routed: it names something, in one spelling only.
fn check_routable_path(path: &str) -> Result<(), &'static str> {
    let trimmed = path.strip_suffix('/').unwrap_or(path);
    if trimmed.is_empty() {
        return Err("a public URL must have a path");
    }
    if trimmed.contains('%')
        || trimmed
            .split('/')
            .skip(1)
            .any(|part| matches!(part, "" | "." | ".."))
    {
        return Err("the path must have no `%`, no empty parts and no `.` or `..`");
    }
    if trimmed.to_ascii_lowercase().starts_with("/.well-known") {
        return Err("paths below `/.well-known` have uses of their own");
    }
    Ok(())
}
