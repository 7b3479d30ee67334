//! Who gets a message, with those outside the company first.

use serde_json::Value;

use super::arguments::{Arguments, MessageKind};
use crate::{
    access::{OdooSession, OperationError, RecordSnapshot},
    tools::arguments::dedup_ids,
    writes,
};
use gatepost_base::text::{join_bounded, one_line};
use gatepost_odoo::{Context, FieldName, ModelName, RecordId};

/// The maximum size of a list of recipients in bytes.
const MAX_SHOWN_BYTES: usize = 16 << 10;
/// Models whose records have members, who get every message, including notes, and
/// may be customers (Odoo 19, `addons/mail/models/discuss`, `addons/mail_group`).
const CHANNEL_MODELS: [&str; 2] = ["discuss.channel", "mail.group"];
/// The recipients of a message, as far as the caller may see them.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Recipients {
    /// People without an internal user, each with a masked address.
    external: Vec<String>,
    /// People who may be internal or external.
    unclassified: Vec<String>,
    /// People with an internal user.
    internal: Vec<String>,
    /// Why the list is incomplete.
    incomplete_reason: Option<&'static str>,
}

impl Arguments {
    /// Finds the recipients.
    pub(super) async fn find_recipients(
        &self,
        access: &OdooSession<'_>,
        before: &RecordSnapshot,
        context: &Context,
    ) -> Result<Recipients, OperationError> {
        let mut recipients = Recipients::default();
        let mut people = self.partner_ids.clone();
        if self.kind == MessageKind::Comment {
            let row = before.row(self.id);
            let followers = row.and_then(|row| row.get("message_partner_ids")?.as_array());
            match followers {
                Some(followers) => people.extend(followers.iter().filter_map(RecordId::from_json)),
                None => {
                    recipients.incomplete_reason = Some("You cannot see who follows this record");
                }
            }
        }
        dedup_ids(&mut people);
        if CHANNEL_MODELS.contains(&self.model.as_str()) {
            recipients.incomplete_reason = Some("All its members get it");
        }
        if people.is_empty() {
            return Ok(recipients);
        }
        let partner = ModelName::known("res.partner");
        let unseen = "You cannot see who they are";
        if access.may_read(&partner).is_err() {
            recipients.incomplete_reason.get_or_insert(unseen);
            return Ok(recipients);
        }
        let schema = access.schema(&partner).await?;
        let fields = ["partner_share", "email"].map(FieldName::known);
        let fields = fields
            .into_iter()
            .filter(|name| schema.field(name.as_str()).is_some());
        let fields: Vec<FieldName> = fields.collect();
        let read = RecordSnapshot::read(access, (&partner, &people), &fields, context).await;
        let snapshot = match read {
            Ok(snapshot) => {
                let missing = snapshot.missing(&self.partner_ids);
                if !missing.is_empty() {
                    return Err(OperationError::InvalidArgument(format!(
                        "these `partner_ids` do not exist or are not visible to this Odoo user: {}; find_by_name finds the right ids; nothing was posted",
                        writes::id_list(&missing)
                    )));
                }
                snapshot
            }
            Err(error) if error.is_fault() => RecordSnapshot::default(),
            Err(error) => return Err(error),
        };
        for id in people {
            let Some(row) = snapshot.row(id) else {
                recipients.incomplete_reason.get_or_insert(unseen);
                continue;
            };
            let name = format!("{} [{id}]", one_line(snapshot.name(id), 80));
            match row.get("partner_share").and_then(Value::as_bool) {
                Some(false) => recipients.internal.push(name),
                Some(true) => {
                    let address = row.get("email").and_then(Value::as_str);
                    let address = address.map_or_else(String::new, mask_address);
                    recipients.external.push(format!("{name}{address}"));
                }
                None => recipients.unclassified.push(name),
            }
        }
        Ok(recipients)
    }
}

impl Recipients {
    pub(super) fn describe(&self, kind: MessageKind) -> String {
        let mut parts = Vec::new();
        if !self.external.is_empty() {
            parts.push(format!(
                "{} recipients OUTSIDE the company, by e-mail: {}",
                self.external.len(),
                bounded_list(&self.external)
            ));
        }
        if !self.unclassified.is_empty() {
            parts.push(format!(
                "{} recipients who may be OUTSIDE the company, which you cannot see: {}",
                self.unclassified.len(),
                bounded_list(&self.unclassified)
            ));
        }
        if !self.internal.is_empty() {
            parts.push(format!(
                "{} recipients inside the company: {}",
                self.internal.len(),
                bounded_list(&self.internal)
            ));
        }
        if let Some(unknown) = self.incomplete_reason {
            let unknown = format!("{unknown}: it may go OUTSIDE the company, even to customers");
            parts.insert(0, unknown);
        }
        if parts.is_empty() {
            return match kind {
                MessageKind::Comment => {
                    "The record has no followers, so no one is notified.".to_owned()
                }
                MessageKind::Note => "No one is notified: a note stays on the record.".to_owned(),
            };
        }
        let mut text = parts.join(". ");
        if kind == MessageKind::Comment && self.incomplete_reason.is_none() {
            text.push_str(" (except the author and those who opted out of comments)");
        }
        text.push('.');
        text
    }
}

/// The names, within the limit.
fn bounded_list(people: &[String]) -> String {
    join_bounded(people.iter().cloned(), ", ", MAX_SHOWN_BYTES, |at| {
        let rest = people.len() - at;
        format!("and {rest} more who are NOT SHOWN because there are too many")
    })
}

/// Masks an address so that its owner can still be recognized.
fn mask_address(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((name, domain)) => {
            let first = name.chars().next().map(String::from).unwrap_or_default();
            format!(" ({}…@{})", one_line(&first, 1), one_line(domain, 60))
        }
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{MessageKind, Recipients, mask_address};

    #[test]
    fn external_recipients_are_listed_first() {
        let described = |recipients: &Recipients| {
            [MessageKind::Comment, MessageKind::Note]
                .map(|kind| recipients.describe(kind))
                .join("\n")
        };
        let some = Recipients {
            external: vec![format!("Azure [14]{}", mask_address("info@azure.example"))],
            internal: vec!["Marc [3]".to_owned(), "Mitchell [2]".to_owned()],
            ..Recipients::default()
        };
        let unclear = Recipients {
            unclassified: (1..=22).map(|id| format!("Azure [{id}]")).collect(),
            ..Recipients::default()
        };
        let unknown = Recipients {
            incomplete_reason: Some("You cannot see who follows this record"),
            ..Recipients::default()
        };
        let all = [&some, &unclear, &unknown, &Recipients::default()].map(described);
        insta::assert_snapshot!(all.join("\n"));
    }
}
