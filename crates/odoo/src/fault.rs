//! The errors with which Odoo refuses a call.

use super::RowProblems;

gatepost_base::words! {
    /// An error of Odoo 19, without its traceback.
    ///
    /// `Display` is for the language model that made the call: what was wrong, whether
    /// retrying can help, and what to do instead. The error's `name` and content type
    /// decide the variant, never the HTTP status.
    #[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
    pub enum OdooError {
        /// Odoo's access rights or record rules deny it.
        #[error("{0}")]
        Access(AccessKind) = "odoo_access",
        /// The arguments do not fit the method (422 of the router).
        #[error(
            "Odoo's method does not accept these arguments: {0}; retrying without a change will not help"
        )]
        Arguments(String) = "odoo_arguments",
        /// Another transaction changed the same records, and Odoo gave up retrying.
        #[error(
            "another user or job changed the same records at the same time. Nothing was changed; retry in a few seconds"
        )]
        Conflict = "odoo_conflict",
        /// A value that Odoo's database rejects.
        #[error(
            "Odoo's database rejected one of the values; compare it with the field's type in `describe_model`"
        )]
        Database = "odoo_database_error",
        /// Odoo requires the user's password again; the operation did not run.
        #[error(
            "Odoo requires the user's password again for this, which is not possible here. Nothing was changed; do it in Odoo's web client"
        )]
        IdentityCheck = "odoo_identity",
        /// Odoo rejected a value, a field or a domain.
        #[error("Odoo rejected the request: {0}")]
        Invalid(String) = "odoo_invalid",
        /// Odoo rejects the gateway's API key.
        #[error("Odoo rejected this gateway's API key; retrying will not help, so tell the administrator")]
        KeyRejected = "odoo_key",
        /// A record does not exist.
        #[error("a record does not exist or was deleted; search for the right id")]
        MissingRecord = "odoo_missing",
        /// Rows of an import are invalid, so none was imported.
        #[error(
            "nothing was imported because these rows are invalid (row 1 is the first of `rows`); correct them or leave them out, and call again:\n{0}"
        )]
        Rows(RowProblems) = "odoo_rows",
        /// A business rule refuses, with Odoo's own message.
        #[error("Odoo refused: {0}")]
        RuleViolation(String) = "odoo_rule",
        /// The configured database does not exist.
        #[error(
            "Odoo does not have the database that this gateway is configured for; retrying will not help, so tell the administrator"
        )]
        UnknownDatabase = "odoo_unknown_database",
        /// The method does not exist.
        #[error("the model has no such method in this Odoo; retrying will not help")]
        UnknownMethod = "odoo_unknown_method",
        /// The model does not exist.
        #[error("this Odoo has no such model; `list_models` lists its models")]
        UnknownModel = "odoo_unknown_model",
        /// Any other error, whose details must not be shown.
        #[error(
            "Odoo returned an internal error; retrying the same request is unlikely to help, so request fewer records or fields"
        )]
        Unknown = "odoo_error",
    }

    /// The word for it in logs, metrics and audit records.
    pub fn kind(&self);
}

/// Why Odoo denied access.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AccessKind {
    /// The user has no access to a company.
    #[error("this Odoo user has no access to one of these companies; name others in `context`")]
    Company,
    /// The user's groups do not allow a field.
    #[error("this Odoo user may not use the field `{0}`; leave it out")]
    Field(String),
    /// The user has no access rights to the model.
    #[error(
        "this Odoo user has no access rights for that on this model, or on one it links to; retrying will not help"
    )]
    Model,
    /// A private method.
    #[error("Odoo does not allow calling this private method")]
    Private,
    /// A rule hides the record from the user.
    #[error(
        "Odoo's record rules hide one of these records from this Odoo user; retrying will not help, so leave it out"
    )]
    Record,
}

impl OdooError {
    /// What to add to the text for a refused change: its outcome, and whether to
    /// retry, where the text does not say so itself. Odoo rolls back everything that
    /// a refused call did.
    pub fn after_failed_write(&self) -> &'static str {
        match self {
            Self::Access(AccessKind::Private) => {
                "; nothing was changed, and retrying will not help"
            }
            Self::Access(AccessKind::Field(_) | AccessKind::Model | AccessKind::Record) => {
                "; nothing was changed. Only Odoo's administrator can change this user's rights"
            }
            // Their texts say so.
            Self::Conflict | Self::IdentityCheck | Self::Rows(_) => "",
            Self::Database | Self::Invalid(_) => {
                "; nothing was changed: correct the values and try again"
            }
            Self::Access(AccessKind::Company)
            | Self::Arguments(_)
            | Self::KeyRejected
            | Self::MissingRecord
            | Self::Unknown
            | Self::UnknownDatabase
            | Self::UnknownMethod
            | Self::UnknownModel => "; nothing was changed",
            Self::RuleViolation(_) => {
                "\nNothing was changed. A business rule refused, so the same call will be refused again. Change what Odoo asks for, or tell the user"
            }
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
        // The lines that PostgreSQL adds to a message.
        || ["LINE 1:", "DETAIL:", "CONTEXT:"]
            .iter()
            .any(|sign| text.contains(sign))
        || looks_like_sql(&lower)
}

/// Whether it is SQL: user texts contain `select`, too, but not with `from`.
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

#[cfg(test)]
mod tests {
    use super::{AccessKind, OdooError, RowProblems};

    #[test]
    fn odoo_errors_say_what_was_wrong_and_what_to_do() {
        let mut rows = RowProblems::default();
        rows.add("name".to_owned(), "<reason>".to_owned(), 2..=2);
        let errors = [
            OdooError::Access(AccessKind::Company),
            OdooError::Access(AccessKind::Field("<field>".to_owned())),
            OdooError::Access(AccessKind::Model),
            OdooError::Access(AccessKind::Private),
            OdooError::Access(AccessKind::Record),
            OdooError::Arguments("<reason>".to_owned()),
            OdooError::Conflict,
            OdooError::Database,
            OdooError::IdentityCheck,
            OdooError::Invalid("<reason>".to_owned()),
            OdooError::KeyRejected,
            OdooError::MissingRecord,
            OdooError::Rows(rows),
            OdooError::RuleViolation("<reason>".to_owned()),
            OdooError::UnknownDatabase,
            OdooError::UnknownMethod,
            OdooError::UnknownModel,
            OdooError::Unknown,
        ];
        // A refused write adds the second part.
        let texts = errors.map(|error| {
            let kind = error.kind();
            format!("{kind}: {error}{{{}}}", error.after_failed_write())
        });
        insta::assert_snapshot!(texts.join("\n"));
    }
}
