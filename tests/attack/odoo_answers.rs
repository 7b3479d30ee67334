//! A2 and A11: answers of Odoo that cost more than their bytes, or that were not asked for.

use std::{
    convert::Infallible,
    net::TcpListener,
    sync::{Arc, Mutex},
    thread,
};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use odoo_sim::FakeOdoo;
use serde_json::{Value, json};

use crate::{
    footprint::cpu_of,
    target::{ATTACKER, Setup, Target},
};

/// The body that replaces an answer.
type Answer = Box<dyn Fn(Value) -> Vec<u8> + Send>;

/// What replaces an answer: the status and the body.
type Alteration = Box<dyn Fn(&str, Value) -> (u16, Vec<u8>) + Send>;

/// The simulated Odoo, whose answers to one method are altered.
#[derive(Default)]
struct AlteredOdoo(Mutex<Option<(&'static str, Alteration)>>);

impl AlteredOdoo {
    /// Starts it, and returns its URL.
    fn start(company: &Arc<FakeOdoo>) -> (Arc<Self>, String) {
        let altered = Arc::new(Self::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (company, serving) = (Arc::clone(company), Arc::clone(&altered));
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let (company, serving) = (Arc::clone(&company), Arc::clone(&serving));
                    tokio::spawn(async move {
                        let service = service_fn(|request: Request<Incoming>| {
                            let (company, serving) = (Arc::clone(&company), Arc::clone(&serving));
                            async move {
                                let (head, body) = request.into_parts();
                                let body = body.collect().await.unwrap().to_bytes();
                                let request = Request::from_parts(head, body);
                                let answer = company.handle(&request);
                                Ok::<_, Infallible>(serving.alter(request.uri().path(), answer))
                            }
                        });
                        let mut server = http1::Builder::new();
                        // A gateway that gives up on the answer is not an error here.
                        drop(
                            server
                                .keep_alive(false)
                                .serve_connection(TokioIo::new(stream), service)
                                .await,
                        );
                    });
                }
            });
        });
        (altered, url)
    }

    fn alter(&self, path: &str, answer: Response<Bytes>) -> Response<Full<Bytes>> {
        let altered = self.0.lock().unwrap();
        let Some((_, alter)) = altered
            .as_ref()
            .filter(|(method, _)| path.ends_with(method))
        else {
            return answer.map(Full::new);
        };
        let usual = serde_json::from_slice(answer.body()).unwrap();
        let (status, body) = alter(path, usual);
        Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(body))
            .unwrap()
    }

    /// Alters the answers to this method from now on.
    fn set(
        &self,
        method: &'static str,
        alter: impl Fn(&str, Value) -> (u16, Vec<u8>) + Send + 'static,
    ) {
        *self.0.lock().unwrap() = Some((method, Box::new(alter)));
    }
}

/// Texts that are cheap to write and may be expensive to read.
fn hostile_texts(bytes: usize) -> Vec<(&'static str, String)> {
    let parts = [
        ("less-than", "<"),
        ("ampersand", "&"),
        ("open comment", "<!--"),
        ("open tag", "<a"),
        ("open attribute", "<a b=\""),
        ("nested tags", "<div>"),
        ("closed tags", "</p>"),
        ("breaks", "<br/>"),
        ("entities", "&amp;"),
        ("long entity", "&a"),
        ("numeric entities", "&#x202e;"),
        ("doctype", "<!DOCTYPE"),
        ("cdata", "<![CDATA["),
        ("processing", "<?"),
        ("script", "<script>"),
        ("table", "<table><tr><td>"),
        ("whitespace", " \n\t"),
        ("line ends", "\r\n"),
        ("bidi", "\u{202e}"),
        ("joiners", "\u{1f468}\u{200d}"),
        ("combining", "a\u{301}"),
        ("zero width", "\u{200b}"),
        ("pipes", "|"),
        ("backslashes", "\\"),
        ("quotes", "\""),
        ("escapes", "\u{1b}[0m"),
    ];
    parts
        .map(|(name, part)| (name, part.repeat(bytes / part.len())))
        .into()
}

/// How much longer a text may be computed on than plain text of the same length.
const MAX_WORK: u64 = 50;

#[test]
fn no_text_from_odoo_costs_much_more_than_plain_text() {
    let company = Arc::new(FakeOdoo::new(jiff::civil::date(2026, 11, 21)));
    let (altered, url) = AlteredOdoo::start(&company);
    let target = Target::in_front_of(company, &Setup::default().text(&url));
    let mut bystander = target.bystander();
    let mut client = target.client(ATTACKER);
    let read = json!({"model": "res.partner", "ids": [1], "fields": ["name", "comment"]});
    assert!(!client.call("read_records", &read).tool_result().1);
    let bytes = 2_000_000;
    // In a value of a plain and of an HTML field, and in a refusal.
    for place in ["name", "comment", "refusal"] {
        let mut work_for = |text: &str| {
            let text = text.to_owned();
            altered.set("/search_read", move |_, mut usual| {
                if place == "refusal" {
                    let refusal = json!({"name": "odoo.exceptions.UserError", "message": text, "arguments": [text], "context": {}, "debug": text});
                    return (422, refusal.to_string().into_bytes());
                }
                usual[0][place] = json!(text);
                (200, usual.to_string().into_bytes())
            });
            let mut answer = None;
            let work = cpu_of(&target.gateway, || {
                answer = Some(client.call("read_records", &read));
            });
            let answer = answer.unwrap();
            assert_eq!(answer.status, 200);
            assert!(
                answer.body.len() < 64 << 10,
                "{place}: {} bytes",
                answer.body.len()
            );
            let (text, _) = answer.tool_result();
            let hidden = |letter: char| matches!(letter, '\u{202e}' | '\u{200b}' | '\u{1b}' | '\r');
            assert!(!text.contains(hidden), "{place}: {}", text.escape_debug());
            work
        };
        let plain = "a".repeat(bytes);
        work_for(&plain);
        let usual = (0..5).map(|_| work_for(&plain)).sum::<u64>() / 5;
        for (what, text) in hostile_texts(bytes) {
            let work = work_for(&text);
            assert!(
                work <= MAX_WORK * usual,
                "{place}, {what}: {work} ns, and plain text {usual} ns"
            );
        }
        *altered.0.lock().unwrap() = None;
        bystander.assert_served(2);
    }
    target.end();
}

