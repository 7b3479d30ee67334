//! Where clients connect, and who may without proof.

use super::{ConfigChecker, http_url::HttpUrl, secret};

impl ConfigChecker<'_> {
    pub(super) fn listeners(&mut self) {
        let server = &self.config.server;
        if server.listen.is_empty() {
            self.error(
                path!["server", "listen"],
                "there must be an address to listen on",
                Some("such as `[\"127.0.0.1:8080\"]`"),
            );
        }
        for (index, address) in server.listen.iter().enumerate() {
            let path = path!["server", "listen", index];
            if server
                .listen
                .iter()
                .take(index)
                .any(|other| other == address)
            {
                self.error(path, &format!("`{address}` stands here twice"), None);
            }
            // Port 0 is a free port each time.
            if self.config.admin.listen == Some(*address) && address.port() != 0 {
                self.error(
                    path,
                    &format!("`{address}` is the address of the admin listener too"),
                    Some("give `admin.listen` a port of its own"),
                );
            }
        }
        if let Some(tls) = &server.tls {
            self.check_readable(
                path!["server", "tls", "certificate_file"],
                &tls.certificate_file,
            );
            self.check_readable(path!["server", "tls", "key_file"], &tls.key_file);
            if secret::is_readable_by_others(&tls.key_file) {
                self.warning(
                    path!["server", "tls", "key_file"],
                    "others than its owner can read the private key",
                    Some("chmod 600"),
                );
            }
        }
        if let Some(role) = &server.anonymous_role {
            let path = path!["server", "anonymous_role"];
            self.check_role_exists(path, role);
            if let Some(open) = server
                .listen
                .iter()
                .find(|address| !address.ip().is_loopback())
            {
                self.error(
                    path,
                    &format!("callers without proof are allowed only on loopback, and `{open}` is reached from outside"),
                    Some("remove `anonymous_role` and make keys with `gatepost key new`, or listen on 127.0.0.1"),
                );
            } else {
                self.warning(
                    path,
                    &format!(
                        "everybody on this machine gets in without proof, with the role `{role}`"
                    ),
                    None,
                );
            }
        }
    }

    pub(super) fn origins(&mut self) {
        for (index, origin) in self.config.server.allowed_origins.iter().enumerate() {
            let path = path!["server", "allowed_origins", index];
            match HttpUrl::parse(origin) {
                Ok(address) if address.path == "/" && !origin.ends_with('/') => {}
                Ok(_) | Err(_) => self.error(
                    path,
                    "this is not a web origin",
                    Some("write scheme, host and port if any, such as `https://inspector.example`, without a `/` at the end"),
                ),
            }
        }
    }
}
