//! Odoo's documentation of its own models: `/doc-bearer`.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};
use serde_json::{Map, Value, json};

use super::{
    access::User,
    database::Database,
    describe::describe,
    error::{FakeOdooError, json_response},
    method::Method,
    methods,
    table::{Group, Table},
};

/// The same for every model and without quotes, as Odoo's is.
const ETAG: &str = "6f0c1d2e3b4a59687786a5b4c3d2e1f06f0c1d2e3b4a59687786a5b4c3d2e1f0";

/// The installed modules.
const MODULES: [&str; 9] = [
    "base", "web", "mail", "portal", "contacts", "crm", "product", "account", "sale",
];

/// Answers with the index or the page of one model.
pub(super) fn serve_page(
    database: &Database,
    user: User,
    page: &str,
    headers: &HeaderMap,
) -> Result<Response<Bytes>, FakeOdooError> {
    let Some(name) = page.strip_suffix(".json") else {
        return Err(FakeOdooError::Html {
            status: 404,
            text: "Not Found",
        });
    };
    if user.group < Group::Admin {
        return Err(FakeOdooError::access_error(
            "This page is only accessible to Technical Documentation users.",
        ));
    }
    let known = headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|tag| tag.to_str().is_ok_and(|tag| tag.trim_matches('"') == ETAG));
    let readable = |table: &&Table| user.check_read_access(table).is_ok();
    let body = if name == "index" {
        let models = database.tables.values().filter(readable);
        json!({"modules": MODULES, "models": models.map(|table| index_entry(table, user)).collect::<Vec<_>>()})
    } else {
        let table = database.table(name).ok_or_else(|| {
            FakeOdooError::not_found("The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again.")
        })?;
        user.check_read_access(table)?;
        model_page(table, user)
    };
    let mut response = json_response(&body);
    if known {
        *response.status_mut() = http::StatusCode::NOT_MODIFIED;
        *response.body_mut() = Bytes::new();
    }
    let headers = response.headers_mut();
    headers.insert(header::ETAG, HeaderValue::from_static(ETAG));
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, private"),
    );
    Ok(response)
}

/// The entry of a model in the index.
fn index_entry(table: &Table, user: User) -> Value {
    let fields = table
        .fields
        .iter()
        .filter(|(_, field)| user.has_field_access(field));
    let fields: Map<String, Value> = fields
        .map(|(name, field)| ((*name).to_owned(), json!({"string": field.label})))
        .collect();
    let methods: Vec<&str> = methods::for_model(table)
        .map(|method| method.name)
        .collect();
    json!({"model": table.model, "name": table.label, "fields": fields, "methods": methods})
}

/// The page of a model.
fn model_page(table: &Table, user: User) -> Value {
    let fields = table
        .fields
        .iter()
        .filter(|(_, field)| user.has_field_access(field));
    let fields: Map<String, Value> = fields
        .map(|(name, field)| {
            let mut described = describe(table, name, field);
            described.insert("module".to_owned(), "base".into());
            ((*name).to_owned(), described.into())
        })
        .collect();
    let methods: Map<String, Value> = methods::for_model(table)
        .map(|method| (method.name.to_owned(), describe_method(method)))
        .collect();
    json!({"model": table.model, "name": table.label, "doc": null, "fields": fields, "methods": methods})
}

/// The documentation of a method, as Odoo's `_doc_method` writes it.
fn describe_method(method: &Method) -> Value {
    let parameters = method.parameters();
    let shown: Vec<String> = parameters
        .iter()
        .map(|parameter| match parameter.default {
            Some(default) => format!("{}={default}", parameter.name),
            None => parameter.name.to_owned(),
        })
        .collect();
    let mut signature = format!("({})", shown.join(", "));
    let described: Map<String, Value> = parameters
        .iter()
        .map(|parameter| {
            let mut described = Map::new();
            if parameter.variadic {
                described.insert("kind".to_owned(), "VAR_KEYWORD".into());
            }
            if let Some(default) = parameter.default {
                described.insert("default".to_owned(), parse_python_default(default));
            }
            if let Some(annotation) = parameter.annotation {
                described.insert("annotation".to_owned(), annotation.into());
            }
            (parameter.name.to_owned(), described.into())
        })
        .collect();
    let mut documented = json!({
        "parameters": described, "model": method.model, "module": method.module,
        "doc": format!("<p>{}.</p>", method.name),
    });
    if let Some(documented) = documented.as_object_mut() {
        if let Some(returned) = method.return_annotation() {
            signature = format!("{signature} -> {returned}");
            documented.insert("return".to_owned(), json!({"annotation": returned}));
        }
        documented.insert("signature".to_owned(), signature.into());
        if !method.api.is_empty() {
            documented.insert("api".to_owned(), json!(method.api));
        }
    }
    documented
}

/// Parses a default in Python syntax.
fn parse_python_default(default: &str) -> Value {
    match default {
        "None" => Value::Null,
        "True" => true.into(),
        "False" => false.into(),
        text => text
            .parse::<i64>()
            .map_or_else(|_| text.trim_matches('\'').into(), Value::from),
    }
}
