//! Odoo's errors and responses.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

/// An error in Odoo's form: the exception's name, its message and the HTTP status.
#[derive(Debug)]
pub(super) enum FakeOdooError {
    /// The error object of JSON/2.
    Json {
        status: u16,
        name: &'static str,
        message: String,
        /// The exception's arguments; the message if empty.
        arguments: Vec<Value>,
    },
    /// An HTML page, for failures outside JSON/2.
    Html { status: u16, text: &'static str },
}

impl FakeOdooError {
    pub(super) fn new(status: u16, name: &'static str, message: impl Into<String>) -> Self {
        Self::Json {
            status,
            name,
            message: message.into(),
            arguments: Vec::new(),
        }
    }

    pub(super) fn access_error(message: impl Into<String>) -> Self {
        Self::new(403, "odoo.exceptions.AccessError", message)
    }

    pub(super) fn serialization_failure() -> Self {
        Self::new(
            500,
            "psycopg2.errors.SerializationFailure",
            "could not serialize access due to concurrent update\n",
        )
    }

    pub(super) fn internal_error() -> Self {
        Self::new(
            500,
            "builtins.AttributeError",
            "'NoneType' object has no attribute 'name'",
        )
    }

    pub(super) fn missing_record(model: &str, id: u32, user: u32) -> Self {
        Self::new(
            404,
            "odoo.exceptions.MissingError",
            format!(
                "Record does not exist or has been deleted.\n(Record: {model}({id},), User: {user})"
            ),
        )
    }

    /// A violated business rule.
    pub(super) fn user_error(message: impl Into<String>) -> Self {
        Self::new(422, "odoo.exceptions.UserError", message)
    }

    pub(super) fn validation_error(message: impl Into<String>) -> Self {
        Self::new(422, "odoo.exceptions.ValidationError", message)
    }

    pub(super) fn type_error(message: impl Into<String>) -> Self {
        Self::new(500, "builtins.TypeError", message)
    }

    /// PostgreSQL's error for text in an integer column.
    pub(super) fn invalid_integer(shown: &str) -> Self {
        Self::new(
            500,
            "psycopg2.errors.InvalidTextRepresentation",
            format!("invalid input syntax for type integer: \"{shown}\"\nLINE 1: ...\n"),
        )
    }

    /// An error that offers an action in Odoo's own client.
    pub(super) fn redirect_warning(message: &str, action: &str, button: &str) -> Self {
        Self::Json {
            status: 500,
            name: "odoo.exceptions.RedirectWarning",
            message: format!("{message}\n{action}\n{button}\nNone"),
            arguments: vec![message.into(), action.into(), button.into(), Value::Null],
        }
    }

    /// The field name in a Python `KeyError`.
    pub(super) fn missing_key(&self) -> Option<&str> {
        match self {
            Self::Json { name, message, .. } if *name == "builtins.KeyError" => Some(message),
            Self::Json { .. } | Self::Html { .. } => None,
        }
    }

    /// Whether it is an Odoo exception, meant for the user.
    pub(super) fn is_odoo_exception(&self) -> bool {
        match self {
            Self::Json { name, .. } => name.starts_with("odoo.exceptions."),
            Self::Html { .. } => false,
        }
    }

    pub(super) fn message(&self) -> &str {
        match self {
            Self::Json { message, .. } => message,
            Self::Html { text, .. } => text,
        }
    }

    pub(super) fn value_error(message: impl Into<String>) -> Self {
        Self::new(500, "builtins.ValueError", message)
    }

    pub(super) fn invalid_arguments(message: impl Into<String>) -> Self {
        Self::new(422, "werkzeug.exceptions.UnprocessableEntity", message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, "werkzeug.exceptions.NotFound", message)
    }

    pub(super) fn into_response(self) -> Response<Bytes> {
        match self {
            Self::Json {
                status,
                name,
                message,
                mut arguments,
            } => {
                if arguments.is_empty() {
                    arguments.push(message.as_str().into());
                    if name.starts_with("werkzeug.") {
                        arguments.push(status.into());
                    }
                }
                // As in Odoo, `debug` holds what must never reach a client of the gateway.
                let debug = format!(
                    "Traceback (most recent call last):\n  File \"/opt/odoo/odoo/http.py\", line 2182, in _transactioning\n    return service_model.retrying(func, env=self.env)\n{name}: {message}"
                );
                let body = json!({ "name": name, "message": message, "arguments": arguments, "context": {}, "debug": debug });
                build_response(
                    status,
                    "application/json; charset=utf-8",
                    body.to_string().into(),
                )
            }
            Self::Html { status, text } => {
                html_response(status, &format!("<title>{text}</title>\n<h1>{text}</h1>\n"))
            }
        }
    }
}

/// A page with this body.
pub(super) fn html_response(status: u16, body: &str) -> Response<Bytes> {
    let page = format!("<!doctype html>\n<html lang=en>\n{body}");
    build_response(status, "text/html; charset=utf-8", page.into())
}

/// A JSON response with status 200.
pub(super) fn json_response(value: &Value) -> Response<Bytes> {
    build_response(
        200,
        "application/json; charset=utf-8",
        value.to_string().into(),
    )
}

fn build_response(status: u16, media: &'static str, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(
        header::SERVER,
        HeaderValue::from_static("Werkzeug/2.2.2 Python/3.11.7"),
    );
    if status == 401 {
        headers.insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer "),
        );
    }
    response
}
