//! One record: one call to Odoo, and what became of it.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::{AuditOutcome, ChangedFields, ResponseSummary};
use gatepost_base::{CredentialName, InstanceName, TraceId};
use gatepost_identity::Caller;
use gatepost_odoo::{Call, MethodName, ModelName, Operation, RecordId};

/// Ids that one record names; of more it tells only how many.
pub(super) const MAX_IDS: usize = 100;

/// One call to Odoo, or one that was refused before it was made. The members
/// are written in this order; those that do not apply are left out.
///
/// No member can hold a key, a token, an address or what somebody searched
/// for; values of fields stand in [`Changes`] only where they are asked for.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// When it began.
    #[serde(serialize_with = "text")]
    pub time: Timestamp,
    /// Our number for the request.
    #[serde(serialize_with = "text")]
    pub request: TraceId,
    /// Which of the request's calls, from 1; 0 for one that was never made.
    pub call: u32,
    /// Who called.
    pub caller: CallerRef,
    /// The program that called, as far as that is known.
    #[serde(skip_serializing_if = "Client::is_unknown")]
    pub client: Client,
    /// The Odoo instance.
    pub instance: InstanceName,
    /// The Odoo user that it went out as; none for the service key's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<CredentialName>,
    /// The tool, one of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<&'static str>,
    /// Whether it is a question of our own, asked to serve the tool well.
    #[serde(skip_serializing_if = "is_false")]
    pub inquiry: bool,
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelName>,
    /// The method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<MethodName>,
    /// What it does to the data.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "effect")]
    pub effect: Option<Operation>,
    /// The records that it was called on, or that a read gave; the first hundred.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<RecordId>,
    /// How many those are in all.
    #[serde(skip_serializing_if = "is_zero")]
    pub ids_count: usize,
    /// What it changes.
    #[serde(flatten)]
    pub changed_fields: Option<ChangedFields>,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: AuditOutcome,
    /// Whether the client left before the end of a change, and so was not told.
    #[serde(skip_serializing_if = "is_false")]
    pub client_left: bool,
    /// How long it took, in milliseconds.
    #[serde(rename = "duration_ms", serialize_with = "milliseconds")]
    pub duration: Duration,
    /// Records in the answer, where it is a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<usize>,
    /// Bytes of the answer.
    #[serde(skip_serializing_if = "is_zero")]
    pub size_bytes: usize,
    /// The hash of what was there before a change, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<str>>,
}

/// Who called: one who is the same exactly when all three are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CallerRef {
    /// Who vouches for the subject.
    pub issuer: Box<str>,
    /// What kind of caller it is.
    pub kind: &'static str,
    /// Who it is.
    pub subject: Box<str>,
}

/// The program that called.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Client {
    /// The OAuth client that the token was issued to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Box<str>>,
    /// What the client calls itself: its own word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
}

impl CallerRef {
    /// Who this caller is.
    pub fn of(caller: &Caller) -> Self {
        Self {
            issuer: caller.issuer.as_str().into(),
            kind: caller.kind.as_str(),
            subject: caller.subject.as_str().into(),
        }
    }
}

impl Client {
    fn is_unknown(&self) -> bool {
        self.id.is_none() && self.name.is_none()
    }
}

impl Record {
    /// A record of nothing but who asked, where, and when.
    pub(super) fn new(
        time: Timestamp,
        request: TraceId,
        caller: &Caller,
        client: &Arc<Client>,
        instance: &InstanceName,
        outcome: AuditOutcome,
    ) -> Self {
        Self {
            time,
            request,
            call: 0,
            caller: CallerRef::of(caller),
            client: Client::clone(client),
            instance: instance.clone(),
            credential: caller.credential.clone(),
            tool: None,
            inquiry: false,
            model: None,
            method: None,
            effect: None,
            ids: Vec::new(),
            ids_count: 0,
            changed_fields: None,
            outcome,
            client_left: false,
            duration: Duration::ZERO,
            rows: None,
            size_bytes: 0,
            before: None,
        }
    }

    /// Adds what is called.
    pub(super) fn with_call(mut self, call: &Call, values: bool) -> Self {
        self.model = Some(call.model().clone());
        self.method = Some(call.method());
        self.effect = Some(call.operation());
        self.set_ids(call.ids().iter().copied(), call.ids().len());
        self.changed_fields = ChangedFields::of(call, values);
        self
    }

    /// Adds what was answered.
    pub(super) fn set_response(&mut self, answer: &ResponseSummary) {
        self.size_bytes = answer.size_bytes;
        self.rows = answer.rows;
        if self.ids_count == 0 {
            self.set_ids(answer.ids.iter().copied(), answer.ids_count);
        }
    }

