//! Attacks and invalid input against a gateway whose callers come from an
//! identity provider, one test for each row of the attack table.
//!
//! Every rejection is checked alike: the response is the same for every cause,
//! no request reached Odoo, and neither the response nor the log contains a
//! secret.

mod anonymous;
mod api_keys;
mod authorization_header;
mod check_token;
mod claims;
mod configuration;
mod facade;
mod flood;
mod host;
mod instances;
mod introspection;
mod jwt;
mod metadata;
mod oracle;
mod outage;
mod policy;
mod proof;
mod provider_endpoints;
mod real_providers;
mod revocation;
mod zitadel;

use std::{
    net::TcpListener,
    sync::{Mutex, OnceLock},
    thread,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use gatepost_identity::CheckResult;
use odoo_sim::{ADMIN_KEY, SALES_KEY};
use serde_json::{Value, json};

use configuration::READER_GRANT;
pub(crate) use configuration::{ConfigOverrides, PRODUCTION, STAGING, configuration};

use crate::{
    idp::{ExpectedClientAuth, Idp, random_hex},
    log,
    test_gateway::{TestGateway, TestResponse, tool_call},
};

const JSON: &str = "Content-Type: application/json";
const HOST: &str = "Host: gw.example.com";

/// Timeouts for a provider's responses that tests can wait for.
const SHORT_TIMEOUTS: &str = "timeout_ms = 1000\nconnect_timeout_ms = 1000";
/// Settings for tests without a cache: no response is cached.
pub(crate) const NO_CACHE: &str = "cache_ttl_s = 0\nnegative_ttl_s = 0";
/// Settings for signed tokens that are verified by the gateway.
pub(crate) const VALIDATE_JWT: &str = "validation = \"jwt\"";

/// The body and the description of every rejection of a token.
static FIRST_REJECTION: [OnceLock<(String, String)>; 2] = [const { OnceLock::new() }; 2];

/// A provider, and a gateway with two instances that trusts it.
///
/// Fields are dropped in this order: when the log is searched, nothing writes
/// to it any more.
pub(crate) struct IdpFixture {
    pub(crate) gateway: TestGateway,
    pub(crate) idp: Idp,
    secrets: SecretLeakCheck,
}

/// Texts that must never be logged. Checks that when dropped.
struct SecretLeakCheck {
    ours: Vec<String>,
    tokens: Mutex<Vec<String>>,
    log_from: usize,
}

impl Drop for SecretLeakCheck {
    fn drop(&mut self) {
        if thread::panicking() {
            return;
        }
        let log = log::written_since(self.log_from);
        let tokens = self.tokens.lock().unwrap();
        for secret in self.ours.iter().chain(tokens.iter()) {
            let line = log.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "the log contains a secret");
        }
    }
}

impl IdpFixture {
    pub(crate) fn start() -> Self {
        Self::with_config(ConfigOverrides::default())
    }

    /// Starts both with these lines in `[providers.company]`.
    pub(crate) fn with_provider(lines: &str) -> Self {
        Self::with_config(ConfigOverrides::of_provider(lines))
    }

    pub(crate) fn with_config(words: ConfigOverrides<'_>) -> Self {
        Self::with_idp(Idp::start(), words)
    }

    pub(crate) fn with_idp(idp: Idp, words: ConfigOverrides<'_>) -> Self {
        let text = configuration(&idp, words);
        let mut files = vec![("sales.key", SALES_KEY.to_owned())];
        if let ExpectedClientAuth::PrivateKeyJwt { id, key, .. } = idp.client_auth() {
            files.push((
                "zitadel-key.json",
                zitadel_key(&id, &key.id, &key.private_pem()),
            ));
        }
        if let Some(authority) = &idp.authority {
            files.push(("authority.pem", authority.clone()));
        }
        let files: Vec<_> = files
            .iter()
            .map(|(name, content)| (*name, content.as_str()))
            .collect();
        let log_from = log::length();
        let gateway = TestGateway::from_config_with_files(&text, &files);
        let mut secrets = vec![ADMIN_KEY.to_owned(), SALES_KEY.to_owned()];
        match idp.client_auth() {
            ExpectedClientAuth::Basic { id, secret }
            | ExpectedClientAuth::BasicRaw { id, secret }
            | ExpectedClientAuth::Post { id, secret } => {
                secrets.extend(secret_encodings(&id, &secret));
            }
            ExpectedClientAuth::PrivateKeyJwt { .. } => {}
        }
        Self {
            gateway,
            idp,
            secrets: SecretLeakCheck {
                ours: secrets,
                tokens: Mutex::default(),
                log_from,
            },
        }
    }

