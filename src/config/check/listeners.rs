//! Checks of `[server]` and `[admin]`.

use super::{ConfigChecker, http_url::HttpUrl};

impl ConfigChecker<'_> {
    pub(super) fn listeners(&mut self) {
        let server = &self.config.server;
        if server.listen.is_empty() {
            let hint = "such as `[\"127.0.0.1:8080\"]`";
            self.error(path!["server", "listen"], "the list is empty", Some(hint));
        }
        for (index, address) in server.listen.iter().enumerate() {
            let path = path!["server", "listen", index];
            let mut earlier = server.listen.iter().take(index);
            if earlier.any(|other| other == address) {
                self.error(path, &format!("`{address}` is listed twice"), None);
            }
            // Port 0 is a free port each time.
            if self.config.admin.listen == Some(*address) && address.port() != 0 {
                self.error(
                    path,
                    &format!("`{address}` is also the address of the admin listener"),
                    Some("give `admin.listen` its own port"),
                );
            }
        }
        if let Some(tls) = &server.tls {
            let (certificate, key) = (
                path!["server", "tls", "certificate_file"],
                path!["server", "tls", "key_file"],
            );
            self.check_readable(certificate, &tls.certificate_file);
            self.check_readable(key, &tls.key_file);
            self.warn_if_readable(key, &tls.key_file, "the private key");
        }
        if let Some(role) = &server.anonymous_role {
            let path = path!["server", "anonymous_role"];
            self.check_role_exists(path, role);
            let mut addresses = server.listen.iter();
            if let Some(open) = addresses.find(|address| !address.ip().is_loopback()) {
                self.error(
                    path,
                    &format!("unauthenticated callers are allowed only on loopback, and `{open}` can be reached from other machines"),
                    Some("remove `anonymous_role` and create keys with `gatepost key new`, or listen on 127.0.0.1"),
                );
            } else {
                let message = format!(
                    "every process on this machine has access without authentication, with the role `{role}`"
                );
                self.warning(path, &message, None);
            }
        }
    }

    pub(super) fn origins(&mut self) {
        for (index, origin) in self.config.server.allowed_origins.iter().enumerate() {
            if !HttpUrl::parse(origin).is_ok_and(|url| url.path == "/" && !origin.ends_with('/')) {
                self.error(
                    path!["server", "allowed_origins", index],
                    "this is not a web origin",
                    Some("write scheme, host and any port, such as `https://inspector.example`, without a `/` at the end"),
                );
            }
        }
    }
}
