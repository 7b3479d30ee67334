//! An Odoo with canned answers, fast enough to measure what is in front of it.
//!
//! An answer is made once for a request and repeated for every equal one. The sample
//! company answers for the Odoo user, companies and languages; the models of the
//! benchmark have fields as Odoo 19 described them (`tests/fixtures/odoo19`).
//! Connections are kept open, as an Odoo with worker threads or a proxy keeps them.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use odoo_sim::FakeOdoo;
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

/// The recorded descriptions of fields, by model and name.
const RECORDED_FIELDS: &str = include_str!("../fixtures/odoo19/value_fields.json");
/// What `search_count` returns.
const COUNT: u64 = 47;

/// A model of the benchmark.
struct BenchModel {
    name: &'static str,
    fields: usize,
    /// The size of each record's `comment`, in bytes; 0 means a short text.
    comment_bytes: usize,
}

/// The models. Those that end in a size have records with a long text each; the
/// number of records in a request makes the answer as long as its name says.
const MODELS: [BenchModel; 5] = [
    BenchModel {
        name: "res.partner",
        fields: 280,
        comment_bytes: 0,
    },
    BenchModel {
        name: "res.partner.industry",
        fields: 17,
        comment_bytes: 0,
    },
    BenchModel {
        name: "x_answer.kb4",
        fields: 17,
        comment_bytes: 130,
    },
    BenchModel {
        name: "x_answer.kb100",
        fields: 17,
        comment_bytes: 940,
    },
    BenchModel {
        name: "x_answer.mb1",
        fields: 17,
        comment_bytes: 4_910,
    },
];

/// The server.
pub(crate) struct CannedOdoo {
    runtime: Runtime,
    answers: Arc<Answers>,
}

/// One address of the server.
#[derive(Clone)]
pub(crate) struct OdooListener {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicU64>,
}

impl OdooListener {
    /// The URL of this address.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The connections that were opened to it so far.
    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }
}

impl CannedOdoo {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        Self {
            runtime,
            answers: Arc::new(Answers::new()),
        }
    }

    /// Opens a free port.
    pub(crate) fn listen(&self) -> OdooListener {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let opened = OdooListener {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
        };
        let (answers, connections) = (Arc::clone(&self.answers), Arc::clone(&opened.connections));
        self.runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                connections.fetch_add(1, Relaxed);
                let answers = Arc::clone(&answers);
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let answers = Arc::clone(&answers);
                        async move { Ok::<_, Infallible>(answers.answer(request).await) }
                    });
                    let served =
                        http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                    // A client that disconnects is not an error here.
                    drop(served.await);
                });
            }
        });
        opened
    }

    /// The body of the last request for this path.
    pub(crate) fn last_body(&self, path: &str) -> Bytes {
        self.answers.last_bodies.lock().unwrap()[path].clone()
    }
}

/// The name of a field and its description.
type NamedField = (String, Value);

struct Answers {
    company: FakeOdoo,
    models: HashMap<&'static str, (&'static BenchModel, Vec<NamedField>)>,
    known: Mutex<HashMap<Bytes, Bytes>>,
    last_bodies: Mutex<HashMap<String, Bytes>>,
}

