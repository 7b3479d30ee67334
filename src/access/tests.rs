//! The API key that a call is sent with, and whether it is sent at all.

use std::{collections::BTreeMap, fs, sync::Arc, time::Duration};

use serde_json::Map;

use super::{ActiveKeys, Instance, InstanceSettings, OdooSession, OperationError};
use crate::audit::{Client, Journal, JournalSettings, JournalSummary, RequestAudit, Rotation};
use crate::elicitation::Elicitation;
use gatepost_base::{CredentialName, InstanceName, RoleName, Subject, TraceId};
use gatepost_identity::{ApiKey, ApiKeyStore, Caller, CallerKind, StoredKey};
use gatepost_odoo::{Call, Domain, MethodName, ModelName, Operation, RecordId};
use gatepost_odoo_client::CallStats;
use gatepost_odoo_client::{OdooApiKey, OdooClient, OdooClientSettings};
use gatepost_policy::{Pattern, Policy, Role, Rule, WriteMode};

const OPERATIONS: [Operation; 5] = [
    Operation::Read,
    Operation::Create,
    Operation::Write,
    Operation::Delete,
    Operation::Call,
];

fn credential(name: &str) -> CredentialName {
    CredentialName::try_from(name).unwrap()
}

/// An instance on a port where nothing listens, with the credential `sales`.
pub(crate) fn instance(service_key_writes: bool) -> Instance {
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
        name: InstanceName::try_from("production").unwrap(),
        client: OdooClient::new(link).unwrap(),
        service_key: OdooApiKey::new("service"),
        service_key_may_write: service_key_writes,
        credentials: BTreeMap::from([(credential("sales"), OdooApiKey::new("sales"))]),
        web_url: "http://127.0.0.1:9".into(),
        schema_ttl: Duration::from_secs(1),
    })
}

/// Makes a permitted call with this operation. Returns the error, and the number
/// of calls that were sent.
async fn attempt_call(
    instance: &Instance,
    credential: Option<CredentialName>,
    effect: Operation,
) -> (OperationError, u32) {
    attempt_audited_call(instance, credential, effect, &RequestAudit::disabled()).await
}

/// The same, with an audit journal.
async fn attempt_audited_call(
    instance: &Instance,
    credential: Option<CredentialName>,
    effect: Operation,
    trail: &RequestAudit,
) -> (OperationError, u32) {
    let caller = (CallerKind::User, "ada");
    attempt_call_of(
        caller,
        &ActiveKeys::default(),
        instance,
        credential,
        effect,
        trail,
    )
    .await
}