#[test]
fn answer_that_was_not_asked_for_is_not_shown_and_stops_nobody() {
    let company = Arc::new(FakeOdoo::new(jiff::civil::date(2026, 11, 21)));
    let (altered, url) = AlteredOdoo::start(&company);
    let target = Target::in_front_of(
        company,
        &Setup {
            instance: "timeout_ms = 10_000",
            ..Setup::default()
        }
        .text(&url),
    );
    let mut bystander = target.bystander();
    let mut client = target.client(ATTACKER);
    let read = json!({"model": "res.partner", "ids": [1, 2], "fields": ["name"]});
    let usual = client.call("read_records", &read).tool_result();
    assert!(!usual.1, "{}", usual.0);
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth)).into_bytes();
    let json = |change: fn(&mut Value)| -> Answer {
        Box::new(move |mut usual| {
            change(&mut usual);
            usual.to_string().into_bytes()
        })
    };
    let answers: Vec<(&str, Answer)> = vec![
        ("another record", json(|all| all[0]["id"] = json!(77))),
        (
            "another record's text",
            json(|all| all[0] = json!({"id": 77, "name": "unasked"})),
        ),
        (
            "more records",
            json(|all| {
                all.as_array_mut()
                    .unwrap()
                    .extend((50..5_000).map(|id| json!({"id": id, "name": "unasked"})));
            }),
        ),
        ("the same record twice", json(|all| all[1] = all[0].clone())),
        (
            "another field",
            json(|all| all[0]["password"] = json!("unasked")),
        ),
        (
            "no id",
            json(|all| drop(all[0].as_object_mut().unwrap().remove("id"))),
        ),
        ("text as id", json(|all| all[0]["id"] = json!("1"))),
        ("negative id", json(|all| all[0]["id"] = json!(-1))),
        ("huge id", json(|all| all[0]["id"] = json!(1e300))),
        ("numbers for records", json(|all| *all = json!([1, 2, 3]))),
        ("an object", json(|all| *all = json!({"id": 1}))),
        ("null", json(|all| *all = Value::Null)),
        ("text", json(|all| *all = json!("x".repeat(1_000_000)))),
        (
            "lists for values",
            json(|all| all[0]["name"] = json!([[[1]]])),
        ),
        (
            "objects for values",
            json(|all| all[0]["name"] = json!({"a": {"b": "c"}})),
        ),
        ("deep", Box::new(move |_| deep(200_000))),
        (
            "many zeros",
            Box::new(|_| format!("[{{\"id\":1,\"name\":{}}}]", "9".repeat(1_000_000)).into_bytes()),
        ),
        ("too long", Box::new(|_| vec![b' '; 20 << 20])),
        (
            "cut off",
            Box::new(|all| all.to_string().into_bytes()[..20].to_vec()),
        ),
        (
            "invalid letters",
            Box::new(|_| b"[{\"id\":1,\"name\":\"\xff\xfe\"}]".to_vec()),
        ),
        (
            "lone surrogates",
            Box::new(|_| b"[{\"id\":1,\"name\":\"\\ud83d\"}]".to_vec()),
        ),
        ("nothing", Box::new(|_| Vec::new())),
    ];
    for (what, answer) in answers {
        altered.set("/search_read", move |_, usual| (200, answer(usual)));
        let answer = client.call("read_records", &read);
        assert_eq!(answer.status, 200, "{what}: {}", answer.head);
        assert!(
            answer.body.len() < 64 << 10,
            "{what}: {} bytes",
            answer.body.len()
        );
        let (text, _) = answer.tool_result();
        assert!(
            !text.contains("unasked") && !text.contains("password"),
            "{what}: {text}"
        );
        // A read that is altered elsewhere does not touch this one.
        assert_eq!(target.client(crate::target::BYSTANDER).count().status, 200);
    }
    *altered.0.lock().unwrap() = None;
    assert_eq!(
        client.call("read_records", &read).tool_result(),
        usual,
        "nothing of it was cached"
    );
    bystander.assert_served(3);
    // A model of very many fields.
    altered.set("/fields_get", |_, mut usual| {
        let field = json!({"type": "char", "string": "A field", "readonly": false, "required": false, "store": true, "searchable": true, "sortable": true});
        let all = usual.as_object_mut().unwrap();
        for number in 0..40_000 {
            all.insert(format!("x_field_{number:06}"), field.clone());
        }
        (200, usual.to_string().into_bytes())
    });
    for tool in ["describe_model", "search_records"] {
        let answer = client.call(tool, &json!({"model": "sale.order"}));
        assert_eq!(answer.status, 200);
        assert!(
            answer.body.len() < 256 << 10,
            "{tool}: {} bytes",
            answer.body.len()
        );
        let misspelt = json!({"model": "sale.order", "fields": vec!["x_feild_000001"; 300]});
        assert!(client.call(tool, &misspelt).body.len() < 64 << 10);
        bystander.assert_served(2);
    }
    *altered.0.lock().unwrap() = None;
    target.end();
}