    pub(super) fn set_ids(&mut self, ids: impl Iterator<Item = RecordId>, count: usize) {
        self.ids = ids.take(MAX_IDS).collect();
        self.ids_count = count;
    }
}

/// A time, to the microsecond, or whatever is written as it is shown.
fn text<S: Serializer>(value: &impl ToString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.to_string())
}

#[expect(
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks so"
)]
fn effect<S: Serializer>(effect: &Option<Operation>, serializer: S) -> Result<S::Ok, S::Error> {
    // The audit format names a change of records "update".
    let word = effect.map(|operation| match operation {
        Operation::Write => "update",
        Operation::Read | Operation::Create | Operation::Delete | Operation::Call => {
            operation.as_str()
        }
    });
    word.serialize(serializer)
}

/// To the tenth: calls to Odoo take tens of them.
fn milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 10_000.0).round() / 10.0)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

#[cfg(test)]
pub(super) mod tests {
    use std::{sync::Arc, time::Duration};

    use jiff::Timestamp;
    use serde_json::{Map, Value, json};

    use super::{AuditOutcome, Client, Record};
    use crate::audit::ResponseSummary;
    use gatepost_base::{CredentialName, InstanceName, Subject, TraceId};
    use gatepost_identity::{Caller, CallerKind};
    use gatepost_odoo::{Call, FieldName, ModelName, Operation, RecordId};

    /// A record of a read of two partners.
    pub(in crate::audit) fn read_record(request: u128) -> Record {
        let caller = Caller {
            issuer: "https://idp.example".to_owned(),
            kind: CallerKind::User,
            subject: Subject::verified("ada"),
            name: None,
            roles: Vec::new(),
            credential: Some(CredentialName::try_from("sales").unwrap()),
        };
        let client = Arc::new(Client {
            id: Some("claude".into()),
            name: None,
        });
        let ids: Vec<RecordId> = [7, 8]
            .map(|id| RecordId::try_from(id).unwrap())
            .into_iter()
            .collect();
        let call = Call::read(
            ModelName::try_from("res.partner").unwrap(),
            &ids,
            &[FieldName::try_from("name").unwrap()],
        );
        let instance = InstanceName::try_from("production").unwrap();
        let mut record = Record::new(
            Timestamp::UNIX_EPOCH,
            TraceId::new(request),
            &caller,
            &client,
            &instance,
            AuditOutcome::Cancelled,
        )
        .with_call(&call, false);
        record.call = 1;
        record.tool = Some("read_records");
        record
    }

    /// A record of a change of the same two.
    pub(in crate::audit) fn write_record(request: u128) -> Record {
        Record {
            effect: Some(Operation::Write),
            outcome: AuditOutcome::Begun,
            ..read_record(request)
        }
    }

    #[test]
    fn members_have_a_fixed_order_and_empty_ones_are_omitted() {
        let mut record = read_record(1);
        record.outcome = AuditOutcome::Answered;
        record.duration = Duration::from_micros(41_260);
        record.set_response(&ResponseSummary::of(
            br#"[{"id":7},{"id":8}]"#,
            Operation::Read,
        ));
        insta::assert_snapshot!(serde_json::to_string(&record).unwrap(), @r#"{"time":"1970-01-01T00:00:00Z","request":"00000000000000000000000000000001","call":1,"caller":{"issuer":"https://idp.example","kind":"user","subject":"ada"},"client":{"id":"claude"},"instance":"production","credential":"sales","tool":"read_records","model":"res.partner","method":"read","effect":"read","ids":[7,8],"ids_count":2,"outcome":"answered","duration_ms":41.3,"rows":2,"size_bytes":19}"#);
        let bare = Record {
            model: None,
            method: None,
            effect: None,
            credential: None,
            tool: None,
            client: Client::default(),
            ids: Vec::new(),
            ids_count: 0,
            outcome: AuditOutcome::Forbidden("forbidden"),
            ..read_record(2)
        };
        insta::assert_snapshot!(serde_json::to_string(&bare).unwrap(), @r#"{"time":"1970-01-01T00:00:00Z","request":"00000000000000000000000000000002","call":1,"caller":{"issuer":"https://idp.example","kind":"user","subject":"ada"},"instance":"production","outcome":"forbidden","reason":"forbidden","duration_ms":0.0}"#);
    }

    #[test]
    fn ids_are_capped_at_a_hundred_and_counted() {
        let mut record = read_record(1);
        let ids = (1..=10_000).map(|id| RecordId::try_from(id).unwrap());
        record.set_ids(ids, 10_000);
        let value: Map<String, Value> =
            serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
        assert_eq!(value["ids"].as_array().unwrap().len(), 100);
        assert_eq!(value["ids_count"], json!(10_000));
    }
}
