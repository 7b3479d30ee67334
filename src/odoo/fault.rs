//! What Odoo says when it does not do what was asked.

/// One class of refusal of a real Odoo 19, without its traceback.
///
/// `Display` is for the language model that asked: what was wrong, and what to
/// do instead. Told apart by the error's `name` and content type, never by the
/// HTTP status (`facts/odoo19-json2.md`, section 1.3).
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// Odoo's access rights or rules say no.
    #[error("access denied")]
    Access(AccessKind),
}

/// By which of its rules Odoo refused access.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AccessKind {
    /// The user has no right to the model.
    Model,
}