    /// What `check --live` finds out about the provider.
    pub(crate) fn check(&self) -> Vec<CheckResult> {
        self.gateway.check_providers().remove(0).1
    }

    /// The claims of a valid token for production.
    pub(crate) fn claims(&self) -> Value {
        let now = jiff::Timestamp::now().as_second();
        json!({
            "iss": self.idp.issuer(),
            "aud": PRODUCTION,
            "sub": format!("u-{}", random_hex(6)),
            "exp": now + 600,
            "iat": now,
            "nbf": now,
            "scope": "openid odoo:read",
            "client_id": "mcp-client",
            "token_type": "Bearer",
            "jti": random_hex(8),
            "roles": ["odoo_reader"],
        })
    }

    /// The claims of a valid token with these changes; `null` removes a claim.
    pub(crate) fn claims_with(&self, changes: &Value) -> Value {
        let mut claims = self.claims();
        let all = claims.as_object_mut().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                all.shift_remove(name);
            } else {
                all.insert(name.clone(), value.clone());
            }
        }
        claims
    }

    /// A valid opaque token.
    pub(crate) fn token(&self) -> String {
        self.idp.issue_opaque(self.claims())
    }

    /// An opaque token with these changes to its claims.
    pub(crate) fn token_with(&self, changes: &Value) -> String {
        self.idp.issue_opaque(self.claims_with(changes))
    }

    /// A signed token with these changes to its claims.
    pub(crate) fn jwt_with(&self, changes: &Value) -> String {
        self.idp.issue_jwt(&json!({}), &self.claims_with(changes))
    }

    /// Calls a tool in production.
    pub(crate) fn call(&self, token: &str) -> TestResponse {
        self.call_at("/production/mcp", HOST, token)
    }

    /// Calls a tool with this path and host.
    pub(crate) fn call_at(&self, path: &str, host: &str, token: &str) -> TestResponse {
        let bearer = format!("Authorization: Bearer {token}");
        self.gateway
            .request("POST", path, &[JSON, host, &bearer], &count_request())
    }

    /// Asserts that the call is served and that the log does not contain the
    /// token.
    pub(crate) fn assert_served(&self, token: &str) {
        let before = self.gateway.fake_odoo.calls().len();
        let answer = self.call(token);
        assert_eq!(answer.status, 200, "{answer:?}");
        let (text, failed) = answer.tool_result();
        assert!(!failed, "{text}");
        assert!(self.gateway.fake_odoo.calls().len() > before);
        self.assert_no_leak(&answer, token);
    }

    /// Asserts that the token is rejected like every invalid token.
    #[track_caller]
    pub(crate) fn assert_rejected(&self, token: &str) -> TestResponse {
        self.assert_rejected_at("/production/mcp", HOST, token)
    }

    #[track_caller]
    pub(crate) fn assert_rejected_at(&self, path: &str, host: &str, token: &str) -> TestResponse {
        let before = self.gateway.fake_odoo.calls().len();
        let answer = self.call_at(path, host, token);
        assert_eq!(answer.status, 401, "{answer:?}");
        assert_eq!(
            self.gateway.fake_odoo.calls().len(),
            before,
            "Odoo was asked"
        );
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(
            challenge.contains("error=\"invalid_token\"")
                && challenge.contains("resource_metadata="),
            "{challenge}"
        );
        assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"));
        // There is one text for all causes, and one for tokens in the form of our
        // API keys.
        let description = error_description(&challenge);
        let said = &FIRST_REJECTION[usize::from(token.starts_with("gp_"))];
        let said = said.get_or_init(|| (answer.body.clone(), description.clone()));
        assert_eq!((&answer.body, &description), (&said.0, &said.1));
        self.assert_no_leak(&answer, token);
        answer
    }

    /// Asserts that the response is 503, because the provider cannot be asked.
    #[track_caller]
    pub(crate) fn assert_unavailable(&self, token: &str) -> TestResponse {
        let before = self.gateway.fake_odoo.calls().len();
        let answer = self.call(token);
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_eq!(
            self.gateway.fake_odoo.calls().len(),
            before,
            "Odoo was asked"
        );
        let after = answer.header("retry-after").unwrap();
        assert!(
            after.parse::<u32>().is_ok_and(|after| after >= 1),
            "{after}"
        );
        assert!(answer.header("www-authenticate").is_none());
        assert!(answer.json()["error"]["message"].is_string());
        for internal in [self.idp.issuer(), "127.0.0.1", "introspect", "jwks"] {
            assert!(!answer.body.contains(internal), "{}", answer.body);
        }
        self.assert_no_leak(&answer, token);
        answer
    }

    /// Asserts this status, without a call to Odoo and without introspection.
    #[track_caller]
    pub(crate) fn assert_refused_early(&self, answer: &TestResponse, status: u16, token: &str) {
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(self.gateway.fake_odoo.calls().is_empty(), "Odoo was asked");
        assert!(self.idp.requests().is_empty(), "the provider was asked");
        self.assert_no_leak(answer, token);
    }

    /// Asserts that the response contains no secret, and that the log never will.
    #[track_caller]
    pub(crate) fn assert_no_leak(&self, answer: &TestResponse, token: &str) {
        for secret in self.secrets.ours.iter().map(String::as_str).chain([token]) {
            if secret.len() < 8 {
                continue;
            }
            assert!(!answer.head.contains(secret), "{}", answer.head);
            assert!(!answer.body.contains(secret), "{}", answer.body);
        }
        if token.len() >= 8 {
            self.secrets.tokens.lock().unwrap().push(token.to_owned());
        }
    }
}

