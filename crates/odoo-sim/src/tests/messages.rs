//! Messages and followers.

use serde_json::{Value, json};

use super::{ADMIN_KEY, call_ok, call_rejected, fake_odoo, read_field};
use crate::FakeOdoo;

#[expect(
    clippy::needless_pass_by_value,
    reason = "a test writes `json!` in place"
)]
fn post_on_order(odoo: &FakeOdoo, arguments: Value) -> Value {
    let mut body = json!({"ids": [2]});
    body.as_object_mut()
        .unwrap()
        .extend(arguments.as_object().unwrap().clone());
    call_ok(odoo, "sale.order/message_post", &body)[0].take()
}

fn message_field(odoo: &FakeOdoo, id: &Value, field: &str) -> Value {
    read_field(odoo, "mail.message", id, field)
}

#[test]
fn message_body_is_escaped_unless_marked_as_html() {
    let odoo = fake_odoo();
    let id = post_on_order(&odoo, json!({"body": "Hello <b>x</b> & y"}));
    assert_eq!(
        message_field(&odoo, &id, "body"),
        "<p>Hello &lt;b&gt;x&lt;/b&gt; &amp; y</p>"
    );
    assert_eq!(message_field(&odoo, &id, "message_type"), "notification");
    assert_eq!(message_field(&odoo, &id, "subtype_id"), json!([2, "Note"]));
    assert_eq!(
        message_field(&odoo, &id, "author_id"),
        json!([3, "Mitchell Admin"])
    );
    let id = post_on_order(
        &odoo,
        json!({"body": "<b>x</b><script>1</script>", "body_is_html": true}),
    );
    assert_eq!(message_field(&odoo, &id, "body"), "<p><b>x</b></p>");
    assert_eq!(
        read_field(&odoo, "sale.order", &json!(2), "message_ids")[0],
        id
    );
}

#[test]
fn comment_notifies_followers_and_note_does_not() {
    let odoo = fake_odoo();
    let followers = || read_field(&odoo, "sale.order", &json!(2), "message_partner_ids");
    // Confirmed: the seller and the customer follow it.
    assert_eq!(followers(), json!([7, 16]));
    let note = post_on_order(&odoo, json!({"body": "n", "subtype_xmlid": "mail.mt_note"}));
    assert_eq!(
        message_field(&odoo, &note, "notified_partner_ids"),
        json!([])
    );
    let comment = json!({"body": "c", "message_type": "comment", "subtype_xmlid": "mail.mt_comment", "partner_ids": [40]});
    let comment = post_on_order(&odoo, comment);
    assert_eq!(message_field(&odoo, &comment, "partner_ids"), json!([40]));
    assert_eq!(
        message_field(&odoo, &comment, "notified_partner_ids"),
        json!([40, 7, 16])
    );
    // The author of a comment becomes a follower.
    assert_eq!(followers(), json!([7, 16, 3]));
    // An unknown subtype silently makes it a note.
    let unknown = post_on_order(&odoo, json!({"body": "u", "subtype_xmlid": "mail.nope"}));
    assert_eq!(
        message_field(&odoo, &unknown, "subtype_id"),
        json!([2, "Note"])
    );
}

#[test]
fn followers_change_on_subscribe_and_create() {
    let odoo = fake_odoo();
    let followers = || read_field(&odoo, "crm.lead", &json!(4), "message_partner_ids");
    let own = followers();
    let call = |method: &str, partners: Value| {
        let body = json!({"ids": [4], "partner_ids": partners});
        call_ok(&odoo, &format!("crm.lead/{method}"), &body)
    };
    assert_eq!(call("message_subscribe", json!([40, 999])), true);
    assert_eq!(
        followers().as_array().unwrap().len(),
        own.as_array().unwrap().len() + 1
    );
    let subscribed = followers();
    assert_eq!(call("message_subscribe", json!([40])), true);
    assert_eq!(followers(), subscribed);
    // The creator and the responsible user follow a new record.
    let lead = json!({"vals_list": {"name": "x", "user_id": 6}});
    let lead = call_ok(&odoo, "crm.lead/create", &lead)[0].take();
    assert_eq!(
        read_field(&odoo, "crm.lead", &lead, "message_partner_ids"),
        json!([3, 7])
    );
    assert_eq!(
        read_field(&odoo, "crm.lead", &lead, "message_is_follower"),
        true
    );
    let follower = read_field(&odoo, "crm.lead", &lead, "message_follower_ids")[1].take();
    assert_eq!(
        read_field(&odoo, "mail.followers", &follower, "email"),
        "sally@example.com"
    );
}

#[test]
fn invalid_message_post_is_rejected_with_reason() {
    let odoo = fake_odoo();
    for (body, status, message) in [
        (
            json!({"body": "x"}),
            500,
            "Expected singleton: sale.order()",
        ),
        (
            json!({"ids": [2, 3], "body": "x"}),
            500,
            "Expected singleton: sale.order(2, 3)",
        ),
        (
            json!({"ids": [2], "body": "x", "nope": 1}),
            500,
            "Those values are not supported when posting or notifying: nope",
        ),
        (
            json!({"ids": [2], "body": "x", "message_type": "bogus"}),
            500,
            "Wrong value for mail.message.message_type: 'bogus'",
        ),
        (
            json!({"ids": [2], "body": "x", "message_type": "user_notification"}),
            500,
            "Use message_notify to send a notification to an user.",
        ),
        (
            json!({"ids": [2], "body": "x", "partner_ids": "a"}),
            500,
            "Posting a message should receive partners as a list of IDs (received 'a')",
        ),
        (
            json!({"ids": [2], "body": "x", "partner_ids": [999]}),
            404,
            "Record does not exist or has been deleted.\n(Record: res.partner(999,), User: 2)",
        ),
        (
            json!({"ids": [999], "body": "x"}),
            404,
            "Record does not exist or has been deleted.\n(Record: sale.order(999,), User: 2)",
        ),
    ] {
        let (got, _, text) = call_rejected(&odoo, ADMIN_KEY, "sale.order/message_post", &body);
        assert_eq!((got, text.as_str()), (status, message));
    }
    assert_eq!(
        call_rejected(
            &odoo,
            ADMIN_KEY,
            "res.country/message_post",
            &json!({"ids": [20]})
        )
        .0,
        404
    );
}
