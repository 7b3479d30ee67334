//! How Odoo says no.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

/// A refusal in Odoo's form: an exception's name, its message, its status.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The error object of JSON/2.
    Json {
        status: u16,
        name: &'static str,
        message: String,
    },
    /// A page, for what fails before or behind JSON/2.
    Html { status: u16, text: &'static str },
}

impl Refusal {
    pub(super) fn new(status: u16, name: &'static str, message: impl Into<String>) -> Self {
        Self::Json {
            status,
            name,
            message: message.into(),
        }
    }

    pub(super) fn access(message: impl Into<String>) -> Self {
        Self::new(403, "odoo.exceptions.AccessError", message)
    }

    pub(super) fn value(message: impl Into<String>) -> Self {
        Self::new(500, "builtins.ValueError", message)
    }

    pub(super) fn arguments(message: impl Into<String>) -> Self {
        Self::new(422, "werkzeug.exceptions.UnprocessableEntity", message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, "werkzeug.exceptions.NotFound", message)
    }

    pub(super) fn response(self) -> Response<Bytes> {
        match self {
            Self::Json {
                status,
                name,
                message,
            } => {
                // What must never reach a client of ours stands in `debug`, as it does in Odoo's.
                let debug = format!(
                    "Traceback (most recent call last):\n  File \"/opt/odoo/odoo/http.py\", line 2182, in _transactioning\n    return service_model.retrying(func, env=self.env)\n{name}: {message}"
                );
                let body = json!({ "name": name, "message": message, "arguments": [message], "context": {}, "debug": debug });
                respond(
                    status,
                    "application/json; charset=utf-8",
                    body.to_string().into(),
                )
            }
            Self::Html { status, text } => {
                let page = format!(
                    "<!doctype html>\n<html lang=en>\n<title>{text}</title>\n<h1>{text}</h1>\n"
                );
                respond(status, "text/html; charset=utf-8", page.into())
            }
        }
    }
}

/// A result in JSON.
pub(super) fn result(value: &Value) -> Response<Bytes> {
    respond(
        200,
        "application/json; charset=utf-8",
        value.to_string().into(),
    )
}

fn respond(status: u16, media: &'static str, body: Bytes) -> Response<Bytes> {
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
