//! Checks of `[facade]`.

use super::{ConfigChecker, http_url::HttpUrl};

impl ConfigChecker<'_> {
    pub(super) fn facade(&mut self) {
        let config = self.config;
        let Some(facade) = &config.facade else {
            return;
        };
        self.check_provider_exists(path!["facade", "provider"], &facade.provider);
        let path = path!["facade", "issuer"];
        if let Some(url) = self.url(path, &facade.issuer) {
            let here = |text: &String| HttpUrl::parse(text).is_ok_and(|one| one.same_origin(&url));
            let mut urls = config.instances.values().flat_map(|one| &one.public_urls);
            if !url.secure && !url.is_loopback() {
                self.error(path, "this must be `https://`", None);
            } else if url.path != "/" || facade.issuer.ends_with('/') {
                self.error(
                    path,
                    "this is not an origin: clients read the metadata at its root",
                    Some("write scheme, host and any port, such as `https://mcp.example.com`, without a `/` at the end"),
                );
            } else if !urls.any(here) {
                let message = "no public URL has this origin, so no client will use the facade";
                self.warning(path, message, None);
            }
        }
        if facade.client_id.is_empty() {
            self.error(path!["facade", "client_id"], "this is empty", None);
        }
        if facade.redirect_uris.is_empty() {
            self.error(
                path!["facade", "redirect_uris"],
                "the list is empty, so no client can register",
                Some("such as `[\"https://claude.ai/api/mcp/auth_callback\", \"http://localhost/callback\"]`"),
            );
        }
        for (index, uri) in facade.redirect_uris.iter().enumerate() {
            let path = path!["facade", "redirect_uris", index];
            if uri.contains('*') {
                self.error(
                    path,
                    "wildcards are not allowed: authorization codes would go to any site that matches",
                    Some("list each redirect URI"),
                );
            } else if uri.contains('#') || !uri.contains("://") {
                self.error(path, "this is not a redirect URI", None);
            } else if HttpUrl::parse(uri).is_ok_and(|url| !url.secure && !url.is_loopback()) {
                let message = "authorization codes would be sent unencrypted";
                self.error(path, message, Some("use `https://`"));
            }
        }
    }
}
