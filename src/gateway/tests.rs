//! What is shown to whom.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};

use super::{Admission, Door, Endpoint, Gateway, Guest, Head, Routes, Story};
use crate::access::{Instance, InstanceSettings};
use gatepost_base::{CredentialName, InstanceName, ProviderName, RoleName, TraceId};
use gatepost_identity::{
    ClientAuth, Grant, Grants, Provider, ProviderSettings, Secret, Validation,
};
use gatepost_mcp::Session;
use gatepost_odoo::Effect;
use gatepost_odoo_client::{ApiKey, Link, LinkSettings};
use gatepost_policy::{Pattern, Policy, Role, Rule, WriteMode};

const EFFECTS: [Effect; 5] = [
    Effect::Read,
    Effect::Create,
    Effect::Write,
    Effect::Delete,
    Effect::Run,
];

/// An instance that nobody calls.
fn instance(name: &InstanceName, service_key_writes: bool) -> Instance {
    let named = |name: &str| CredentialName::try_from(name).unwrap();
    let link = LinkSettings {
        url: "http://127.0.0.1:9".to_owned(),
        database: None,
        ca_file: None,
        connect_timeout: Duration::from_secs(5),
        timeout: Duration::from_secs(5),
        max_answer_bytes: 1 << 20,
        max_in_flight: 1,
        max_waiting: 1,
        max_wait: Duration::from_secs(5),
    };
    Instance::new(InstanceSettings {
        writes: WriteMode::Direct,
        name: name.clone(),
        link: Link::new(link).unwrap(),
        service_key: ApiKey::new("service"),
        service_key_writes,
        credentials: BTreeMap::from([(named("sales"), ApiKey::new("sales"))]),
        web_url: "http://127.0.0.1:9".into(),
        schema_ttl: Duration::from_secs(1),
    })
}

/// The effects that are open to a guest with this credential, where policy
/// opens these.
fn open(credential: Option<&str>, service_key_writes: bool, by_policy: &[Effect]) -> Vec<Effect> {
    let name = InstanceName::try_from("production").unwrap();
    let named = |name: &str| CredentialName::try_from(name).unwrap();
    let instance = instance(&name, service_key_writes);
    let any = || vec![Pattern::parse("*").unwrap()];
    let rule = Rule {
        instances: any(),
        models: any(),
        operations: by_policy.to_vec(),
        ..Rule::default()
    };
    let role = RoleName::try_from("some").unwrap();
    let rules = Role {
        rules: vec![rule],
        credential: credential.map(named),
        ..Role::default()
    };
    let gateway = Gateway {
        routes: Routes::new(
            vec![Endpoint {
                instance: Arc::new(instance),
                admission: Admission::default(),
                public_urls: Vec::new(),
                resources: Vec::new(),
            }],
            &[],
        ),
        door: Door {
            local: vec![role.clone()],
            ..Door::default()
        },
        policy: Policy::new(BTreeMap::from([(role, rules)])),
        ..Gateway::default()
    };
    let guest: Guest = gateway.local(&name, None).unwrap();
    EFFECTS
        .into_iter()
        .filter(|effect| gateway.opens(guest.visitor.as_ref().unwrap(), *effect))
        .collect()
}

#[test]
fn what_the_service_key_may_not_do_is_hidden_from_who_has_no_credential() {
    assert_eq!(open(None, false, &EFFECTS), [Effect::Read]);
    assert_eq!(open(None, true, &EFFECTS), EFFECTS);
    assert_eq!(open(Some("sales"), false, &EFFECTS), EFFECTS);
}

#[test]
fn no_key_opens_what_policy_does_not() {
    for (credential, writes) in [(None, true), (Some("sales"), false), (Some("none"), true)] {
        assert_eq!(open(credential, writes, &[Effect::Read]), [Effect::Read]);
        assert_eq!(open(credential, writes, &[]), []);
    }
    assert_eq!(open(None, false, &[Effect::Write]), []);
}

#[test]
fn who_has_no_login_sees_what_policy_opens_for_the_call_tells_what_is_missing() {
    assert_eq!(open(Some("none"), false, &EFFECTS), EFFECTS);
}

