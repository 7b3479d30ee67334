//! The audit record of one call to Odoo.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::{AuditOutcome, ChangedFields, ResponseSummary, response_summary::MAX_IDS};
use gatepost_base::{CredentialName, InstanceName, TraceId};
use gatepost_identity::Caller;
use gatepost_odoo::{Call, MethodName, ModelName, Operation, RecordId};

/// A call to Odoo, or one that was denied before it was sent. The members are
/// serialized in this order; those that do not apply are omitted.
///
/// No member can hold a key, a token, an address or a search term; values of fields are
/// in [`ChangedFields`] only if enabled.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// When it began.
    pub time: Timestamp,
    /// The id of the request.
    #[serde(serialize_with = "text")]
    pub request: TraceId,
    /// The number of the call in its request, from 1; 0 for a call that was not sent.
    pub call: u32,
    /// The caller.
    pub caller: CallerRef,
    /// The client program, if known.
    #[serde(skip_serializing_if = "Client::is_unknown")]
    pub client: Client,
    /// The Odoo instance.
    pub instance: InstanceName,
    /// The credential of the Odoo user; `None` for the service key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<CredentialName>,
    /// The tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<&'static str>,
    /// Whether the gateway made the call on its own behalf to serve the tool.
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
    /// The records that it was called on or that a read returned; the first hundred.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<RecordId>,
    /// The total number of ids.
    #[serde(skip_serializing_if = "is_zero")]
    pub ids_count: usize,
    /// The fields that it changes.
    #[serde(flatten)]
    pub changed_fields: Option<ChangedFields>,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: AuditOutcome,
    /// Whether the client left before the end of a write and did not get the result.
    #[serde(skip_serializing_if = "is_false")]
    pub client_left: bool,
    /// How long it took, in milliseconds.
    #[serde(rename = "duration_ms", serialize_with = "milliseconds")]
    pub duration: Duration,
    /// The number of rows in the response, if it is a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<usize>,
    /// The size of the response in bytes.
    #[serde(skip_serializing_if = "is_zero")]
    pub size_bytes: usize,
    /// The hash of the values before a write, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<str>>,
}

/// A caller, identified by its issuer, kind and subject.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CallerRef {
    /// The issuer of the subject.
    pub issuer: Box<str>,
    /// The kind of caller.
    pub kind: &'static str,
    /// The subject.
    pub subject: Box<str>,
    /// The administrator's name for the API key, if the subject is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
}

/// The client program.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Client {
    /// The OAuth client that the token was issued to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Box<str>>,
    /// The name that the client reports, unverified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
}

impl CallerRef {
    /// The reference to a caller.
    pub fn of(caller: &Caller) -> Self {
        Self {
            issuer: caller.issuer.as_str().into(),
            kind: caller.kind.as_str(),
            subject: caller.subject.as_str().into(),
            name: caller.name.clone(),
        }
    }
}

impl Client {
    fn is_unknown(&self) -> bool {
        self.id.is_none() && self.name.is_none()
    }
}

impl Record {
    /// A record of only the caller, the instance and the time.
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

    /// Adds the call.
    pub(super) fn with_call(mut self, call: &Call, values: bool) -> Self {
        self.model = Some(call.model().clone());
        self.method = Some(call.method());
        self.effect = Some(call.operation());
        self.set_ids(call.ids().iter().copied(), call.ids().len());
        self.changed_fields = ChangedFields::of(call, values);
        self
    }

    /// Adds the summary of the response.
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

/// Serializes a value as its `Display` text.
fn text<S: Serializer>(value: &impl ToString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.to_string())
}

#[expect(
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes references"
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

/// Serializes a duration in milliseconds, rounded to a tenth.
fn milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 10_000.0).round() / 10.0)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
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

    /// The record of a read of two partners.
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

    /// The record of a write of the same two.
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
