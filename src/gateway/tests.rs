//! What is shown to whom.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Admission, Door, Endpoint, Gateway, Guest, Routes};
use crate::{
    access::{Instance, InstanceSettings},
    names::{CredentialName, InstanceName, RoleName},
    odoo::Effect,
    policy::{Pattern, Policy, Role, Rule},
    upstream::{ApiKey, Link, LinkSettings},
};

const EFFECTS: [Effect; 5] = [
    Effect::Read,
    Effect::Create,
    Effect::Write,
    Effect::Delete,
    Effect::Run,
];

/// The effects that are open to a guest with this credential, where policy
/// opens these.
fn open(credential: Option<&str>, service_key_writes: bool, by_policy: &[Effect]) -> Vec<Effect> {
    let name = InstanceName::try_from("production").unwrap();
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
    let instance = Instance::new(InstanceSettings {
        name: name.clone(),
        link: Link::new(link).unwrap(),
        service_key: ApiKey::new("service"),
        service_key_writes,
        credentials: BTreeMap::from([(named("sales"), ApiKey::new("sales"))]),
        web_url: "http://127.0.0.1:9".into(),
        schema_ttl: Duration::from_secs(1),
    });
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
    let guest: Guest = gateway.local(&name).unwrap();
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
