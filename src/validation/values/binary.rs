//! Coerces the values of binary fields.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{coerced::Coerced, error::quoted};
use gatepost_odoo::{Field, Schema};

/// The most characters of base64.
const MAX_CHARACTERS: usize = 32 << 20;

/// Base64. Python skips characters that are not base64, so Odoo would store other
/// bytes than were meant.
pub(crate) fn coerce(schema: &Schema, field: &Field, value: &Value) -> Result<Coerced, String> {
    // The one field that takes bytes as text (Odoo 19, `ir.attachment._inverse_raw`).
    if field.name.as_str() == "raw" && schema.field("datas").is_some() {
        return Err("takes raw bytes, which JSON cannot represent; \
             write them as base64 to `datas`"
            .to_owned());
    }
    let wrong = || {
        format!(
            "is {} and takes the bytes in base64 (RFC 4648 section 4, with padding), not {}",
            field.kind,
            quoted(value)
        )
    };
    let text = value.as_str().ok_or_else(wrong)?;
    if text.len() > MAX_CHARACTERS {
        return Err(format!(
            "has {} characters of base64; it may have {MAX_CHARACTERS}",
            text.len()
        ));
    }
    let bare = strip_data_url_head(text);
    let bare: String = bare.split_ascii_whitespace().collect();
    STANDARD.decode(&bare).map_err(|_no_base64| wrong())?;
    if bare == text {
        return Ok(Coerced::plain(bare.into()));
    }
    let note = "was read without what surrounds the base64".to_owned();
    Ok(Coerced::with_note(bare.into(), note))
}

/// What follows the head of a data URL (RFC 2397).
fn strip_data_url_head(text: &str) -> &str {
    text.strip_prefix("data:")
        .and_then(|rest| rest.split_once(";base64,"))
        .map_or(text, |(_, bare)| bare)
}
