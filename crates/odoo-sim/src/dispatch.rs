//! Dispatches a request to the method it names.

use std::sync::PoisonError;

use bytes::Bytes;
use http::{Method as Verb, Request, Response, header};
use serde_json::{Map, Value, json};

use super::{
    access, api_keys,
    database::DATABASE,
    documentation,
    error::{FakeOdooError, json_response},
    fake_odoo::FakeOdoo,
    invocation::Invocation,
    method::{Method, MethodBody},
    methods, record_page,
    session::Session,
    transaction::Transaction,
    value::{ids, parse_record_id, python_repr},
};

impl FakeOdoo {
    /// Answers a request as Odoo would.
    pub fn handle(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let response = dispatch(self, request).unwrap_or_else(FakeOdooError::into_response);
        self.record_call(request, response.status().as_u16());
        response
    }
}

/// Routes a request by its path.
fn dispatch(odoo: &FakeOdoo, request: &Request<Bytes>) -> Result<Response<Bytes>, FakeOdooError> {
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
    if let Some(page) = path.strip_prefix("/odoo")
        && request.method() == Verb::GET
        && (page.is_empty() || page.starts_with('/'))
    {
        let page = page.trim_start_matches('/');
        return Ok(record_page::serve_page(&odoo.database(), page));
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
        return documentation::serve_page(&odoo.database(), user, page, request.headers());
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
    let keys = odoo.api_keys();
    if api_keys::has_expired(&keys, user, odoo.now()) {
        return Err(access::invalid_key());
    }
    let mut arguments = parse_arguments(request)?;
    if (model, method) == ("res.users.apikeys", "search_read") {
        return api_keys::search_read(&keys, user, &arguments).map(|rows| json_response(&rows));
    }
    let database = odoo.database();
    let table = database
        .table(model)
        .ok_or_else(|| FakeOdooError::not_found(format!("the model '{model}' does not exist")))?;
    if method.starts_with('_') || matches!(method, "search_fetch" | "browse" | "sudo" | "fetch") {
        return Err(FakeOdooError::access_error(format!(
            "Private methods (such as '{model}.{method}') cannot be called remotely."
        )));
    }
    let method = methods::for_model(table)
        .find(|one| one.name == method)
        .ok_or_else(|| {
            FakeOdooError::not_found(format!("The method '{model}.{method}' does not exist"))
        })?;
    let requested_ids = arguments.remove("ids").unwrap_or_default();
    let session = Session::new(user, arguments.remove("context"), odoo.now())?;
    check_arguments(method, table.model, &requested_ids, &arguments)?;
    match method.body {
        MethodBody::Read(body) => {
            let call = Invocation {
                database: &database,
                session: &session,
                table,
                ids: ids(&requested_ids),
                arguments: &arguments,
            };
            body(&call).map(|value| json_response(&value))
        }
        MethodBody::Write(body) => {
            let writing = odoo
                .write_lock
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            // Read again: another call may have committed while this one waited.
            let database = odoo.database();
            let table = database.table(model).unwrap_or(table);
            let call = Invocation {
                database: &database,
                session: &session,
                table,
                ids: parse_write_ids(&requested_ids)?,
                arguments: &arguments,
            };
            let mut transaction = Transaction::begin(&database, &session);
            let value = body(&mut transaction, &call)?;
            odoo.commit(transaction.commit());
            drop(writing);
            Ok(json_response(&value))
        }
    }
}

/// The arguments in a body. Like Odoo, treats a body that is not an object as empty.
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
    // Odoo ignores a chunked body.
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
    method: &Method,
    model: &str,
    requested_ids: &Value,
    arguments: &Map<String, Value>,
) -> Result<(), FakeOdooError> {
    if method.api.contains(&"model") && !ids(requested_ids).is_empty() {
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
    // `search_read` passes the rest to `read`, which accepts nothing else.
    let accepts_more = method.name != "search_read" && parameters.iter().any(|one| one.variadic);
    if let Some(name) = arguments.keys().find(|name| {
        !accepts_more
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

/// The ids of a call that writes: one number or several.
///
/// A read ignores values that are not ids; a write fails with an error from the
/// database.
fn parse_write_ids(requested: &Value) -> Result<Vec<u32>, FakeOdooError> {
    let one = std::slice::from_ref(requested);
    let given = match requested {
        Value::Null | Value::Bool(false) => &[],
        Value::Array(given) => given.as_slice(),
        Value::Bool(true) | Value::Number(_) | Value::String(_) | Value::Object(_) => one,
    };
    let mut found = Vec::new();
    for id in given {
        let whole = id.as_f64().filter(|id| id.fract() == 0.0 && *id > 0.0);
        match whole.and_then(|_| parse_record_id(id)) {
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
