//! Which operations callers see, and how writes authenticate again.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    AcceptedRequest, Authenticator, Endpoint, Gateway, Head, Routes, TokenPolicy,
    request_context::{RequestContext, Target},
};
use crate::{
    access::{Instance, InstanceSettings},
    telemetry::RequestLog,
};
use gatepost_base::{CredentialName, InstanceName, ProviderName, RoleName, TraceId};
use gatepost_identity::{
    CacheTtls, ClaimRules, ClientAuth, EgressPolicy, Grant, Grants, Provider, ProviderSettings,
    ProviderTrust, Secret, Validation,
};
use gatepost_mcp::Session;
use gatepost_odoo::Operation;
use gatepost_odoo_client::{OdooApiKey, OdooClient, OdooClientSettings};
use gatepost_policy::{Pattern, Policy, Role, Rule, WriteMode};

const ALL_OPERATIONS: [Operation; 5] = [
    Operation::Read,
    Operation::Create,
    Operation::Write,
    Operation::Delete,
    Operation::Call,
];

fn context(request: &AcceptedRequest) -> &RequestContext {
    match &request.target {
        Target::Mcp(context) => context,
        Target::Registration(_) => panic!("{request:?}"),
    }
}

/// An instance that is never called.
fn instance(name: &InstanceName, service_key_writes: bool) -> Instance {
    let named = |name: &str| CredentialName::try_from(name).unwrap();
    let link = OdooClientSettings {
        url: "http://127.0.0.1:9".to_owned(),
        database: None,
        ca_file: None,
        connect_timeout: Duration::from_secs(5),
        timeout: Duration::from_secs(5),
        max_answer_bytes: 1 << 20,
        max_in_flight: 1,
        max_waiting: 1,
        max_wait: Duration::from_secs(5),
        max_calls_per_second: None,
    };
    Instance::new(InstanceSettings {
        write_mode: WriteMode::Direct,
        name: name.clone(),
        client: OdooClient::new(link).unwrap(),
        service_key: OdooApiKey::new("service"),
        service_key_may_write: service_key_writes,
        credentials: BTreeMap::from([(named("sales"), OdooApiKey::new("sales"))]),
        web_url: "http://127.0.0.1:9".into(),
        schema_ttl: Duration::from_secs(1),
    })
}

/// The operations that a caller with this credential may do, where policy
/// allows these.
fn allowed_operations(
    credential: Option<&str>,
    service_key_writes: bool,
    allowed_by_policy: &[Operation],
) -> Vec<Operation> {
    let name = InstanceName::try_from("production").unwrap();
    let named = |name: &str| CredentialName::try_from(name).unwrap();
    let instance = instance(&name, service_key_writes);
    let any = || vec![Pattern::parse("*").unwrap()];
    let rule = Rule {
        instances: any(),
        models: any(),
        operations: allowed_by_policy.to_vec(),
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
                token_policy: TokenPolicy::default(),
                public_urls: Vec::new(),
                protected_resources: Vec::new(),
            }],
            &[],
        ),
        authenticator: Authenticator {
            local_roles: vec![role.clone()],
            ..Authenticator::default()
        },
        policy: Policy::new(BTreeMap::from([(role, rules)])),
        ..Gateway::default()
    };
    let request: AcceptedRequest = gateway.accept_stdio(&name, None).unwrap();
    ALL_OPERATIONS
        .into_iter()
        .filter(|operation| gateway.allows(context(&request), *operation))
        .collect()
}

#[test]
fn caller_without_credential_is_limited_to_service_key_operations() {
    assert_eq!(
        allowed_operations(None, false, &ALL_OPERATIONS),
        [Operation::Read]
    );
    assert_eq!(
        allowed_operations(None, true, &ALL_OPERATIONS),
        ALL_OPERATIONS
    );
    assert_eq!(
        allowed_operations(Some("sales"), false, &ALL_OPERATIONS),
        ALL_OPERATIONS
    );
}

#[test]
fn odoo_key_never_allows_more_than_policy() {
    for (credential, writes) in [(None, true), (Some("sales"), false), (Some("none"), true)] {
        assert_eq!(
            allowed_operations(credential, writes, &[Operation::Read]),
            [Operation::Read]
        );
        assert_eq!(allowed_operations(credential, writes, &[]), []);
    }
    assert_eq!(allowed_operations(None, false, &[Operation::Write]), []);
}