/// A provider that says of every token what the test wants; asked where its
/// configuration says.
fn provider(says: &Arc<Mutex<String>>) -> Arc<Provider> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let says = Arc::clone(says);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut read = vec![0; 8 << 10];
            let _asked = stream.read(&mut read).unwrap();
            let body = says.lock().unwrap().clone();
            let status = if body.is_empty() {
                "500 Down"
            } else {
                "200 OK"
            };
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            drop(stream.write_all(answer.as_bytes()));
        }
    });
    let settings = ProviderSettings {
        name: ProviderName::try_from("company").unwrap(),
        issuer: url.as_str().into(),
        zitadel: false,
        validation: Validation::Introspection,
        auth: Some(Arc::new(ClientAuth::Basic {
            client_id: "gatepost".to_owned(),
            secret: Secret::new("secret"),
            raw: false,
        })),
        introspection_url: Some(format!("{url}/introspect")),
        jwks_url: None,
        signed_introspection: false,
        algorithms: vec!["RS256".to_owned()],
        require_at_jwt: true,
        audiences: vec!["production".to_owned()],
        role_claims: vec!["/roles".to_owned()],
        scope_claims: Vec::new(),
        client_claims: &["client_id"],
        allow_no_exp: false,
        allow_missing_token_type: false,
        allow_no_client: false,
        step_up: true,
        endpoint_hosts: Vec::new(),
        private_networks: Vec::new(),
        tls: gatepost_tls::client(None).unwrap(),
        connect_timeout: Duration::from_secs(5),
        timeout: Duration::from_secs(5),
        max_in_flight: 4,
        max_wait: Duration::from_secs(5),
        cache_ttl: Duration::from_mins(1),
        negative_ttl: Duration::ZERO,
        write_max_age: Duration::ZERO,
        stale_if_error: Duration::from_mins(1),
        clock_skew: Duration::from_secs(5),
    };
    Arc::new(Provider::new(settings).unwrap())
}

/// What the provider says of a good token with these changes.
fn told(changes: &Value) -> String {
    let mut told = json!({
        "active": true, "sub": "alice", "client_id": "claude", "aud": "production",
        "token_type": "Bearer", "exp": 4_000_000_000_u32, "roles": ["writer"],
    });
    for (name, value) in changes.as_object().unwrap() {
        told[name] = value.clone();
    }
    told.to_string()
}

/// What becomes of a call of this effect when the provider says something else
/// than a moment ago; `Ok` tells the roles that it is made with.
async fn again(effect: Effect, now_told: String) -> Result<Vec<String>, u16> {
    let says = Arc::new(Mutex::new(told(&json!({}))));
    let (gateway, guest) = entered(&says).await;
    *says.lock().unwrap() = now_told;
    let visitor = guest.visitor.as_ref().unwrap();
    match gateway.again(visitor, effect).await {
        Ok(again) => {
            let caller = &again.as_ref().unwrap_or(visitor).caller;
            Ok(caller.roles.iter().map(ToString::to_string).collect())
        }
        Err(refusal) => {
            let mut story = Story::new(TraceId::new(1));
            Err(refusal.reply(None, &mut story).status.as_u16())
        }
    }
}

/// A gateway whose provider says this, and somebody with a token of it who was
/// let in and can be asked.
async fn entered(says: &Arc<Mutex<String>>) -> (Gateway, Guest) {
    let name = InstanceName::try_from("production").unwrap();
    let writer = RoleName::try_from("writer").unwrap();
    let grant = |role: &RoleName, provider_role: &str| Grant {
        roles: vec![role.clone()],
        instances: [name.clone()].into(),
        provider_role: Some(provider_role.into()),
        ..Grant::default()
    };
    let reader = RoleName::try_from("reader").unwrap();
    let any = || vec![Pattern::parse("*").unwrap()];
    let role = || Role {
        rules: vec![Rule {
            instances: any(),
            models: any(),
            operations: EFFECTS.to_vec(),
            ..Rule::default()
        }],
        ..Role::default()
    };
    let gateway = Gateway {
        routes: Routes::new(
            vec![Endpoint {
                instance: Arc::new(instance(&name, true)),
                admission: Admission {
                    providers: vec![provider(says)],
                    audiences: ["production".to_owned()].into(),
                },
                public_urls: Vec::new(),
                resources: Vec::new(),
            }],
            &[],
        ),
        door: Door {
            grants: Grants::new(vec![grant(&writer, "writer"), grant(&reader, "reader")]),
            ..Door::default()
        },
        policy: Policy::new(BTreeMap::from([(writer, role()), (reader, role())])),
        max_body_bytes: 1,
        patience: Duration::from_secs(20),
        ..Gateway::default()
    };
    let mut headers = http::HeaderMap::new();
    for (key, value) in [
        ("authorization", "Bearer a-token-of-a-provider"),
        ("content-type", "application/json"),
        ("mcp-session-id", Session::with_forms(1).as_str()),
    ] {
        headers.insert(key, value.parse().unwrap());
    }
    let head = Head {
        method: http::Method::POST,
        path: "/production/mcp".to_owned(),
        token_in_query: false,
        host: None,
        headers,
        peer: None,
        local_listener: false,
    };
    let mut story = Story::new(TraceId::new(1));
    let guest = gateway.welcome(head, &mut story).await.unwrap();
    (gateway, guest)
}