impl Answers {
    fn new() -> Self {
        let models = MODELS
            .iter()
            .map(|model| (model.name, (model, fields_of(model))));
        Self {
            company: FakeOdoo::new(jiff::civil::date(2026, 11, 21)),
            models: models.collect(),
            known: Mutex::default(),
            last_bodies: Mutex::default(),
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body
            .collect()
            .await
            .map_or_else(|_| Bytes::new(), http_body_util::Collected::to_bytes);
        let path = head.uri.path();
        let key = Bytes::from([path.as_bytes(), b"\n", &body].concat());
        let known = self.known.lock().unwrap().get(&key).cloned();
        if let Some(known) = known {
            return json_response(known);
        }
        self.last_bodies
            .lock()
            .unwrap()
            .insert(path.to_owned(), body.clone());
        let own = path.strip_prefix("/json/2/").and_then(|call| {
            let (model, method) = call.split_once('/')?;
            let (model, fields) = self.models.get(model)?;
            answer_for(model, fields, method, &serde_json::from_slice(&body).ok()?)
        });
        let Some(own) = own else {
            return self
                .company
                .handle(&Request::from_parts(head, body))
                .map(Full::new);
        };
        let answer = Bytes::from(own.to_string());
        self.known.lock().unwrap().insert(key, answer.clone());
        json_response(answer)
    }
}

fn json_response(body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    let media = header::HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}

/// The answer of a method of a benchmark's model; `None` if it has no such method.
fn answer_for(
    model: &BenchModel,
    fields: &[NamedField],
    method: &str,
    arguments: &Value,
) -> Option<Value> {
    let ids = || -> Vec<u64> {
        let asked = arguments["ids"]
            .as_array()
            .map(|ids| ids.iter().filter_map(Value::as_u64).collect());
        asked.unwrap_or_else(|| (1..=arguments["limit"].as_u64().unwrap_or(COUNT)).collect())
    };
    Some(match method {
        "fields_get" => fields.iter().cloned().collect::<Map<_, _>>().into(),
        "formatted_read_group" => json!([{ "__count": COUNT, "__extra_domain": [] }]),
        "read" | "search_read" => {
            let asked = arguments["fields"].as_array();
            let asked: Vec<&str> = asked
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            let row = |id: u64| -> Value {
                let mut row = Map::from_iter([("id".to_owned(), id.into())]);
                let shown = fields
                    .iter()
                    .filter(|(name, _)| asked.is_empty() || asked.contains(&name.as_str()));
                row.extend(
                    shown.map(|(name, field)| (name.clone(), value(model, name, field, id))),
                );
                row.into()
            };
            ids().into_iter().map(row).collect()
        }
        "search" => ids().into(),
        "search_count" => COUNT.into(),
        _ => return None,
    })
}

/// The fields of a model: those that every model has, then the recorded ones, under
/// further names until there are enough.
fn fields_of(model: &BenchModel) -> Vec<NamedField> {
    let recorded: Map<String, Value> = serde_json::from_str(RECORDED_FIELDS).unwrap();
    let own = |name: &str, kind: &str, label: &str, writable: bool| {
        let field = json!({
            "type": kind, "string": label, "required": name == "name", "readonly": !writable,
            "store": true, "searchable": true, "sortable": true, "depends": [],
        });
        (name.to_owned(), field)
    };
    let mut fields = vec![
        own("id", "integer", "ID", false),
        own("name", "char", "Name", true),
        own("display_name", "char", "Display Name", false),
        own("active", "boolean", "Active", true),
        own("create_date", "datetime", "Created on", false),
        own("write_date", "datetime", "Last Updated on", false),
        own("comment", "text", "Notes", true),
    ];
    let described: Vec<(&String, &Value)> = recorded
        .values()
        .filter_map(Value::as_object)
        .flatten()
        .filter(|(name, _)| !fields.iter().any(|(known, _)| known == *name))
        .collect();
    for number in 0.. {
        for (name, field) in &described {
            if fields.len() == model.fields {
                return fields;
            }
            let name = if number == 0 {
                (*name).clone()
            } else {
                format!("x_{name}_{number}")
            };
            if fields.iter().any(|(known, _)| *known == name) {
                continue;
            }
            let mut field = (*field).clone();
            if number > 0 {
                field["string"] =
                    format!("{} ({number})", field["string"].as_str().unwrap_or(&name)).into();
                field["help"] =
                    format!("What {name} of a record says, as its form explains it to people.")
                        .into();
            }
            fields.push((name, field));
        }
    }
    fields
}

/// The value of a field of a record, as JSON/2 writes it.
fn value(model: &BenchModel, name: &str, field: &Value, id: u64) -> Value {
    if name == "comment" && model.comment_bytes > 0 {
        let words = format!("Delivered to gate {id}, signed by the porter. ");
        let mut text = words.repeat(model.comment_bytes / words.len() + 1);
        text.truncate(model.comment_bytes);
        return text.into();
    }
    match field["type"].as_str().unwrap_or_default() {
        "char" | "html" | "text" => {
            format!("{} {id}", field["string"].as_str().unwrap_or(name)).into()
        }
        "boolean" => id.is_multiple_of(2).into(),
        "integer" | "many2one_reference" => id.into(),
        "float" | "monetary" => json!(f64::from(u32::try_from(id).unwrap()) * 1.5),
        "date" => format!("2026-11-{:02}", id % 28 + 1).into(),
        "datetime" => format!("2026-11-{:02} 08:30:00", id % 28 + 1).into(),
        "selection" => field["selection"][0][0].clone(),
        "many2one" => json!([
            id,
            format!("{} {id}", field["relation"].as_str().unwrap_or(name))
        ]),
        "many2many" | "one2many" => json!([id, id + 1]),
        "properties" => json!([]),
        _ => false.into(),
    }
}
