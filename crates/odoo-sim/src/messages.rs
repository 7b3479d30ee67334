//! Messages on records and their recipients.

use serde_json::{Value, json};

use super::{
    access::AccessMode,
    error::FakeOdooError,
    followers::{DISCUSSION_SUBTYPE, add_follower},
    html,
    invocation::Invocation,
    table::{row_from_json, text},
    transaction::Transaction,
    value::{ids, is_truthy, parse_record_id, python_repr},
};

/// The subtypes of messages, by external id and by id.
const SUBTYPES: [(&str, u32); 2] = [
    ("mail.mt_comment", DISCUSSION_SUBTYPE),
    ("mail.mt_note", NOTE_SUBTYPE),
];
const NOTE_SUBTYPE: u32 = 2;

/// `mail.thread.message_post` (`addons/mail/models/mail_thread.py`).
pub(super) fn post_message(
    transaction: &mut Transaction<'_>,
    call: &Invocation<'_>,
) -> Result<Value, FakeOdooError> {
    let model = call.table.model;
    let session = call.session;
    let known = [
        "attachment_ids",
        "attachments",
        "author_id",
        "body",
        "body_is_html",
        "email_from",
        "message_type",
        "parent_id",
        "partner_ids",
        "subject",
        "subtype_id",
        "subtype_xmlid",
    ];
    let unknown: Vec<&str> = call
        .arguments
        .keys()
        .map(String::as_str)
        .filter(|name| !known.contains(name))
        .collect();
    if !unknown.is_empty() {
        return Err(FakeOdooError::value_error(format!(
            "Those values are not supported when posting or notifying: {}",
            unknown.join(", ")
        )));
    }
    let id = call.only_id()?;
    let kind = call.text("message_type").unwrap_or("notification");
    if kind == "user_notification" {
        return Err(FakeOdooError::value_error(
            "Use message_notify to send a notification to an user.",
        ));
    }
    let partners = match call.argument("partner_ids") {
        None => Vec::new(),
        Some(given @ Value::Array(_)) => ids(given),
        Some(other) => {
            return Err(FakeOdooError::value_error(format!(
                "Posting a message should receive partners as a list of IDs (received {})",
                python_repr(other)
            )));
        }
    };
    // Posting needs the right to write (`_mail_post_access`).
    transaction.existing_ids(model, &[id])?;
    session.user.check_access(AccessMode::Write, call.table)?;
    transaction.check_record_rules(AccessMode::Write, model, id)?;
    if let Some(absent) = partners
        .iter()
        .find(|id| call.database.row("res.partner", **id).is_none())
    {
        return Err(transaction.missing_record("res.partner", *absent));
    }
    let subtype = match call.text("subtype_xmlid") {
        // An unknown name silently becomes a note.
        Some(named) => SUBTYPES
            .iter()
            .find_map(|(name, id)| (*name == named).then_some(*id))
            .unwrap_or(NOTE_SUBTYPE),
        None => call
            .argument("subtype_id")
            .and_then(parse_record_id)
            .unwrap_or(NOTE_SUBTYPE),
    };
    let body = match call.argument("body") {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => python_repr(other),
    };
    let body = if call.argument("body_is_html").is_some_and(is_truthy) {
        body
    } else {
        html::escape(&body)
    };
    let record = call.table.row(id).map(|row| call.table.display_name(row));
    let mut notified = partners.clone();
    if subtype == DISCUSSION_SUBTYPE {
        // A comment notifies the followers except its author.
        for follower in transaction.database.follower_partners(model, id) {
            if follower != session.user.partner && !notified.contains(&follower) {
                notified.push(follower);
            }
        }
    }
    let subject = match call.argument("subject") {
        Some(subject) => subject.clone(),
        None if subtype == DISCUSSION_SUBTYPE => json!(record),
        None => Value::Bool(false),
    };
    let author = call.database.row("res.partner", session.user.partner);
    let message = json!({
        "author_id": session.user.partner, "body": body, "date": session.current_datetime(),
        "email_from": format!("\"{}\" <{}>", session.user.name, author.map_or("", |author| text(author, "email"))),
        "message_type": kind, "model": model, "notified_partner_ids": notified, "partner_ids": partners,
        "record_name": record, "res_id": id, "subject": subject, "subtype_id": subtype,
    });
    let created = transaction.create("mail.message", &row_from_json(message))?;
    if kind == "comment" {
        add_follower(
            &mut transaction.database,
            session,
            model,
            id,
            session.user.partner,
        );
    }
    Ok(vec![created].into())
}

/// `mail.thread.message_subscribe`. Skips partners that are missing or archived.
pub(super) fn subscribe(
    transaction: &mut Transaction<'_>,
    call: &Invocation<'_>,
) -> Result<Value, FakeOdooError> {
    let model = call.table.model;
    let partners = call.argument("partner_ids").map(ids).unwrap_or_default();
    if call.ids.is_empty() || partners.is_empty() {
        return Ok(true.into());
    }
    let own = partners == [call.session.user.partner];
    let needed = if own {
        AccessMode::Read
    } else {
        AccessMode::Write
    };
    call.session.user.check_access(needed, call.table)?;
    for id in transaction.existing_ids(model, &call.ids)? {
        transaction.check_record_rules(needed, model, id)?;
        for partner in &partners {
            let active = call
                .database
                .row("res.partner", *partner)
                .is_some_and(|row| row.get("active") == Some(&Value::Bool(true)));
            if active {
                add_follower(&mut transaction.database, call.session, model, id, *partner);
            }
        }
    }
    Ok(true.into())
}
