//! Which key a call goes out with, and whether it goes out at all.

use std::{collections::BTreeMap, fs, sync::Arc, time::Duration};

use serde_json::Map;

use super::{Access, Asks, Denied, Instance, InstanceSettings, Tally};
use crate::audit::{Client, History, Journal, JournalSettings, Trail};
use gatepost_base::{CredentialName, InstanceName, RoleName, Subject, TraceId};
use gatepost_identity::{Caller, CallerKind};
use gatepost_odoo::{Call, Domain, Effect, MethodName, ModelName, RecordId};
use gatepost_odoo_client::{ApiKey, Link, LinkSettings};
use gatepost_policy::{Pattern, Policy, Role, Rule, WriteMode};

const EFFECTS: [Effect; 5] = [
    Effect::Read,
    Effect::Create,
    Effect::Write,
    Effect::Delete,
    Effect::Run,
];

fn credential(name: &str) -> CredentialName {
    CredentialName::try_from(name).unwrap()
}

/// An instance behind a port where nobody answers, with the credential `sales`.
fn instance(service_key_writes: bool) -> Instance {
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
        name: InstanceName::try_from("production").unwrap(),
        link: Link::new(link).unwrap(),
        service_key: ApiKey::new("service"),
        service_key_writes,
        credentials: BTreeMap::from([(credential("sales"), ApiKey::new("sales"))]),
        web_url: "http://127.0.0.1:9".into(),
        schema_ttl: Duration::from_secs(1),
    })
}

/// Makes a call of this effect, which policy allows, and gives back why it
/// brought no answer, and how many calls went out.
async fn called(
    instance: &Instance,
    credential: Option<CredentialName>,
    effect: Effect,
) -> (Denied, u32) {
    called_by(instance, credential, effect, &Trail::none()).await
}

/// The same, with a trail.
async fn called_by(
    instance: &Instance,
    credential: Option<CredentialName>,
    effect: Effect,
    trail: &Trail,
) -> (Denied, u32) {
    let role = RoleName::try_from("all").unwrap();
    let any = || vec![Pattern::parse("*").unwrap()];
    let rule = Rule {
        instances: any(),
        models: any(),
        operations: EFFECTS.to_vec(),
        methods: vec![MethodName::known("toggle")],
        ..Rule::default()
    };
    let policy = Policy::new(BTreeMap::from([(
        role.clone(),
        Role {
            rules: vec![rule],
            ..Role::default()
        },
    )]));
    let caller = Caller {
        issuer: "gatepost".to_owned(),
        kind: CallerKind::ApiKey,
        subject: Subject::proved("ada"),
        name: None,
        roles: vec![role],
        credential,
    };
    let tally = Tally::default();
    let access = Access {
        instance,
        policy: &policy,
        caller: &caller,
        tally: &tally,
        trail,
        listener: None,
        asks: Asks::by_id(),
        ledger: &Arc::default(),
        sent: &Arc::default(),
    };
    let model = ModelName::try_from("res.partner").unwrap();
    let ids = [RecordId::try_from(7).unwrap()];
    let call = match effect {
        Effect::Read => {
            let call = Call::search_count(model, &Domain::default());
            return (access.call(call).await.unwrap_err(), tally.calls());
        }
        Effect::Create => Call::create(model, vec![Map::new()]),
        Effect::Write => Call::write(model, &ids, Map::new()),
        Effect::Delete => Call::delete(model, &ids),
        Effect::Run => Call::run(model, MethodName::known("toggle"), &ids, Map::new()),
    };
    let denied = async {
        let allowed = access.permit_change(call).await?;
        access.change(allowed, None, async |answer| answer).await?
    };
    (denied.await.map(drop).unwrap_err(), tally.calls())
}

