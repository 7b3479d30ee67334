//! Each identity provider, by itself.

use std::sync::Arc;

use super::{ConfigChecker, http_url::HttpUrl, secret};
use crate::config::{BasicEncoding, ClientAuth, Provider, ProviderKind, StepUp, Validation};
use gatepost_base::ProviderName;
use gatepost_identity::{self, ClientKey, Secret, is_supported_algorithm};

impl ConfigChecker<'_> {
    pub(super) fn providers(&mut self) {
        let config = self.config;
        for (name, provider) in &config.providers {
            self.issuer(name, provider);
            self.endpoints(name, provider);
            self.signatures(name, provider);
            self.claims(name, provider);
            self.client_auth(name, provider);
            if let Some(file) = &provider.ca_file {
                self.check_readable(path!["providers", name, "ca_file"], file);
            }
            if provider.connect_timeout_ms > provider.timeout_ms {
                self.warning(
                    path!["providers", name, "connect_timeout_ms"],
                    "this is longer than `timeout_ms`, which ends the question first",
                    None,
                );
            }
        }
    }

    fn issuer(&mut self, name: &ProviderName, provider: &Provider) {
        let path = path!["providers", name, "issuer"];
        match HttpUrl::parse(&provider.issuer) {
            Ok(url) => {
                if !url.secure && !url.is_internal() {
                    self.error(
                        path,
                        "tokens and our secret would go over the network unencrypted",
                        Some("use `https://`"),
                    );
                } else if !url.secure && !url.is_loopback() {
                    self.warning(
                        path,
                        "tokens and our secret go over the network unencrypted",
                        Some("use `https://`"),
                    );
                }
                let written = url.host.parse::<std::net::IpAddr>().is_ok() || url.is_loopback();
                if url.is_internal() && !written && provider.private_networks.is_empty() {
                    self.error(
                        path,
                        "this is a name in your own network, where no provider is looked for unless you say so",
                        Some(&format!("set `providers.{name}.private_networks`, such as `[\"172.16.0.0/12\"]` for Docker's")),
                    );
                }
            }
            Err((message, hint)) => self.error(path, message, Some(hint)),
        }
        if provider.project.is_some()
            && !matches!(provider.kind, ProviderKind::Other | ProviderKind::Zitadel)
        {
            self.error(
                path!["providers", name, "project"],
                "projects are Zitadel's",
                Some("set `kind = \"zitadel\"`, or `audiences` of the instances"),
            );
        }
    }

    fn endpoints(&mut self, name: &ProviderName, provider: &Provider) {
        for (key, url) in [
            ("introspection_url", &provider.introspection_url),
            ("jwks_url", &provider.jwks_url),
        ] {
            let path = path!["providers", name, key];
            match url.as_deref().map(HttpUrl::parse) {
                Some(Ok(url)) if !url.secure && !url.is_internal() => {
                    self.error(path, "this must be `https://`", None);
                }
                Some(Err((message, hint))) => self.error(path, message, Some(hint)),
                Some(Ok(_)) | None => {}
            }
        }
        let cannot_be_asked = matches!(provider.kind, ProviderKind::Auth0 | ProviderKind::Entra);
        if cannot_be_asked
            && provider.validation() != Validation::Jwt
            && provider.introspection_url.is_none()
        {
            self.error(
                path!["providers", name, "validation"],
                "this provider has nowhere to ask about tokens",
                Some("set `validation = \"jwt\"`"),
            );
        }
    }

    fn signatures(&mut self, name: &ProviderName, provider: &Provider) {
        let key = "algorithms";
        if provider.algorithms.is_empty() && provider.validation() != Validation::Introspection {
            self.error(
                path!["providers", name, key],
                "without any algorithm no signature holds",
                Some("remove the key for the default"),
            );
        }
        for (index, algorithm) in provider.algorithms.iter().enumerate() {
            if !is_supported_algorithm(algorithm) {
                self.error(
                    path!["providers", name, key, index],
                    &format!("`{algorithm}` is no algorithm that a token may be signed with"),
                    Some("there are RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 and EdDSA; none with a shared secret"),
                );
            }
        }
    }

    fn claims(&mut self, name: &ProviderName, provider: &Provider) {
        let lists = [
            (
                "role_claims",
                provider.role_claims.clone().unwrap_or_default(),
            ),
            ("scope_claims", provider.scope_claims.clone()),
        ];
        for (key, list) in lists {
            for (index, pointer) in list.iter().enumerate() {
                if !pointer.starts_with('/') {
                    self.error(
                        path!["providers", name, key, index],
                        &format!("`{pointer}` is not a JSON pointer; it begins with `/`"),
                        Some(&format!(
                            "`/{}`; in a pointer, `~1` stands for a `/` in a name",
                            pointer.replace('~', "~0").replace('/', "~1")
                        )),
                    );
                }
            }
        }
        if provider.is_zitadel() && provider.step_up == Some(StepUp::Scope) {
            self.warning(
                path!["providers", name, "step_up"],
                "Zitadel grants no scopes of ours, so that a client that is sent for one comes back without it",
                Some("remove the key"),
            );
        }
        if provider.allow_missing_token_type {
            self.warning(
                path!["providers", name, "allow_missing_token_type"],
                "refresh tokens may pass for access tokens now",
                None,
            );
        }
    }

    /// How we prove who we are, from what stands there and in the files.
    fn client_auth(&mut self, name: &ProviderName, provider: &Provider) {
        let asks = provider.validation() != Validation::Jwt;
        let has_key = provider.key_file.is_some();
        let has_secret = provider.client_secret.is_some() || provider.client_secret_file.is_some();
        if !asks && !has_key && !has_secret {
            return;
        }
        let auth = match provider.client_auth() {
            ClientAuth::PrivateKeyJwt => self.client_key(name, provider),
            ClientAuth::ClientSecretBasic => {
                let pair = self.client_secret(name, provider);
                pair.map(|(client_id, secret)| gatepost_identity::ClientAuth::Basic {
                    client_id,
                    secret,
                    raw: provider.basic_encoding == BasicEncoding::Raw,
                })
            }
            ClientAuth::ClientSecretPost => {
                let pair = self.client_secret(name, provider);
                pair.map(|(client_id, secret)| gatepost_identity::ClientAuth::Post {
                    client_id,
                    secret,
                })
            }
        };
        if let Some(auth) = auth {
            self.findings
                .client_auths
                .insert(name.clone(), Arc::new(auth));
        }
    }

    fn client_key(
        &mut self,
        name: &ProviderName,
        provider: &Provider,
    ) -> Option<gatepost_identity::ClientAuth> {
        let path = path!["providers", name, "key_file"];
        let Some(file) = &provider.key_file else {
            self.error(
                path,
                "`private_key_jwt` needs a key",
                Some("set `key_file`: Zitadel's key file, a PEM, or a JWK"),
            );
            return None;
        };
        if secret::is_readable_by_others(file) {
            self.warning(
                path,
                "others than its owner can read the file with our private key",
                Some("chmod 600"),
            );
        }
        let read = secret::read_text(file).and_then(|text| {
            ClientKey::read(
                &text,
                provider.key_id.as_deref(),
                provider.client_id.as_deref(),
            )
            .map_err(|error| error.to_string())
        });
        match read {
            Ok(key) => {
                if key.is_zitadel_key_file() && !provider.is_zitadel() {
                    self.error(
                        path!["providers", name, "kind"],
                        "the key file is Zitadel's, and the provider is said to be another one",
                        Some("set `kind = \"zitadel\"` and `project`"),
                    );
                }
                let audience = provider.assertion_audience.clone();
                Some(gatepost_identity::ClientAuth::PrivateKey {
                    key,
                    audience: audience.unwrap_or_else(|| provider.issuer.clone()),
                })
            }
            Err(message) => {
                self.error(path, &message, None);
                None
            }
        }
    }

    fn client_secret(
        &mut self,
        name: &ProviderName,
        provider: &Provider,
    ) -> Option<(String, Secret)> {
        let here = path!["providers", name, "client_secret"];
        let in_file = path!["providers", name, "client_secret_file"];
        let client_id = provider.client_id.clone().filter(|id| !id.is_empty());
        if client_id.is_none() {
            self.error(
                path!["providers", name, "client_id"],
                "our client at the provider is missing: it asks about tokens",
                Some("make a client for this gateway there, and set its id"),
            );
        }
        let secret = match (&provider.client_secret, &provider.client_secret_file) {
            (Some(_), Some(_)) => {
                let hint = "keep one of them, better the file";
                let message = "`client_secret` and `client_secret_file` are both set";
                self.error(in_file, message, Some(hint));
                return None;
            }
            (None, None) => {
                self.error(
                    here,
                    "our secret at the provider is missing",
                    Some("set `client_secret_file` to a file that holds it, or `key_file`"),
                );
                return None;
            }
            (Some(secret), None) if secret.is_empty() => {
                self.error(here, "the secret is empty", None);
                return None;
            }
            (Some(secret), None) => secret.clone(),
            (None, Some(file)) => {
                if secret::is_readable_by_others(file) {
                    self.warning(
                        in_file,
                        "others than its owner can read the file with our secret",
                        Some("chmod 600"),
                    );
                }
                match secret::read_text(file) {
                    Ok(secret) => secret,
                    Err(message) => {
                        self.error(in_file, &message, None);
                        return None;
                    }
                }
            }
        };
        Some((client_id?, Secret::new(&secret)))
    }
}
