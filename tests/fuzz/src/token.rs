//! Tokens, and what identity providers answer about them.
//!
//! The first line of an input is the instance (`opaque` or `signed`) and the
//! `Authorization` field. `JWT` in it is the token of the sections that begin with
//! the lines `header` and `claims`, signed with a key that the provider has. The
//! other sections are the provider's answers ([`Script`]). `ISSUER` is the issuer.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use jsonwebtoken::{Algorithm, EncodingKey};
use odoo_sim::ADMIN_KEY;
use serde_json::{Value, json};

use crate::{
    script::{Script, first_line, sections},
    stack::{Stack, post_head},
};

/// The role that a token must have at the provider.
const ROLE: &str = "odoo_reader";

thread_local! {
    static STACK: Stack = Stack::new(&configuration());
    static KEY: EncodingKey =
        EncodingKey::from_ed_pem(include_bytes!("../../fixtures/identity/ed25519.pem")).unwrap();
}

fn configuration() -> String {
    let instance = |name: &str| {
        format!(
            r#"
[instances.{name}]
url = "http://PEER"
api_key = "{ADMIN_KEY}"
providers = ["{name}"]
public_urls = ["{}"]
[providers.{name}]
issuer = "http://PEER/{name}"
ca_file = "authority.pem"
[[grants]]
roles = ["reader"]
provider = "{name}"
provider_role = "{ROLE}"
"#,
            audience(name)
        )
    };
    let [opaque, signed] = ["opaque", "signed"].map(instance);
    let opaque = opaque.replace(
        "ca_file",
        "client_id = \"gate\"\nclient_secret = \"0123456789abcdef\"\nintrospection_url = \"http://PEER/opaque/introspect\"\nca_file",
    );
    let signed = signed.replace("ca_file", "validation = \"jwt\"\nca_file");
    format!("{opaque}{signed}[roles.reader]\nrules = [{{ models = [\"*\"] }}]\n")
}

fn audience(instance: &str) -> String {
    format!("https://gw.example.com/{instance}/mcp")
}

pub(crate) fn run(data: &[u8]) {
    let (first, rest) = first_line(data);
    let Some(space) = first.iter().position(|byte| *byte == b' ') else {
        return;
    };
    let (instance, field) = first.split_at(space);
    let instance = match instance {
        b"opaque" => "opaque",
        b"signed" => "signed",
        _ => return,
    };
    let field = field.trim_ascii_start();
    STACK.with(|stack| {
        let issuer = format!("http://{}/{instance}", stack.authority());
        let rest = replace(rest, b"ISSUER", issuer.as_bytes());
        let part = |name: &[u8]| {
            let mut sections = sections(&rest).map(first_line);
            sections.find(|(first, _)| *first == name).map(|one| one.1)
        };
        let (jwt_header, jwt_claims) = (part(b"header"), part(b"claims"));
        let token = jwt_header.zip(jwt_claims).map(|(header, claims)| {
            let text = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
            let text = text.join(".");
            let sign = |key: &EncodingKey| {
                jsonwebtoken::crypto::sign(text.as_bytes(), key, Algorithm::EdDSA).unwrap()
            };
            format!("{text}.{}", KEY.with(sign))
        });
        let field = replace(field, b"JWT", token.unwrap_or_default().as_bytes());
        let Ok(field) = HeaderValue::from_bytes(&field) else {
            return;
        };
        let mut head = post_head(&format!("/{instance}/mcp"));
        head.host = Some("gw.example.com".to_owned());
        head.headers.insert(header::AUTHORIZATION, field);
        let own = issuer.clone();
        let outcome = stack.exchange(
            data,
            head,
            Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#),
            Script::parse(sections(&rest)),
            move |request| Some(answer(&own, request)),
        );
        if outcome.response.status != StatusCode::OK {
            return;
        }
        // An accepted token has claims that anyone would accept.
        let (first, claims) = if instance == "opaque" {
            let mut sections = sections(&rest).map(first_line);
            let answer = sections.find(|(first, _)| first.starts_with(b"introspect "));
            ("active", answer.map(|one| one.1))
        } else {
            let header: Value = serde_json::from_slice(jwt_header.unwrap()).unwrap();
            assert_eq!(header["alg"], "EdDSA");
            ("iss", jwt_claims)
        };
        let claims: Value = serde_json::from_slice(claims.unwrap()).unwrap();
        let wanted = if first == "active" {
            json!(true)
        } else {
            json!(issuer)
        };
        assert_eq!(claims[first], wanted);
        let has = |claim: &Value, text: &str| match claim {
            Value::Array(all) => all.contains(&json!(text)),
            Value::Object(all) => all.contains_key(text),
            one => one
                .as_str()
                .is_some_and(|one| one.split(' ').any(|one| one == text)),
        };
        assert!(has(&claims["aud"], &audience(instance)), "{claims}");
        assert!(
            claims.get("iss").is_none_or(|iss| *iss == issuer),
            "{claims}"
        );
        let expires = claims["exp"].as_f64().unwrap();
        let now = jiff::Timestamp::now().as_duration().as_secs_f64();
        assert!(expires > now - 60.0, "{claims}");
    });
}

/// What the provider answers if the input does not say.
fn answer(issuer: &str, request: &Request<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    let path = request.uri().path();
    let body = if path.contains("/.well-known/") {
        json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "introspection_endpoint": format!("{issuer}/introspect"),
            "jwks_uri": format!("{issuer}/keys"),
        })
    } else if path.ends_with("/keys") {
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "1", "use": "sig", "x": "QSBIzyaLQhbUlfb-ZPSPE8T7CnthRhtrFfv2xDlxQZk"}]})
    } else {
        *response.status_mut() = StatusCode::NOT_FOUND;
        Value::Null
    };
    *response.body_mut() = Bytes::from(body.to_string());
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn replace(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(from) {
            replaced.extend_from_slice(to);
            rest = after;
        } else {
            replaced.push(*first);
            rest = after;
        }
    }
    replaced
}
