//! Lines below a result.

use crate::{
    access::OdooSession,
    render::{self, Footer},
};
use gatepost_odoo::{FieldName, ModelName};

/// Appends the line that says what the result covers.
pub(super) fn append_footer(
    text: &mut String,
    access: &OdooSession<'_>,
    model: &ModelName,
    companies: &[Box<str>],
    archived: bool,
) {
    let coverage = Footer {
        companies,
        archived,
        records: Some((access.instance.web_url(), model)),
    };
    append_line(text, &render::footer(&coverage));
}

/// Appends the line that says what a result without records covers.
pub(super) fn append_coverage(text: &mut String, companies: &[Box<str>], archived: bool) {
    let coverage = Footer {
        companies,
        archived,
        records: None,
    };
    append_line(text, &render::footer(&coverage));
}

/// Names the fields that Odoo refused to read.
pub(super) fn append_unreadable_fields(text: &mut String, fields: &[FieldName]) {
    if !fields.is_empty() {
        let names: Vec<String> = fields.iter().map(|name| format!("`{name}`")).collect();
        append_line(
            text,
            &format!(
                "omitted because Odoo does not let this user read them: {}",
                names.join(", ")
            ),
        );
    }
}

/// Appends a line.
pub(super) fn append_line(text: &mut String, note: &str) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(note);
}
