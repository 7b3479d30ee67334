//! Encodes calls as requests.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::super::{CallError, OdooApiKey, WireRequest};
use gatepost_odoo::{Call, Request};

const DATABASE: HeaderName = HeaderName::from_static("x-odoo-database");

pub(super) fn encode(
    call: &Call,
    key: &OdooApiKey,
    database: Option<&str>,
) -> Result<WireRequest, CallError> {
    let mut bearer = HeaderValue::from_str(&format!("bearer {}", key.reveal()))
        .map_err(|error| CallError::NotSent(error.into()))?;
    bearer.set_sensitive(true);
    let mut headers = vec![
        (header::AUTHORIZATION, bearer),
        (header::ACCEPT, HeaderValue::from_static("application/json")),
        // Without it a proxy may compress (RFC 9110, section 12.5.3).
        (
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        ),
        (
            header::USER_AGENT,
            HeaderValue::from_static(concat!("gatepost/", env!("CARGO_PKG_VERSION"))),
        ),
    ];
    if let Some(database) = database {
        let database =
            HeaderValue::from_str(database).map_err(|error| CallError::NotSent(error.into()))?;
        headers.push((DATABASE, database));
    }
    if matches!(call.request(), Request::Documentation) {
        // A page outside JSON/2, for any user with a key (`addons/api_doc`).
        return Ok(WireRequest {
            method: Method::GET,
            path: format!("/doc-bearer/{}.json", call.model()),
            headers,
            body: Bytes::new(),
        });
    }
    headers.push((
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    ));
    let body =
        serde_json::to_vec(&CallBody(call)).map_err(|error| CallError::NotSent(error.into()))?;
    let path = format!("/json/2/{}/{}", call.model(), call.method());
    Ok(WireRequest {
        method: Method::POST,
        path,
        headers,
        body: body.into(),
    })
}

/// The arguments by name, with `ids` and `context` if there are any: Odoo rejects
/// `ids` for a model method.
struct CallBody<'a>(&'a Call);

impl Serialize for CallBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.0.ids().is_empty() {
            map.serialize_entry("ids", self.0.ids())?;
        }
        let context = self.0.sent_context();
        if !context.is_empty() {
            map.serialize_entry("context", &context)?;
        }
        for (name, value) in self.0.arguments() {
            map.serialize_entry(&name, &value)?;
        }
        map.end()
    }
}
