//! Checks of `[server]` and `[admin]`.

use super::{ConfigChecker, http_url::HttpUrl};
use gatepost_tls::ServerCertificate;

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
        if server.max_bodies_bytes / 4 < server.max_body_bytes {
            self.error(
                path!["server", "max_bodies_bytes"],
                "a caller gets a quarter of it, which is less than `server.max_body_bytes`, so the largest bodies would always be refused",
                Some(&format!("write at least {}", server.max_body_bytes.saturating_mul(4))),
            );
        }
        if let Some(tls) = &server.tls {
            let certificate = path!["server", "tls", "certificate_file"];
            let key = path!["server", "tls", "key_file"];
            let readable = [
                self.check_readable(certificate, &tls.certificate_file),
                self.check_readable(key, &tls.key_file),
            ];
            if readable == [true, true]
                && let Err(invalid) = ServerCertificate::load(&tls.certificate_file, &tls.key_file)
            {
                let path = path!["server", "tls", invalid.setting()];
                self.error(path, &invalid.to_string(), invalid.remedy());
            }
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
            } else if let Some(setting) = self.setting_for_other_machines() {
                self.error(
                    path,
                    &format!("`{setting}` is for callers from other machines, and a proxy on this machine would let all of them in without authentication"),
                    Some(&format!("remove `anonymous_role` and create keys with `gatepost key new`, or remove `{setting}`")),
                );
            } else {
                let message = format!(
                    "every process on this machine has access without authentication, with the role `{role}`"
                );
                self.warning(path, &message, None);
            }
        }
    }

    /// A setting that makes sense only if callers are on other machines.
    fn setting_for_other_machines(&self) -> Option<String> {
        let config = self.config;
        let is_remote = |url: &String| HttpUrl::parse(url).is_ok_and(|url| !url.is_loopback());
        let mut instances = config.instances.iter();
        let public = instances.find(|(_, one)| one.public_urls.iter().any(is_remote));
        let mut hosts = config.server.allowed_hosts.iter();
        let has_remote_host = hosts.any(|host| is_remote(&format!("http://{host}")));
        if let Some((name, _)) = public {
            Some(format!("instances.{name}.public_urls"))
        } else if has_remote_host {
            Some("server.allowed_hosts".to_owned())
        } else if !config.server.trusted_proxies.is_empty() {
            Some("server.trusted_proxies".to_owned())
        } else if !config.providers.is_empty() {
            Some("providers".to_owned())
        } else if config.facade.is_some() {
            Some("facade".to_owned())
        } else {
            None
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