#[tokio::test]
async fn the_service_key_only_reads_and_whatever_else_is_asked_of_it_is_never_sent() {
    let instance = instance(false);
    let (denied, sent) = called(&instance, None, Effect::Read).await;
    assert!(matches!(denied, Denied::Call(_)), "{denied}");
    assert_eq!(sent, 1);
    for effect in EFFECTS.into_iter().filter(|effect| !effect.is_read()) {
        let (denied, sent) = called(&instance, None, effect).await;
        assert!(matches!(denied, Denied::ReadOnly(_)), "{denied}");
        assert_eq!(sent, 0);
    }
    let (denied, _) = called(&instance, None, Effect::Write).await;
    insta::assert_snapshot!(denied, @"you may not update records here: your calls act as the gateway's own Odoo user, who only reads; retrying will not help, ask the administrator for an Odoo user of your own");
}

#[tokio::test]
async fn a_named_credential_and_a_service_key_that_the_administrator_lets_may_do_what_policy_lets_them()
 {
    for effect in EFFECTS {
        for (instance, name) in [
            (instance(true), None),
            (instance(true), Some("sales")),
            (instance(false), Some("sales")),
        ] {
            let (denied, sent) = called(&instance, name.map(credential), effect).await;
            assert!(matches!(denied, Denied::Call(_)), "{denied}");
            assert_eq!(sent, 1);
        }
    }
}

#[tokio::test]
async fn a_credential_that_the_instance_does_not_have_is_never_replaced_by_the_service_key() {
    for effect in EFFECTS {
        let missing = Some(credential("marketing"));
        let (denied, sent) = called(&instance(true), missing, effect).await;
        assert!(matches!(denied, Denied::Credential(_)), "{denied}");
        assert_eq!(sent, 0);
        // The client reads one sentence, we the names.
        assert!(!denied.to_string().contains("marketing"), "{denied}");
        let secret = std::error::Error::source(&denied).unwrap().to_string();
        assert_eq!(
            secret,
            "the instance `production` has no credential `marketing`"
        );
    }
}

#[tokio::test]
async fn a_change_is_written_down_before_and_after_and_is_not_sent_when_it_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    let patience = Duration::from_secs(20);
    let journal = Journal::open(JournalSettings {
        file: Some(file.clone()),
        max_file_bytes: 64 << 20,
        keep_files: 1,
        ..JournalSettings::default()
    });
    let journal = Arc::new(journal.unwrap());
    let trail = Trail::new(&journal, TraceId::new(7), Client::default(), "test");
    let instance = instance(true);
    let (_, sent) = called_by(&instance, None, Effect::Write, &trail).await;
    assert_eq!(sent, 1);
    assert!(journal.flush(patience));
    let outcomes = || {
        let mut told = Vec::new();
        History::read(std::slice::from_ref(&file), |line, _| {
            told.push(format!("{} {:?}", line.outcome, line.reason));
        })
        .unwrap();
        told.split_off(1)
    };
    assert_eq!(
        outcomes(),
        ["begun None", "failed Some(\"odoo_unreachable\")"]
    );
    // Something stands in its place that cannot be written.
    fs::rename(&file, folder.path().join("audit.jsonl.1")).unwrap();
    fs::create_dir(&file).unwrap();
    for effect in EFFECTS.into_iter().filter(|effect| !effect.is_read()) {
        let (denied, sent) = called_by(&instance, None, effect, &trail).await;
        assert!(matches!(denied, Denied::Unaudited(_)), "{denied}");
        assert_eq!(sent, 0);
    }
    let (denied, sent) = called_by(&instance, None, Effect::Read, &trail).await;
    assert!(matches!(denied, Denied::Call(_)), "{denied}");
    assert_eq!(sent, 1);
    fs::remove_dir(&file).unwrap();
    assert!(journal.close(patience));
    let told = outcomes();
    assert_eq!(told.len(), 1 + 4 + 1, "{told:?}");
    assert!(told.contains(&"forbidden Some(\"unaudited\")".to_owned()));
}
