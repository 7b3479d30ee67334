//! The notes below an answer.

use crate::{
    access::Access,
    shape::{self, Coverage},
};
use gatepost_odoo::{FieldName, ModelName};

/// Adds, below an answer, what it covers.
pub(super) fn cover(
    text: &mut String,
    access: &Access<'_>,
    model: &ModelName,
    companies: &[Box<str>],
    archived: bool,
) {
    let coverage = Coverage {
        companies,
        archived,
        web_url: access.instance.web_url(),
        model,
    };
    line(text, &shape::coverage(&coverage));
}

/// Names the fields that Odoo would not give.
pub(super) fn left_out(text: &mut String, fields: &[FieldName]) {
    if !fields.is_empty() {
        let names: Vec<String> = fields.iter().map(|name| format!("`{name}`")).collect();
        line(
            text,
            &format!(
                "left out, for Odoo does not let this user read them: {}",
                names.join(", ")
            ),
        );
    }
}

/// Adds a line.
pub(super) fn line(text: &mut String, note: &str) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(note);
}
