//! A6: who makes the log long, or stops its reader.

use crate::{
    client::Client,
    process::wait_until,
    target::{ATTACKER, Setup, Target},
};

#[test]
fn flood_without_a_token_writes_few_lines_and_injects_none() {
    let target = Target::start(Setup::default());
    let mut bystander = target.bystander();
    let address = target.gateway.address;
    let lines = target.gateway.log().lines().count();
    let hostile = [
        "\u{1b}[2J",
        "\u{202e}",
        "%0d%0a{\"level\":\"ERROR\"}",
        "\"}\\n{\"level\":\"ERROR\",\"message\":\"x\"",
        "${jndi:ldap://x}",
    ];
    let attackers = (0..4).map(|number| -> Box<dyn FnMut() + Send> {
        let mut client = Client::new(address, &format!("127.0.0.{}", 10 + number), None)
            .with(&format!("User-Agent: {}", hostile[number]))
            .with(&format!("traceparent: {}", hostile[number]))
            .with(&format!("X-Request-Id: {}", hostile[number]));
        Box::new(move || assert!(matches!(client.ping().status, 400 | 401)))
    });
    let steps = bystander.assert_served_during(50, 8_000, attackers.collect());
    let log = target.gateway.log();
    let more = log.lines().count() - lines;
    println!("{steps} requests without a token, {more} lines");
    assert!(more < 1_000, "{steps} requests wrote {more} lines");
    assert!(
        !log.contains(['\u{1b}', '\u{202e}', '\r']),
        "the log has control characters"
    );
    // What the configuration is warned of comes before, for people.
    for line in log.lines().skip(lines) {
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_ne!(line["level"], "ERROR", "{line}");
    }
    target.end();
}

#[test]
fn names_that_clients_invent_make_no_series() {
    let target = Target::start(Setup::default());
    let mut client = target.client(ATTACKER);
    for _ in 0..3 {
        drop(client.call("no_tool", &serde_json::json!({})));
    }
    let series = || target.gateway.get_admin("/metrics").body.lines().count();
    let before = series();
    for number in 0..500 {
        drop(client.call(&format!("tool_{number}"), &serde_json::json!({})));
        drop(client.call(
            "count_records",
            &serde_json::json!({"model": format!("x.model{number}")}),
        ));
        drop(client.post(
            &serde_json::json!({"jsonrpc": "2.0", "id": number, "method": format!("x/{number}")}),
        ));
        let mut other = Client::new(target.gateway.address, ATTACKER, Some(&target.attacker))
            .with(&format!("MCP-Protocol-Version: 2025-{number}"));
        drop(other.ping());
    }
    wait_until("the metrics", || series() > 0);
    // A few for refusals that had not happened before.
    assert!(
        series() < before + 150,
        "{} series instead of {before}",
        series()
    );
    target.bystander().assert_served(3);
    target.end();
}
