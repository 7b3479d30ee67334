//! A1: one call whose arguments cost more than their bytes.

use serde_json::{Map, Value, json};

use crate::{
    client::Client,
    footprint::cpu_of,
    target::{ATTACKER, Setup, Target},
};

/// How much longer a call may compute than a request of the largest body takes to be
/// read. The most now is 70 to 105, as the processor reads bytes or builds values faster;
/// the least that was exceeded before was 300.
const MAX_WORK: u64 = 200;

/// The longest answer, whatever was asked. The limit of a page is below.
const MAX_ANSWER_BYTES: usize = 256 << 10;

/// Nearly the largest body.
const LARGE: usize = 900_000;

/// Values that are small to write and large to handle, or simply large.
fn hostile_values() -> Vec<(&'static str, Value)> {
    let texts = |count: usize, length: usize| -> Value {
        let text = |number: usize| format!("{number:0>length$}");
        (0..count).map(text).collect()
    };
    let nested = |depth: usize, open: &str, close: &str| -> Value {
        // As text, because the client's own recursion is limited too.
        json!(format!("{}1{}", open.repeat(depth), close.repeat(depth)))
    };
    let domain = |terms: usize| -> Value {
        let term = json!(["name", "ilike", "a"]);
        let mut all = vec![json!("|"); terms - 1];
        all.extend(vec![term; terms]);
        json!(all)
    };
    let path = "parent_id.".repeat(LARGE / 10) + "name";
    let object: Map<String, Value> = (0..20_000)
        .map(|n| (format!("field_{n}"), json!(n)))
        .collect();
    vec![
        ("many long names", texts(LARGE / 131, 128)),
        ("many short names", texts(LARGE / 12, 9)),
        ("one name many times", json!(vec!["name"; LARGE / 8])),
        ("long text", json!("a".repeat(LARGE))),
        ("long text of markup", json!("<".repeat(LARGE))),
        (
            "long text of wide letters",
            json!("\u{1f468}\u{200d}".repeat(LARGE / 7)),
        ),
        ("deep lists", nested(LARGE / 2, "[", "]")),
        ("deep objects", nested(LARGE / 6, "{\"a\":", "}")),
        ("long path", json!(path)),
        ("list with a long path", json!([path])),
        ("domain of many terms", domain(20_000)),
        ("domain of many operators", json!(vec!["!"; LARGE / 5])),
        (
            "domain of a long list",
            json!([["id", "in", (0..100_000).collect::<Vec<_>>()]]),
        ),
        (
            "domain of long paths",
            json!(vec![
                json!([
                    "parent_id.parent_id.parent_id.parent_id.name",
                    "=",
                    "a"
                ]);
                10_000
            ]),
        ),
        ("many ids", json!((1..120_000).collect::<Vec<_>>())),
        ("many objects", json!(vec![json!({"name": "a"}); 40_000])),
        ("object of many members", Value::Object(object)),
        (
            "list of an object of many lists",
            json!([{"child_ids": vec![json!([0, 0, {"name": "a"}]); 20_000]}]),
        ),
        (
            "commands",
            json!({"category_id": vec![json!([6, 0, [1]]); 30_000]}),
        ),
        ("number", json!(1e308)),
    ]
}

/// The tools with one correct argument, and the names of all their arguments.
fn tools(client: &mut Client) -> Vec<(String, Vec<String>)> {
    let listing = client.post(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}));
    let listing = listing.json();
    let of = |tool: &Value| {
        let properties = tool["inputSchema"]["properties"].as_object().unwrap();
        (
            tool["name"].as_str().unwrap().to_owned(),
            properties.keys().cloned().collect(),
        )
    };
    listing["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(of)
        .collect()
}

