//! One request: who calls which method with what.

use bytes::Bytes;
use http::{Method as Verb, Request, Response, header};
use serde_json::{Map, Value, json};

use super::{
    DATABASE, FakeOdoo, access,
    database::Database,
    documentation,
    domain::{ids, python_repr},
    methods::{self, MethodBody},
    refusal::{FakeOdooError, json_response},
    session::Session,
    table::Table,
    transaction::Transaction,
};

/// Answers a request, from its path on.
pub(super) fn handle_request(
    company: &FakeOdoo,
    request: &Request<Bytes>,
) -> Result<Response<Bytes>, FakeOdooError> {
    let path = request.uri().path();
    match path {
        "/web/version" | "/json/version" => {
            return Ok(json_response(
                &json!({"version_info": [19, 0, 0, "final", 0, ""], "version": "19.0"}),
            ));
        }
        "/web/health" => return Ok(json_response(&json!({"status": "pass"}))),
        _ => {}
    }
    let name = request.headers().get("x-odoo-database");
    if name.is_some_and(|name| name != DATABASE) {
        return Err(FakeOdooError::Html {
            status: 404,
            text: "No database is selected and the requested URL was not found in the server-wide controllers.",
        });
    }
    if let Some(page) = path.strip_prefix("/doc-bearer/") {
        let user = access::authenticate(request.headers())?;
        return documentation::serve_page(&company.database(), user, page, request.headers());
    }
    let target = path
        .strip_prefix("/json/2/")
        .and_then(|rest| rest.split_once('/'));
    let (Some((model, method)), &Verb::POST) = (target, request.method()) else {
        return Err(FakeOdooError::not_found(
            "Did you mean POST /json/2/<model>/<method>?",
        ));
    };
    let user = access::authenticate(request.headers())?;
    let mut arguments = parse_arguments(request)?;
    let database = company.database();
    let table = database
        .table(model)
        .ok_or_else(|| FakeOdooError::not_found(format!("the model '{model}' does not exist")))?;
    if method.starts_with('_') || matches!(method, "search_fetch" | "browse" | "sudo" | "fetch") {
        return Err(FakeOdooError::access_error(format!(
            "Private methods (such as '{model}.{method}') cannot be called remotely."
        )));
    }
    let method = methods::for_model(table.model)
        .find(|one| one.name == method)
        .ok_or_else(|| {
            FakeOdooError::not_found(format!("The method '{model}.{method}' does not exist"))
        })?;
    let asked_ids = arguments.remove("ids").unwrap_or_default();
    let session = Session::new(user, arguments.remove("context"), company.now())?;
    check_arguments(method, table.model, &asked_ids, &arguments)?;
    match method.run {
        MethodBody::Read(run) => {
            let call = Invocation {
                database: &database,
                session: &session,
                table,
                ids: ids(&asked_ids),
                arguments: &arguments,
            };
            run(&call).map(|value| json_response(&value))
        }
        MethodBody::Write(run) => {
            let turn = super::lock(&company.write_lock);
            // What was committed while it waited for its turn counts.
            let database = company.database();
            let table = database.table(model).unwrap_or(table);
            let call = Invocation {
                database: &database,
                session: &session,
                table,
                ids: parse_write_ids(&asked_ids)?,
                arguments: &arguments,
            };
            let mut transaction = Transaction::begin(&database, &session);
            let value = run(&mut transaction, &call)?;
            company.commit(transaction.commit());
            drop(turn);
            Ok(json_response(&value))
        }
    }
}

/// The arguments in a body. A real Odoo takes what is no object for none.
fn parse_arguments(request: &Request<Bytes>) -> Result<Map<String, Value>, FakeOdooError> {
    let json_body = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/json"));
    if !json_body && !request.body().is_empty() {
        return Err(FakeOdooError::Html {
            status: 415,
            text: "Unsupported Media Type",
        });
    }
    // A real Odoo does not see a chunked body at all.
    let chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
    if chunked || request.body().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(request.body()) {
        Ok(Value::Object(body)) => Ok(body),
        Ok(_) => Ok(Map::new()),
        Err(error) => Err(FakeOdooError::new(
            400,
            "werkzeug.exceptions.BadRequest",
            format!("could not parse the body as json: {error}"),
        )),
    }
}

/// Checks the names of the arguments against the method's signature.
fn check_arguments(
    method: &methods::Method,
    model: &str,
    asked_ids: &Value,
    arguments: &Map<String, Value>,
) -> Result<(), FakeOdooError> {
    if method.api.contains(&"model") && !ids(asked_ids).is_empty() {
        return Err(FakeOdooError::invalid_arguments(format!(
            "cannot call {model}.{} with ids",
            method.name
        )));
    }
    let parameters = method.parameters();
    if let Some(missing) = parameters.iter().find(|parameter| {
        parameter.default.is_none()
            && !parameter.variadic
            && !arguments.contains_key(parameter.name)
    }) {
        return Err(FakeOdooError::invalid_arguments(format!(
            "missing a required argument: '{}'",
            missing.name
        )));
    }
    // `search_read` hands the rest on to `read`, which takes nothing more.
    let takes_more = method.name != "search_read" && parameters.iter().any(|one| one.variadic);
    if let Some(name) = arguments.keys().find(|name| {
        !takes_more
            && !parameters
                .iter()
                .any(|parameter| !parameter.variadic && parameter.name == name.as_str())
    }) {
        return Err(FakeOdooError::invalid_arguments(format!(
            "got an unexpected keyword argument '{name}'"
        )));
    }
    Ok(())
}

/// The ids of a call that changes records: one or several numbers.
///
/// Reading drops what is no id; writing trips over it, in words of the
/// database's.
fn parse_write_ids(asked: &Value) -> Result<Vec<u32>, FakeOdooError> {
    let one = std::slice::from_ref(asked);
    let given = match asked {
        Value::Null | Value::Bool(false) => &[],
        Value::Array(given) => given.as_slice(),
        Value::Bool(true) | Value::Number(_) | Value::String(_) | Value::Object(_) => one,
    };
    let mut found = Vec::new();
    for id in given {
        let whole = id.as_f64().filter(|id| id.fract() == 0.0 && *id > 0.0);
        match whole.and_then(|_| super::cast::parse_record_id(id)) {
            Some(id) if found.contains(&id) => {}
            Some(id) => found.push(id),
            None if id.as_i64() == Some(0) => {
                return Err(FakeOdooError::new(
                    500,
                    "builtins.AttributeError",
                    "'int' object has no attribute 'origin'",
                ));
            }
            None => {
                return Err(FakeOdooError::new(
                    500,
                    "psycopg2.errors.UndefinedFunction",
                    format!(
                        "operator does not exist: integer = text: {}\n",
                        python_repr(id)
                    ),
                ));
            }
        }
    }
    Ok(found)
}

/// A call, its reserved arguments taken out.
pub(super) struct Invocation<'a> {
    /// The records as they were when it came.
    pub(super) database: &'a Database,
    pub(super) session: &'a Session,
    pub(super) table: &'a Table,
    pub(super) ids: Vec<u32>,
    pub(super) arguments: &'a Map<String, Value>,
}

impl<'a> Invocation<'a> {
    /// An argument, `None` when it is missing or null.
    pub(super) fn argument(&self, name: &str) -> Option<&'a Value> {
        self.arguments.get(name).filter(|value| !value.is_null())
    }
}