/// A tool call that sends a call to Odoo.
pub(crate) fn count_request() -> String {
    tool_call("count_records", &json!({"model": "res.partner"})).to_string()
}

/// The error description in a challenge.
fn error_description(challenge: &str) -> String {
    challenge
        .split("error_description=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap_or_default()
        .to_owned()
}

/// The key file that Zitadel issues for an API application.
pub(crate) fn zitadel_key(client: &str, key: &str, pem: &str) -> String {
    json!({
        "type": "application", "keyId": key, "key": pem,
        "appId": "78366403256846242", "clientId": client,
    })
    .to_string()
}

/// A secret in all its encodings.
fn secret_encodings(id: &str, secret: &str) -> Vec<String> {
    let basic = STANDARD.encode(format!("{}:{}", form_encoded(id), form_encoded(secret)));
    let raw = STANDARD.encode(format!("{id}:{secret}"));
    vec![secret.to_owned(), form_encoded(secret), basic, raw]
}

/// Encodes a text as `application/x-www-form-urlencoded`.
fn form_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b' ' => "+".to_owned(),
            byte if byte.is_ascii_alphanumeric() || b"*-._".contains(&byte) => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

/// A listener that must not be connected to, and detects if it is.
pub(crate) struct ForbiddenListener {
    listener: TcpListener,
}

impl ForbiddenListener {
    /// On a free port of a local address.
    pub(crate) fn bind(address: &str) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { listener }
    }

    pub(crate) fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    /// Asserts that there was no connection.
    #[track_caller]
    pub(crate) fn assert_untouched(&self) {
        // Any connection is in the queue before the response that followed it.
        assert!(self.listener.accept().is_err(), "a connection was made");
    }
}