#[test]
fn unknown_credential_does_not_hide_tools_that_policy_allows() {
    assert_eq!(
        allowed_operations(Some("none"), false, &ALL_OPERATIONS),
        ALL_OPERATIONS
    );
}

/// A provider whose introspection response is set by the test.
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
        is_zitadel: false,
        validation: Validation::Introspection,
        client_auth: Some(Arc::new(ClientAuth::Basic {
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
        claims: ClaimRules {
            issuer: url.as_str().into(),
            skew: Duration::from_secs(5),
            allow_no_exp: false,
            allow_missing_token_type: false,
            allow_no_client: false,
            client_claims: &["client_id"],
            role_claims: vec!["/roles".to_owned()],
            scope_claims: Vec::new(),
        },
        step_up: true,
        egress: EgressPolicy {
            allowed_hosts: Vec::new(),
            allowed_networks: Vec::new(),
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(5),
        },
        trust: ProviderTrust {
            tls: gatepost_tls::client_config(None).unwrap(),
            authorities: None,
        },
        max_in_flight: 4,
        max_wait: Duration::from_secs(5),
        cache: CacheTtls {
            valid: Duration::from_mins(1),
            rejected: Duration::ZERO,
            stale_if_error: Duration::from_mins(1),
        },
        write_max_age: Duration::ZERO,
    };
    Arc::new(Provider::new(settings).unwrap())
}

/// The introspection response for a valid token, with these changes.
fn introspection_response(changes: &Value) -> String {
    let mut response = json!({
        "active": true, "sub": "alice", "client_id": "claude", "aud": "production",
        "token_type": "Bearer", "exp": 4_000_000_000_u32, "roles": ["writer"],
    });
    for (name, value) in changes.as_object().unwrap() {
        response[name] = value.clone();
    }
    response.to_string()
}

/// The roles that a call has, or the status that it fails with, after the
/// provider's response changed.
async fn roles_after_reauthentication(
    operation: Operation,
    new_response: String,
) -> Result<Vec<String>, u16> {
    let says = Arc::new(Mutex::new(introspection_response(&json!({}))));
    let (gateway, request) = authenticated_gateway(&says).await;
    *says.lock().unwrap() = new_response;
    let context = context(&request);
    match gateway.reauthenticate_for_write(context, operation).await {
        Ok(again) => {
            let caller = &again.as_ref().unwrap_or(context).caller;
            Ok(caller.roles.iter().map(ToString::to_string).collect())
        }
        Err(error) => {
            let mut log = RequestLog::new(TraceId::new(1));
            Err(error.to_response(None, &mut log).status.as_u16())
        }
    }
}

/// A gateway with a provider that responds with this, and the accepted request of
/// a caller with its token, who can be asked.
async fn authenticated_gateway(says: &Arc<Mutex<String>>) -> (Gateway, AcceptedRequest) {
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
            operations: ALL_OPERATIONS.to_vec(),
            ..Rule::default()
        }],
        ..Role::default()
    };
    let gateway = Gateway {
        routes: Routes::new(
            vec![Endpoint {
                instance: Arc::new(instance(&name, true)),
                token_policy: TokenPolicy {
                    providers: vec![provider(says)],
                    audiences: ["production".to_owned()].into(),
                },
                public_urls: Vec::new(),
                protected_resources: Vec::new(),
            }],
            &[],
        ),
        authenticator: Authenticator {
            grants: Grants::new(vec![grant(&writer, "writer"), grant(&reader, "reader")]),
            ..Authenticator::default()
        },
        policy: Policy::new(BTreeMap::from([(writer, role()), (reader, role())])),
        max_body_bytes: 1,
        elicitation_timeout: Duration::from_secs(20),
        ..Gateway::default()
    };
    let mut headers = http::HeaderMap::new();
    for (key, value) in [
        ("authorization", "Bearer a-token-of-a-provider"),
        ("content-type", "application/json"),
        ("mcp-session-id", Session::with_form_elicitation(1).as_str()),
    ] {
        headers.insert(key, value.parse().unwrap());
    }
    let head = Head {
        method: http::Method::POST,
        path: "/production/mcp".to_owned(),
        token_in_query: false,
        host: None,
        headers,
        is_http_1_0: false,
        peer: None,
        local_listener: false,
    };
    let mut log = RequestLog::new(TraceId::new(1));
    let request = gateway.accept_head(head, &mut log).await.unwrap();
    (gateway, request)
}

