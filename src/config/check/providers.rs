//! Checks of `[providers.NAME]`.

use std::{net::IpAddr, sync::Arc};

use super::{
    ConfigChecker,
    http_url::HttpUrl,
    secret::{self, SecretKeys},
};
use crate::config::{BasicEncoding, ClientAuthMethod, ProviderConfig, ProviderKind, StepUp};
use gatepost_base::ProviderName;
use gatepost_identity::{ClientAuth, ClientKey, Secret, Validation, is_supported_algorithm};

impl ConfigChecker<'_> {
    pub(super) fn providers(&mut self) {
        let config = self.config;
        for (name, provider) in &config.providers {
            self.issuer(name, provider);
            self.endpoints(name, provider);
            self.signatures(name, provider);
            self.claims(name, provider);
            if let Some(auth) = self.client_auth(name, provider) {
                let auths = &mut self.findings.secrets.client_auths;
                auths.insert(name.clone(), Arc::new(auth));
            }
            let timeouts = (provider.connect_timeout_ms, provider.timeout_ms);
            self.check_timeouts(path!["providers", name], timeouts);
            self.check_ca_file(
                path!["providers", name, "ca_file"],
                provider.ca_file.as_deref(),
            );
        }
    }

    fn issuer(&mut self, name: &ProviderName, provider: &ProviderConfig) {
        let path = path!["providers", name, "issuer"];
        if let Some(url) = self.url(path, &provider.issuer) {
            let message = "tokens and the client secret are sent unencrypted";
            if !url.secure && !url.is_internal() {
                self.error(path, message, Some("use `https://`"));
            } else if !url.secure && !url.is_loopback() {
                self.warning(path, message, Some("use `https://`"));
            }
            let is_address = url.host.parse::<IpAddr>().is_ok() || url.is_loopback();
            if url.is_internal() && !is_address && provider.private_networks.is_empty() {
                self.error(
                    path,
                    "this name is in a private network, where providers are allowed only if `private_networks` lists it",
                    Some(&format!("set `providers.{name}.private_networks`, such as `[\"172.16.0.0/12\"]` for Docker's")),
                );
            }
        }
        if provider.project.is_some()
            && !matches!(provider.kind, ProviderKind::Other | ProviderKind::Zitadel)
        {
            self.error(
                path!["providers", name, "project"],
                "only Zitadel has projects",
                Some("set `kind = \"zitadel\"`, or `audiences` of the instances"),
            );
        }
    }

    fn endpoints(&mut self, name: &ProviderName, provider: &ProviderConfig) {
        for (key, url) in [
            ("introspection_url", &provider.introspection_url),
            ("jwks_url", &provider.jwks_url),
        ] {
            let path = path!["providers", name, key];
            let url = url.as_deref().and_then(|url| self.url(path, url));
            if url.is_some_and(|url: HttpUrl| !url.secure && !url.is_internal()) {
                self.error(path, "this must be `https://`", None);
            }
        }
        if matches!(provider.kind, ProviderKind::Auth0 | ProviderKind::Entra)
            && provider.validation() != Validation::Jwt
            && provider.introspection_url.is_none()
        {
            self.error(
                path!["providers", name, "validation"],
                "this provider has no introspection endpoint",
                Some("set `validation = \"jwt\"`"),
            );
        }
    }

    fn signatures(&mut self, name: &ProviderName, provider: &ProviderConfig) {
        let key = "algorithms";
        let algorithms = provider.algorithms();
        if algorithms.is_empty() && provider.validation() != Validation::Introspection {
            self.error(
                path!["providers", name, key],
                "the list is empty, so every signature would be rejected",
                Some("remove the key to use the default"),
            );
        }
        for (index, algorithm) in algorithms.iter().enumerate() {
            if !is_supported_algorithm(algorithm) {
                self.error(
                    path!["providers", name, key, index],
                    &format!("`{algorithm}` is not a supported signature algorithm"),
                    Some("supported: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 and EdDSA; none with a shared secret"),
                );
            }
        }
    }

    fn claims(&mut self, name: &ProviderName, provider: &ProviderConfig) {
        let lists = [
            ("role_claims", provider.role_claims.as_deref()),
            ("scope_claims", Some(&*provider.scope_claims)),
        ];
        for (key, list) in lists {
            for (index, pointer) in list.unwrap_or_default().iter().enumerate() {
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
                "Zitadel does not grant the gateway's scopes, so a client sent there for one returns without it",
                Some("remove the key"),
            );
        }
        if provider.allow_missing_token_type {
            self.warning(
                path!["providers", name, "allow_missing_token_type"],
                "refresh tokens may be accepted as access tokens",
                None,
            );
        }
    }

    /// The gateway's own credentials at the provider, from the configuration and its files.
    fn client_auth(
        &mut self,
        name: &ProviderName,
        provider: &ProviderConfig,
    ) -> Option<ClientAuth> {
        let introspects = provider.validation() != Validation::Jwt;
        let has_key = provider.key_file.is_some();
        let has_secret = provider.client_secret.is_some() || provider.client_secret_file.is_some();
        let is_none = provider.client_auth == Some(ClientAuthMethod::None);
        if !introspects && !has_key && !has_secret && !is_none {
            return None;
        }
        match provider.client_auth() {
            ClientAuthMethod::None => self.no_client_auth(name, provider, has_key || has_secret),
            ClientAuthMethod::PrivateKeyJwt => self.client_key(name, provider),
            ClientAuthMethod::ClientSecretBasic => {
                let (client_id, secret) = self.client_secret(name, provider)?;
                let raw = provider.basic_encoding == BasicEncoding::Raw;
                Some(ClientAuth::Basic {
                    client_id,
                    secret,
                    raw,
                })
            }
            ClientAuthMethod::ClientSecretPost => {
                let (client_id, secret) = self.client_secret(name, provider)?;
                Some(ClientAuth::Post { client_id, secret })
            }
        }
    }

    /// No credentials, if only the gateway's network reaches the endpoint.
    fn no_client_auth(
        &mut self,
        name: &ProviderName,
        provider: &ProviderConfig,
        has_credentials: bool,
    ) -> Option<ClientAuth> {
        let path = path!["providers", name, "client_auth"];
        let url = provider
            .introspection_url
            .as_ref()
            .unwrap_or(&provider.issuer);
        if !HttpUrl::parse(url).is_ok_and(|url| url.is_internal()) {
            self.error(
                path,
                "without credentials only an introspection endpoint on a private address may be used",
                Some("set `introspection_url` to its internal address, or another `client_auth`"),
            );
            return None;
        }
        if has_credentials {
            let message = "with `none` the gateway's secret or key is not used";
            self.error(path, message, Some("remove one of them"));
            return None;
        }
        self.warning(
            path,
            "every program that reaches the introspection endpoint can find out what a token is for",
            Some("use `client_id` and `client_secret_file` if the provider supports them there"),
        );
        let client_id = provider.client_id.clone().unwrap_or_default();
        Some(ClientAuth::None { client_id })
    }

    fn client_key(&mut self, name: &ProviderName, provider: &ProviderConfig) -> Option<ClientAuth> {
        let path = path!["providers", name, "key_file"];
        let Some(file) = &provider.key_file else {
            self.error(
                path,
                "`private_key_jwt` needs a key",
                Some("set `key_file` to Zitadel's key file, a PEM, or a JWK"),
            );
            return None;
        };
        self.warn_if_readable(path, file, "the gateway's private key");
        let key = secret::read(file, secret::text).and_then(|text| {
            let (key_id, client_id) = (provider.key_id.as_deref(), provider.client_id.as_deref());
            ClientKey::read(&text, key_id, client_id).map_err(|error| error.to_string())
        });
        let key = key
            .map_err(|message| self.error(path, &message, None))
            .ok()?;
        if key.is_zitadel_key_file() && !provider.is_zitadel() {
            self.error(
                path!["providers", name, "kind"],
                "the key file is from Zitadel, and `kind` names another provider",
                Some("set `kind = \"zitadel\"` and `project`"),
            );
        }
        let audience = provider.assertion_audience.clone();
        Some(ClientAuth::PrivateKey {
            key,
            audience: audience.unwrap_or_else(|| provider.issuer.clone()),
        })
    }

    fn client_secret(
        &mut self,
        name: &ProviderName,
        provider: &ProviderConfig,
    ) -> Option<(String, Secret)> {
        let client_id = provider.client_id.clone().filter(|id| !id.is_empty());
        if client_id.is_none() {
            self.error(
                path!["providers", name, "client_id"],
                "the id of the gateway's client at the provider is missing; introspection needs it",
                Some("create a client for this gateway there, and set its id"),
            );
        }
        let keys = SecretKeys {
            table: path!["providers", name],
            key: "client_secret",
            inline: provider.client_secret.as_deref(),
            file: provider.client_secret_file.as_deref(),
            parse: secret::text,
        };
        if keys.is_missing() {
            self.error(
                &keys.path(),
                "the gateway's client secret at the provider is missing",
                Some("set `client_secret_file` to a file that holds it, or `key_file`"),
            );
        }
        let secret = self.secret(&keys)?;
        Some((client_id?, Secret::new(&secret)))
    }
}
