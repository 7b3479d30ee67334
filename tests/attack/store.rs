//! A8: one caller that fills the store of changes.

use serde_json::json;

use crate::{
    client::Client,
    process::new_key,
    target::{ATTACKER, BYSTANDER, NO_LIMITS, Setup, Target},
};

fn create(client: &mut Client, name: &str) -> (String, bool) {
    let arguments =
        json!({"model": "res.partner", "values": [{"name": name}], "idempotency_key": name});
    client.call("create_records", &arguments).tool_result()
}

#[test]
fn caller_who_fills_the_store_leaves_room_for_the_changes_of_others() {
    let limits = format!("{NO_LIMITS}caller_in_flight = 32");
    let target = Target::start(Setup {
        limits: Some(&limits),
        more: "[changes]\nmax_memory_mb = 4\nmax_undo_bytes = 0",
        ..Setup::default()
    });
    let mut bystander = target.bystander();
    // Each next caller uses what the ones before leave.
    let mut made = Vec::new();
    for caller in 0..2 {
        let key = new_key(target.folder.path(), "writer", None);
        target
            .gateway
            .reload(&std::fs::read_to_string(target.folder.path().join("gatepost.toml")).unwrap());
        let mut attacker = target.client_with(ATTACKER, &key);
        let refusal = (0..20_000).find_map(|number| {
            // The answer is stored with its text.
            let (said, failed) = create(
                &mut attacker,
                &format!("{caller} {number} {}", "x".repeat(2_000)),
            );
            // A disk may be too slow for the journal for a moment.
            (failed && !said.contains("audit record")).then_some((number, said))
        });
        let (number, said) = refusal.expect("no end of the store");
        assert!(said.contains("share") || said.contains("full"), "{said}");
        assert!(number > 3, "caller {caller} had room for {number}");
        made.push(number);
        bystander.assert_served(1);
    }
    println!("changes of each caller until the refusal: {made:?}");
    // Reads go on for the one who is refused, and so do the changes of another.
    assert_eq!(target.client(ATTACKER).count().status, 200);
    let (said, failed) = create(&mut target.client(BYSTANDER), "A bystander's");
    assert!(!failed && said.starts_with("Created"), "{said}");
    let (said, failed) = create(&mut target.client(BYSTANDER), "A bystander's");
    assert!(
        !failed && said.starts_with("This was done before"),
        "{said}"
    );
    target.end();
}

#[test]
fn idempotency_keys_and_confirmations_of_an_attacker_are_bounded_before_they_are_stored() {
    let target = Target::start(Setup::default());
    let mut attacker = target.client(ATTACKER);
    let before = target.odoo.snapshot().ids("res.partner").len();
    for text in [
        "",
        " ",
        "\n",
        "\u{0}",
        "\u{202e}",
        &"k".repeat(100_000),
        "../../etc/passwd",
        "{}",
        "*",
        "gatepost:*",
    ] {
        for argument in ["idempotency_key", "confirm"] {
            let mut arguments = json!({"model": "res.partner", "values": [{"name": "Bounded"}]});
            arguments[argument] = json!(text);
            let answer = attacker.call("create_records", &arguments);
            assert_eq!(answer.status, 200, "{argument} {text:?}");
            assert!(
                answer.body.len() < 4_000,
                "{argument}: {} bytes",
                answer.body.len()
            );
        }
    }
    let made = target.odoo.snapshot().ids("res.partner").len() - before;
    assert!(made <= 20, "{made}");
    target.bystander().assert_served(3);
    target.end();
}
