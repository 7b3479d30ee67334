//! Checks the client authentication of introspection requests.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde_json::Value;

use super::{
    http1::{Request, form_decoded},
    keys::SigningKey,
};

/// The client authentication method that the provider requires.
#[derive(Clone)]
pub(crate) enum ExpectedClientAuth {
    /// `client_secret_basic` as RFC 6749 section 2.3.1 writes it.
    Basic { id: String, secret: String },
    /// The same, as accepted by servers that do not decode it.
    BasicRaw { id: String, secret: String },
    /// `private_key_jwt` with this audience.
    PrivateKeyJwt {
        id: String,
        key: Box<SigningKey>,
        audience: String,
    },
    /// `client_secret_post`.
    Post { id: String, secret: String },
}

impl ExpectedClientAuth {
    /// The client ID.
    pub(crate) fn client_id(&self) -> &str {
        match self {
            Self::Basic { id, .. }
            | Self::BasicRaw { id, .. }
            | Self::PrivateKeyJwt { id, .. }
            | Self::Post { id, .. } => id,
        }
    }

    /// The error in the client authentication, if there is one.
    pub(super) fn client_auth_fault(
        &self,
        request: &Request,
        used: &mut BTreeSet<String>,
    ) -> Option<String> {
        let form = request.form();
        let field = |name: &str| {
            let mut values = form.iter().filter(|(key, _)| key == name);
            let value = values.next().map(|(_, value)| value.as_str());
            // Authenticating twice is as wrong as not at all.
            value.filter(|_| values.next().is_none())
        };
        let in_form = ["client_secret", "client_assertion"]
            .iter()
            .filter(|name| form.iter().any(|(key, _)| key == *name))
            .count();
        let in_head = usize::from(request.header("authorization").is_some());
        if in_form + in_head != 1 {
            // zitadel/oidc: "must not use more than one method".
            return Some(format!("{} methods at once", in_form + in_head));
        }
        match self {
            Self::Basic { id, secret } => {
                let (name, password) = basic_credentials(request, form_decoded)?;
                (name != *id || password != *secret).then(|| "wrong basic".to_owned())
            }
            Self::BasicRaw { id, secret } => {
                let (name, password) = basic_credentials(request, str::to_owned)?;
                (name != *id || password != *secret).then(|| "wrong raw basic".to_owned())
            }
            Self::Post { id, secret } => (field("client_id") != Some(id)
                || field("client_secret") != Some(secret))
            .then(|| "wrong post".to_owned()),
            Self::PrivateKeyJwt { id, key, audience } => {
                if field("client_assertion_type")
                    != Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
                {
                    return Some("no assertion type".to_owned());
                }
                assertion_fault(field("client_assertion")?, id, key, audience, used)
            }
        }
    }
}

/// The client ID and the secret; empty if they are missing, which the caller
/// reports as an error.
fn basic_credentials(request: &Request, read: impl Fn(&str) -> String) -> Option<(String, String)> {
    let nothing = Some((String::new(), String::new()));
    let Some(value) = request.header("authorization") else {
        return nothing;
    };
    let Some(text) = value
        .strip_prefix("Basic ")
        .and_then(|text| STANDARD.decode(text).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok())
    else {
        return nothing;
    };
    match text.split_once(':') {
        Some((name, password)) => Some((read(name), read(password))),
        None => nothing,
    }
}

/// RFC 7523 section 3, and what known servers require in addition: an unused
/// `jti`, a short lifetime, and the key ID.
fn assertion_fault(
    assertion: &str,
    id: &str,
    key: &SigningKey,
    audience: &str,
    used: &mut BTreeSet<String>,
) -> Option<String> {
    let header = match decode_header(assertion) {
        Ok(header) => header,
        Err(error) => return Some(error.to_string()),
    };
    if header.kid.as_deref() != Some(key.id.as_str()) {
        return Some(format!("key {:?}", header.kid));
    }
    let mut validation = Validation::new(Algorithm::RS256);
    validation.leeway = 0;
    validation.set_audience(&[audience]);
    validation.set_issuer(&[id]);
    validation.set_required_spec_claims(&["aud", "exp", "iss", "sub"]);
    let claims = match decode::<Value>(assertion, &key.decoding(), &validation) {
        Ok(token) => token.claims,
        Err(error) => return Some(error.to_string()),
    };
    if claims["sub"] != *id {
        return Some("another subject".to_owned());
    }
    let now = jiff::Timestamp::now().as_second();
    let (Some(issued), Some(expires)) = (claims["iat"].as_i64(), claims["exp"].as_i64()) else {
        return Some("no times".to_owned());
    };
    // Zitadel: `iat` at most one second in the future.
    if issued > now + 1 || expires - issued > 60 {
        return Some(format!("issued {issued}, expires {expires}, now {now}"));
    }
    match claims["jti"].as_str() {
        Some(jti) if jti.len() >= 16 => {
            (!used.insert(jti.to_owned())).then(|| "used before".to_owned())
        }
        _ => Some("no jti".to_owned()),
    }
}