#[tokio::test]
async fn a_call_that_changes_something_counts_on_what_the_provider_says_now() {
    let writer = Ok(vec!["writer".to_owned()]);
    assert_eq!(again(Effect::Write, told(&json!({}))).await, writer);
    let rows = [
        ("revoked", r#"{"active":false}"#.to_owned(), Err(401)),
        ("of somebody else", told(&json!({"sub": "bob"})), Err(401)),
        ("for somebody else", told(&json!({"aud": "x"})), Err(401)),
        (
            "with another role",
            told(&json!({"roles": ["reader"]})),
            Ok(vec!["reader".to_owned()]),
        ),
        // Though an old answer counts for reading.
        ("not to be asked about", String::new(), Err(503)),
    ];
    for (what, now_told, expected) in rows {
        assert_eq!(
            again(Effect::Read, now_told.clone()).await,
            writer,
            "{what}"
        );
        for effect in [Effect::Create, Effect::Write, Effect::Delete, Effect::Run] {
            assert_eq!(again(effect, now_told.clone()).await, expected, "{what}");
        }
    }
}

/// What a call is told whose person says yes when the provider says something
/// else than when it began, and the status of the answer itself.
async fn accepted_when(now_told: String) -> (String, u16) {
    let says = Arc::new(Mutex::new(told(&json!({}))));
    let (gateway, guest) = entered(&says).await;
    let (notices, mut noticed) = tokio::sync::mpsc::channel(4);
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "ask_person"}});
    let (mut calls, mut answers) = (Story::new(TraceId::new(1)), Story::new(TraceId::new(2)));
    let call = gateway.serve(&guest, call.to_string().into(), Some(notices), &mut calls);
    let answer = async {
        let question = noticed.recv().await.unwrap();
        let question: Value = serde_json::from_slice(&question).unwrap();
        *says.lock().unwrap() = now_told;
        let respond =
            |result: Value| json!({"jsonrpc": "2.0", "id": question["id"], "result": result});
        let yes = respond(json!({"action": "accept", "content": {"approve": true}}));
        let status = gateway
            .serve(&guest, yes.to_string().into(), None, &mut answers)
            .await
            .status
            .as_u16();
        // Where that was not taken the question is still open.
        let no = respond(json!({"action": "decline"})).to_string();
        gateway.serve(&guest, no.into(), None, &mut answers).await;
        status
    };
    let (reply, status) = futures_util::future::join(call, answer).await;
    let reply: Value = serde_json::from_slice(&reply.body).unwrap();
    let text = reply["result"]["content"][0]["text"].as_str().unwrap();
    (text.to_owned(), status)
}

#[tokio::test]
async fn a_yes_counts_only_from_who_may_still_do_what_they_were_asked_about() {
    let declined = r#"{"consent":"declined"}"#;
    let accepted = r#"{"consent":"accepted"}"#;
    let changed = "not done, for what the user may do was changed while they were asked; call again, and they are asked again";
    for (what, now_told, expected) in [
        ("as before", told(&json!({})), (accepted, 202)),
        ("revoked", r#"{"active":false}"#.to_owned(), (declined, 401)),
        (
            "of somebody else",
            told(&json!({"sub": "bob"})),
            (declined, 401),
        ),
        ("not to be asked about", String::new(), (declined, 503)),
        (
            "with another role",
            told(&json!({"roles": ["reader"]})),
            (changed, 202),
        ),
    ] {
        let (text, status) = accepted_when(now_told).await;
        assert_eq!((text.as_str(), status), expected, "{what}");
    }
}
