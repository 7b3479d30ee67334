//! The optional facade.

use super::{ConfigChecker, http_url::HttpUrl};

impl ConfigChecker<'_> {
    pub(super) fn facade(&mut self) {
        let config = self.config;
        let Some(facade) = &config.facade else {
            return;
        };
        self.check_provider_exists(path!["facade", "provider"], &facade.provider);
        let path = path!["facade", "issuer"];
        match HttpUrl::parse(&facade.issuer) {
            Ok(url) if !url.secure && !url.is_loopback() => {
                self.error(path, "this must be `https://`", None);
            }
            Ok(url) if url.path == "/" && !facade.issuer.ends_with('/') => {
                let here = |text: &String| {
                    HttpUrl::parse(text).is_ok_and(|one| one.same_origin(&url))
                };
                let mut urls = config.instances.values().flat_map(|one| &one.public_urls);
                if !urls.any(here) {
                    self.warning(
                        path,
                        "no public URL is at this origin, so that no client asks here",
                        None,
                    );
                }
            }
            Ok(_) => self.error(
                path,
                "this is not an origin: clients look for the metadata at its root",
                Some("write scheme, host and port if any, such as `https://mcp.example.com`, without a `/` at the end"),
            ),
            Err((message, hint)) => self.error(path, message, Some(hint)),
        }
        if facade.client_id.is_empty() {
            self.error(path!["facade", "client_id"], "this is empty", None);
        }
        if facade.redirect_uris.is_empty() {
            self.error(
                path!["facade", "redirect_uris"],
                "without any, no client can register",
                Some("such as `[\"https://claude.ai/api/mcp/auth_callback\", \"http://localhost/callback\"]`"),
            );
        }
        for (index, uri) in facade.redirect_uris.iter().enumerate() {
            let path = path!["facade", "redirect_uris", index];
            if uri.contains('*') {
                self.error(
                    path,
                    "a redirect URI has no wildcards: codes would go to whoever finds one that fits",
                    Some("write each of them down"),
                );
            } else if uri.contains('#') || !uri.contains("://") {
                self.error(path, "this is not a redirect URI", None);
            } else if let Ok(url) = HttpUrl::parse(uri)
                && !url.secure
                && !url.is_loopback()
            {
                self.error(
                    path,
                    "codes would go over the network unencrypted",
                    Some("use `https://`"),
                );
            }
        }
    }
}
