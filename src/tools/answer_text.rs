//! Phrases that the previews and answers of several write tools contain.

use super::footer;
use gatepost_odoo::{Context, FieldName};

/// Appends notes on how values were understood.
pub(super) fn append_notes(text: &mut String, notes: &[String]) {
    for note in notes {
        footer::append_line(text, &format!("Note: {note}"));
    }
}

/// Names the requested language, because only this translation of a field is
/// written.
pub(super) fn language_suffix(context: &Context) -> String {
    let lang = context.lang.as_deref();
    lang.map(|lang| format!(" (texts in {lang})"))
        .unwrap_or_default()
}

/// Renders field names as a JSON list.
pub(super) fn quoted_field_list(fields: &[FieldName]) -> String {
    let parts: Vec<String> = fields.iter().map(|name| format!("\"{name}\"")).collect();
    format!("[{}]", parts.join(", "))
}
