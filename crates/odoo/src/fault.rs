//! What Odoo says when it does not do what was asked.

use super::RowProblems;

/// One class of refusal of a real Odoo 19, without its traceback.
///
/// `Display` is for the language model that asked: what was wrong, whether
/// trying again can help, and what to do instead. Told apart by the error's
/// `name` and content type, never by the HTTP status
/// (`facts/odoo19-json2.md`, section 1.3).
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OdooError {
    /// Odoo's access rights or rules say no.
    #[error("{0}")]
    Access(AccessKind),
    /// The arguments do not fit the method (422 of the router).
    #[error("Odoo's method does not take these arguments: {0}; retrying as it is will not help")]
    Arguments(String),
    /// Another transaction was at the same records, and Odoo gave up retrying.
    #[error(
        "other work in Odoo was at the same records at the same time; nothing was changed, try again in some seconds"
    )]
    Conflict,
    /// A value that Odoo's database cannot use.
    #[error(
        "Odoo's database could not use one of the values; compare with the field's type, which `describe_model` tells"
    )]
    Database,
    /// Odoo wants the user's password again; the operation did not run.
    #[error(
        "Odoo asks for the user's password again before it does this, which is not possible here; it was not done, do it in Odoo's own web client"
    )]
    IdentityCheck,
    /// Odoo could not make sense of a value, a field or a domain.
    #[error("Odoo could not use the request: {0}")]
    Invalid(String),
    /// Our key for Odoo is refused.
    #[error(
        "Odoo does not accept this gateway's API key; retrying will not help, tell the administrator"
    )]
    KeyRejected,
    /// A record is not there any more.
    #[error("a record does not exist or was deleted; search again for the right id")]
    MissingRecord,
    /// Rows of a table do not fit; none was taken.
    #[error(
        "nothing was imported, for these rows do not fit (row 1 is the first of `rows`); correct them, or leave them out, and call again:\n{0}"
    )]
    Rows(RowProblems),
    /// A business rule says no, in Odoo's own words.
    #[error("Odoo refused: {0}")]
    RuleViolation(String),
    /// The database we name is not there.
    #[error(
        "Odoo does not know the database this gateway is set to; retrying will not help, tell the administrator"
    )]
    UnknownDatabase,
    /// The method is not there.
    #[error("this Odoo has no such method on the model; retrying will not help")]
    UnknownMethod,
    /// The model is not there.
    #[error("this Odoo has no such model; `list_models` names those it has")]
    UnknownModel,
    /// Something else, of which nothing may be told.
    #[error(
        "Odoo failed with an internal error; trying the same again will hardly help, ask for less or otherwise"
    )]
    Unknown,
}

/// By which of its rules Odoo refused access.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AccessKind {
    /// A company that the user may not use.
    #[error("Odoo does not let this user work in one of these companies; name others in `context`")]
    Company,
    /// A field that the user's groups do not allow.
    #[error("Odoo does not let this user read or use the field `{0}`; leave it out")]
    Field(String),
    /// The user has no right to the model.
    #[error(
        "Odoo does not give this user the right to do that with records of this model, or of one it links to; retrying will not help"
    )]
    Model,
    /// A method that nobody may call from outside.
    #[error("Odoo lets nobody call this method from outside")]
    Private,
    /// A rule hides the record from the user.
    #[error(
        "Odoo's record rules hide one of these records from this user; retrying will not help, leave it out"
    )]
    Record,
}

impl OdooError {
    /// What there is to add where a change was refused: what became of it, and
    /// whether to try again, as far as its own words do not say that. Odoo takes
    /// back whatever a call did that it refuses.
    pub fn after_failed_write(&self) -> &'static str {
        match self {
            Self::Access(AccessKind::Company) => "; nothing was changed",
            Self::Access(AccessKind::Private) => {
                "; nothing was changed, and retrying will not help"
            }
            Self::Access(AccessKind::Field(_) | AccessKind::Model | AccessKind::Record) => {
                "; nothing was changed. It is a matter of this Odoo user's rights, which only Odoo's administrator can change"
            }
            Self::Arguments(_) => "; nothing was changed",
            // They say so themselves.
            Self::Conflict | Self::IdentityCheck | Self::Rows(_) => "",
            Self::Database | Self::Invalid(_) => {
                "; nothing was changed: correct the values and try again"
            }
            Self::KeyRejected
            | Self::UnknownDatabase
            | Self::UnknownMethod
            | Self::UnknownModel => "; nothing was changed",
            Self::MissingRecord => "; nothing was changed",
            Self::RuleViolation(_) => {
                "\nNothing was changed. This is a rule of the business: the same call will be refused again. Change what Odoo asks for, or tell the user"
            }
            Self::Unknown => "; nothing was changed",
        }
    }

    /// All that [`kind`](Self::kind) says.
    pub const KINDS: [&'static str; 14] = [
        "odoo_access",
        "odoo_arguments",
        "odoo_conflict",
        "odoo_database_error",
        "odoo_identity",
        "odoo_invalid",
        "odoo_key",
        "odoo_missing",
        "odoo_rows",
        "odoo_rule",
        "odoo_unknown_database",
        "odoo_unknown_method",
        "odoo_unknown_model",
        "odoo_error",
    ];

    /// The word for it in logs and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Access(_) => "odoo_access",
            Self::Arguments(_) => "odoo_arguments",
            Self::Conflict => "odoo_conflict",
            Self::Database => "odoo_database_error",
            Self::IdentityCheck => "odoo_identity",
            Self::Invalid(_) => "odoo_invalid",
            Self::KeyRejected => "odoo_key",
            Self::MissingRecord => "odoo_missing",
            Self::Rows(_) => "odoo_rows",
            Self::RuleViolation(_) => "odoo_rule",
            Self::UnknownDatabase => "odoo_unknown_database",
            Self::UnknownMethod => "odoo_unknown_method",
            Self::UnknownModel => "odoo_unknown_model",
            Self::Unknown => "odoo_error",
        }
    }
}

/// Whether a text shows a traceback, SQL or a path of the server.
pub fn reveals_internals(text: &str) -> bool {
    let lower = text.to_lowercase();
    [
        "traceback (most recent",
        "file \"/",
        ".py\"",
        ".py:",
        "select \"",
        "insert into \"",
        "/usr/",
        "/opt/",
        "/home/",
        "/mnt/",
        "psycopg2",
    ]
    .iter()
    .any(|sign| lower.contains(sign))
        || looks_like_sql(&lower)
}

/// Whether it is SQL: people are told to select, too, but not from where.
fn looks_like_sql(lower: &str) -> bool {
    let follows = |at: usize, word: &str| lower.get(at..).is_some_and(|rest| rest.contains(word));
    [
        ("select ", " from ", " where "),
        ("insert into ", "(", " values"),
        ("delete from ", "", " where "),
    ]
    .iter()
    .any(|(begin, then, end)| {
        let begins = lower.find(begin);
        begins.is_some_and(|at| follows(at, then) && follows(at, end))
    })
}