#[tokio::test]
async fn write_call_reauthenticates_with_provider() {
    let writer = Ok(vec!["writer".to_owned()]);
    assert_eq!(
        roles_after_reauthentication(Operation::Write, introspection_response(&json!({}))).await,
        writer
    );
    let rows = [
        ("revoked", r#"{"active":false}"#.to_owned(), Err(401)),
        (
            "another subject",
            introspection_response(&json!({"sub": "bob"})),
            Err(401),
        ),
        (
            "another audience",
            introspection_response(&json!({"aud": "x"})),
            Err(401),
        ),
        (
            "another role",
            introspection_response(&json!({"roles": ["reader"]})),
            Ok(vec!["reader".to_owned()]),
        ),
        // A stale result is enough for reads.
        ("provider unavailable", String::new(), Err(503)),
    ];
    for (what, new_response, expected) in rows {
        assert_eq!(
            roles_after_reauthentication(Operation::Read, new_response.clone()).await,
            writer,
            "{what}"
        );
        for operation in [
            Operation::Create,
            Operation::Write,
            Operation::Delete,
            Operation::Call,
        ] {
            assert_eq!(
                roles_after_reauthentication(operation, new_response.clone()).await,
                expected,
                "{what}"
            );
        }
    }
}

/// The text of a call whose person approves after the provider's response changed,
/// and the status of the approval.
async fn elicitation_result_when(new_response: String) -> (String, u16) {
    let says = Arc::new(Mutex::new(introspection_response(&json!({}))));
    let (gateway, request) = authenticated_gateway(&says).await;
    let (server_messages, mut sent) = tokio::sync::mpsc::channel(4);
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "ask_person"}});
    let (mut calls, mut answers) = (
        RequestLog::new(TraceId::new(1)),
        RequestLog::new(TraceId::new(2)),
    );
    let call = gateway.handle_body(
        &request,
        call.to_string().into(),
        Some(server_messages),
        &mut calls,
    );
    let answer = async {
        let question = sent.recv().await.unwrap();
        let question: Value = serde_json::from_slice(&question).unwrap();
        *says.lock().unwrap() = new_response;
        let respond =
            |result: Value| json!({"jsonrpc": "2.0", "id": question["id"], "result": result});
        let yes = respond(json!({"action": "accept", "content": {"approve": true}}));
        let status = gateway
            .handle_body(&request, yes.to_string().into(), None, &mut answers)
            .await
            .status
            .as_u16();
        // If that was rejected, the question is still pending.
        let no = respond(json!({"action": "decline"})).to_string();
        gateway
            .handle_body(&request, no.into(), None, &mut answers)
            .await;
        status
    };
    let (reply, status) = futures_util::future::join(call, answer).await;
    let reply: Value = serde_json::from_slice(&reply.body).unwrap();
    let text = reply["result"]["content"][0]["text"].as_str().unwrap();
    (text.to_owned(), status)
}

#[tokio::test]
async fn approval_counts_only_while_caller_is_still_authorized() {
    let declined = r#"{"consent":"declined"}"#;
    let accepted = r#"{"consent":"accepted"}"#;
    let changed = "not done: the user's permissions changed while they were asked. Call again to ask them again";
    for (what, new_response, expected) in [
        (
            "as before",
            introspection_response(&json!({})),
            (accepted, 202),
        ),
        ("revoked", r#"{"active":false}"#.to_owned(), (declined, 401)),
        (
            "another subject",
            introspection_response(&json!({"sub": "bob"})),
            (declined, 401),
        ),
        ("provider unavailable", String::new(), (declined, 503)),
        (
            "another role",
            introspection_response(&json!({"roles": ["reader"]})),
            (changed, 202),
        ),
    ] {
        let (text, status) = elicitation_result_when(new_response).await;
        assert_eq!((text.as_str(), status), expected, "{what}");
    }
}