#[test]
fn no_argument_of_any_tool_costs_much_more_than_its_bytes() {
    let target = Target::start(Setup::default());
    let mut bystander = target.bystander();
    let mut client = target.client(ATTACKER);
    let large =
        json!({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"x": "a".repeat(LARGE)}});
    assert_eq!(client.post(&large).status, 200);
    let reading = cpu_of(&target.gateway, || {
        for _ in 0..10 {
            assert_eq!(client.post(&large).status, 200);
        }
    }) / 10;
    let values = hostile_values();
    let tools = tools(&mut client);
    assert!(tools.len() >= 10, "{tools:?}");
    let mut most = (0, String::new());
    let mut calls = 0;
    for (tool, names) in &tools {
        for name in names {
            for (what, value) in &values {
                // The others are as a call needs them.
                let mut arguments = json!({
                    "model": "res.partner", "ids": [1], "values": {"name": "a"}, "method": "message_post",
                });
                arguments
                    .as_object_mut()
                    .unwrap()
                    .retain(|other, _| names.contains(other));
                if tool.starts_with("create") {
                    arguments["values"] = json!([{"name": "a"}]);
                }
                arguments[name] = value.clone();
                let mut answer = None;
                let work = cpu_of(&target.gateway, || {
                    answer = Some(client.call(tool, &arguments));
                });
                let answer = answer.unwrap();
                let case = format!("{tool}, {name}: {what}");
                assert!(
                    matches!(answer.status, 200 | 400 | 413),
                    "{case}: {}",
                    answer.head
                );
                assert!(
                    answer.body.len() <= MAX_ANSWER_BYTES,
                    "{case}: {} bytes: {}…",
                    answer.body.len(),
                    &answer.body[..500]
                );
                assert!(
                    work <= MAX_WORK * reading,
                    "{case}: it computed {work} ns, and reading takes {reading} ns"
                );
                if work > most.0 {
                    most = (work, case);
                }
                calls += 1;
            }
        }
        bystander.assert_served(1);
    }
    println!(
        "{calls} calls; the most: {:.1} times reading, {}",
        most.0 as f64 / reading as f64,
        most.1
    );
    target.end();
}

/// The same through the envelope instead of the arguments.
#[test]
fn no_message_costs_much_more_than_its_bytes() {
    let target = Target::start(Setup::default());
    let mut bystander = target.bystander();
    let mut client = target.client(ATTACKER);
    let body =
        |text: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{text}}}"#);
    let plain = client.request(&body(&format!("{{\"x\":\"{}\"}}", "a".repeat(LARGE))));
    let mut measure = |request: &str| {
        let mut answer = None;
        let work = cpu_of(&target.gateway, || {
            answer = Some(client.exchange(request.as_bytes()));
        });
        (work, answer.unwrap())
    };
    measure(&plain);
    let reading = (0..10).map(|_| measure(&plain).0).sum::<u64>() / 10;
    let repeat = |part: &str| part.repeat(LARGE / part.len());
    let tool = |name: &str, arguments: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}","arguments":{arguments}}}}}"#
        )
    };
    for message in [
        body(&(repeat("[") + "1")),
        body(&repeat("{\"a\":")),
        body(&format!("[{}1]", repeat("[[],"))),
        body(&format!("{{{}\"b\":1}}", repeat("\"a\":1,"))),
        body(&format!("[{}0]", repeat("0,"))),
        body(&format!("\"{}\"", repeat("\\u0000"))),
        body(&format!("\"{}\"", repeat("\\ud83d"))),
        body(&format!("1{}", repeat("0"))),
        body(&format!("1e{}", repeat("9"))),
        body(&format!("0.{}", repeat("0"))),
        repeat(" "),
        repeat("\n"),
        format!("[{}1]", repeat("1,")),
        format!(
            "[{}1]",
            repeat(r#"{"jsonrpc":"2.0","id":1,"method":"ping"},"#)
        ),
        format!(
            "[{}1]",
            repeat(
                r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}},"#
            )
        ),
        format!(
            r#"{{"jsonrpc":"2.0","id":"{}","method":"ping"}}"#,
            repeat("a")
        ),
        format!(
            r#"{{"jsonrpc":"2.0","id":{},"method":"ping"}}"#,
            repeat("1")
        ),
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{}"}}"#, repeat("a")),
        tool(&repeat("search_records"), "{}"),
        tool(
            "search_records",
            &format!("{{{}\"b\":1}}", repeat("\"a\":1,")),
        ),
        // `arguments` as JSON text, and JSON text in it.
        tool(
            "search_records",
            &format!("\"{}\"", repeat("[").replace('"', "\\\"")),
        ),
        tool(
            "search_records",
            &format!(
                "{{\"model\":\"res.partner\",\"fields\":\"{}\"}}",
                repeat("[\\\"a\\\",")
            ),
        ),
    ] {
        let (work, answer) = measure(&{
            let message = &message;
            let client = target.client(ATTACKER);
            client.request(message)
        });
        let begin = &message[..message.len().min(90)];
        assert!(
            matches!(answer.status, 200 | 202 | 400 | 413),
            "{begin}: {}",
            answer.head
        );
        assert!(
            answer.body.len() <= MAX_ANSWER_BYTES,
            "{begin}: {} bytes",
            answer.body.len()
        );
        assert!(
            work <= MAX_WORK * reading,
            "{begin}: {work} ns; reading takes {reading} ns"
        );
        bystander.assert_served(1);
    }
    target.end();
}
