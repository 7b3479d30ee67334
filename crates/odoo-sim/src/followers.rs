//! The followers of a record: the partners that receive its messages.

use serde_json::json;

use super::{
    database::Database,
    defaults::empty_row,
    session::Session,
    table::{Table, link, row_from_json},
};

/// The subtype that followers receive: a discussion, not a note.
pub(super) const DISCUSSION_SUBTYPE: u32 = 1;

/// Adds the followers of a new record: its creator and the user in `user_id`.
pub(super) fn add_default_followers(
    database: &mut Database,
    session: &Session,
    model: &str,
    id: u32,
) {
    if is_thread(database, model) {
        add_follower(database, session, model, id, session.user.partner);
        add_responsible_follower(database, session, model, id);
    }
}

/// Adds the user in `user_id` to the followers of a record.
pub(super) fn add_responsible_follower(
    database: &mut Database,
    session: &Session,
    model: &str,
    id: u32,
) {
    let partner = database
        .row(model, id)
        .and_then(|row| link(row, "user_id"))
        .and_then(|user| link(database.row("res.users", user)?, "partner_id"));
    if let Some(partner) = partner.filter(|_| is_thread(database, model)) {
        add_follower(database, session, model, id, partner);
    }
}

fn is_thread(database: &Database, model: &str) -> bool {
    database.table(model).is_some_and(Table::is_thread)
}

/// Adds a partner to the followers of a record, unless it is one already.
pub(super) fn add_follower(
    database: &mut Database,
    session: &Session,
    model: &str,
    id: u32,
    partner: u32,
) {
    if database.follower_partners(model, id).contains(&partner) {
        return;
    }
    let Some(table) = database.tables.get_mut("mail.followers") else {
        return;
    };
    let mut new = empty_row(table);
    new.extend(row_from_json(json!({
        "res_model": model, "res_id": id, "partner_id": partner, "subtype_ids": [DISCUSSION_SUBTYPE],
    })));
    table.insert(new, session.user.id, &session.current_datetime());
}