/// The same, of this caller, with the keys that are active when it writes.
async fn attempt_call_of(
    (kind, subject): (CallerKind, &'static str),
    active_keys: &ActiveKeys,
    instance: &Instance,
    credential: Option<CredentialName>,
    effect: Operation,
    trail: &RequestAudit,
) -> (OperationError, u32) {
    let role = RoleName::try_from("all").unwrap();
    let any = || vec![Pattern::parse("*").unwrap()];
    let rule = Rule {
        instances: any(),
        models: any(),
        operations: OPERATIONS.to_vec(),
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
        kind,
        subject: Subject::verified(subject),
        name: None,
        roles: vec![role],
        credential,
    };
    let tally = CallStats::default();
    let access = OdooSession {
        instance,
        policy: &policy,
        caller: &caller,
        call_stats: &tally,
        audit: trail,
        progress: None,
        elicitation: Elicitation::ConfirmToken,
        store: &Arc::default(),
        in_flight_writes: &Arc::default(),
        active_keys,
    };
    let model = ModelName::try_from("res.partner").unwrap();
    let ids = [RecordId::try_from(7).unwrap()];
    let call = match effect {
        Operation::Read => {
            let call = Call::search_count(model, &Domain::default());
            return (access.call(call).await.unwrap_err(), tally.calls());
        }
        Operation::Create => Call::create(model, vec![Map::new()]),
        Operation::Write => Call::write(model, &ids, Map::new()),
        Operation::Delete => Call::delete(model, &ids),
        Operation::Call => Call::run(model, MethodName::known("toggle"), &ids, Map::new()),
    };
    let denied = async {
        let allowed = access.permit_write(call).await?;
        access
            .send_write(allowed, None, async |answer| answer)
            .await?
    };
    (denied.await.map(drop).unwrap_err(), tally.calls())
}

#[tokio::test]
async fn read_only_service_key_never_sends_a_write() {
    let instance = instance(false);
    let (denied, sent) = attempt_call(&instance, None, Operation::Read).await;
    assert!(matches!(denied, OperationError::Call(_)), "{denied}");
    assert_eq!(sent, 1);
    for effect in OPERATIONS.into_iter().filter(|effect| !effect.is_read()) {
        let (denied, sent) = attempt_call(&instance, None, effect).await;
        assert!(matches!(denied, OperationError::ReadOnly(_)), "{denied}");
        assert_eq!(sent, 0);
    }
    let (denied, _) = attempt_call(&instance, None, Operation::Write).await;
    insta::assert_snapshot!(denied, @"you may not write records here: your calls act as the gateway's own Odoo user, which is read-only. Nothing was changed. Retrying will not help; ask the administrator for an Odoo user of your own");
}

#[tokio::test]
async fn writable_service_key_and_named_credential_send_all_operations() {
    for effect in OPERATIONS {
        for (instance, name) in [
            (instance(true), None),
            (instance(true), Some("sales")),
            (instance(false), Some("sales")),
        ] {
            let (denied, sent) = attempt_call(&instance, name.map(credential), effect).await;
            assert!(matches!(denied, OperationError::Call(_)), "{denied}");
            assert_eq!(sent, 1);
        }
    }
}

#[tokio::test]
async fn unknown_credential_is_rejected_instead_of_using_the_service_key() {
    for effect in OPERATIONS {
        let missing = Some(credential("marketing"));
        let (denied, sent) = attempt_call(&instance(true), missing, effect).await;
        assert!(
            matches!(denied, OperationError::UnknownCredential(_)),
            "{denied}"
        );
        assert_eq!(sent, 0);
        // The client gets one general sentence; the log gets the names.
        assert!(!denied.to_string().contains("marketing"), "{denied}");
        let secret = std::error::Error::source(&denied).unwrap().to_string();
        assert_eq!(
            secret,
            "the instance `production` has no credential `marketing`"
        );
    }
}

#[tokio::test]
async fn write_is_audited_before_and_after_and_not_sent_without_audit() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    let patience = Duration::from_secs(20);
    let journal = Journal::open(JournalSettings {
        file: Some(file.clone()),
        rotation: Rotation {
            max_bytes: 64 << 20,
            max_age: None,
            keep_files: 1,
        },
        ..JournalSettings::default()
    });
    let journal = Arc::new(journal.unwrap());
    let trail = RequestAudit::new(&journal, TraceId::new(7), Client::default(), "test");
    let instance = instance(true);
    let (_, sent) = attempt_audited_call(&instance, None, Operation::Write, &trail).await;
    assert_eq!(sent, 1);
    assert!(journal.flush(patience));
    let outcomes = || {
        let mut lines = Vec::new();
        JournalSummary::read(std::slice::from_ref(&file), |line, _| {
            lines.push(format!("{} {:?}", line.outcome, line.reason));
        })
        .unwrap();
        lines.split_off(1)
    };
    assert_eq!(
        outcomes(),
        ["begun None", "failed Some(\"odoo_unreachable\")"]
    );
    // The file is replaced by something that cannot be written.
    fs::rename(&file, folder.path().join("audit.jsonl.1")).unwrap();
    fs::create_dir(&file).unwrap();
    for effect in OPERATIONS.into_iter().filter(|effect| !effect.is_read()) {
        let (denied, sent) = attempt_audited_call(&instance, None, effect, &trail).await;
        assert!(
            matches!(denied, OperationError::AuditUnavailable(_)),
            "{denied}"
        );
        assert_eq!(sent, 0);
    }
    let (denied, sent) = attempt_audited_call(&instance, None, Operation::Read, &trail).await;
    assert!(matches!(denied, OperationError::Call(_)), "{denied}");
    assert_eq!(sent, 1);
    fs::remove_dir(&file).unwrap();
    assert!(journal.close(patience));
    let lines = outcomes();
    assert_eq!(lines.len(), 1 + 4 + 1, "{lines:?}");
    assert!(lines.contains(&"forbidden Some(\"unaudited\")".to_owned()));
}

#[tokio::test]
async fn write_of_a_key_that_was_revoked_meanwhile_is_not_sent() {
    let key = ApiKey::generate().unwrap();
    let stored = StoredKey {
        id: key.id().clone(),
        hash: key.hash(),
        name: "laptop".to_owned(),
        roles: vec![RoleName::try_from("all").unwrap()],
        created: jiff::Timestamp::UNIX_EPOCH,
        expires: None,
        revoked: None,
    };
    let mut keys = ApiKeyStore::default();
    keys.add(stored);
    let active = ActiveKeys::new(Some(keys.clone()));
    let subject: &'static str = key.id().as_str().to_owned().leak();
    let caller = (CallerKind::ApiKey, subject);
    let instance = instance(true);
    let attempt = async |effect| {
        let trail = RequestAudit::disabled();
        attempt_call_of(caller, &active, &instance, None, effect, &trail).await
    };
    let (denied, sent) = attempt(Operation::Write).await;
    assert!(matches!(denied, OperationError::Call(_)), "{denied}");
    assert_eq!(sent, 1);
    // The configuration of the call is the old one.
    keys.revoke(key.id(), jiff::Timestamp::UNIX_EPOCH).unwrap();
    for newer in [ActiveKeys::new(Some(keys)), ActiveKeys::default()] {
        active.replace(&newer);
        for effect in OPERATIONS.into_iter().filter(|effect| !effect.is_read()) {
            let (denied, sent) = attempt(effect).await;
            assert!(matches!(denied, OperationError::NotApproved(_)), "{denied}");
            assert_eq!(sent, 0);
        }
    }
}
