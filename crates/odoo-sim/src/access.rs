//! Users, access rights and record rules.

use http::{HeaderMap, header};
use serde_json::Value;

use super::{
    error::FakeOdooError,
    table::{Field, Group, Row, Table, link},
};

/// The API key of the administrator.
pub const ADMIN_KEY: &str = "ad00000000000000000000000000000000000001";
/// The API key of a salesperson, who sees only their own documents.
pub const SALES_KEY: &str = "5a11000000000000000000000000000000000006";
/// The API key of a user without rights to any application.
pub const INTERNAL_KEY: &str = "1000000000000000000000000000000000000007";

/// An Odoo user.
#[derive(Clone, Copy, Debug)]
pub(super) struct User {
    pub(super) id: u32,
    pub(super) name: &'static str,
    /// The id of their contact.
    pub(super) partner: u32,
    pub(super) group: Group,
    pub(super) companies: &'static [u32],
}

/// An operation on records, by its name in Odoo.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AccessMode {
    Create,
    Read,
    Unlink,
    Write,
}

impl AccessMode {
    fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Read => "read",
            Self::Unlink => "unlink",
            Self::Write => "write",
        }
    }
}

/// The lowest group that may do this to a model in a fresh Odoo 19.
fn group_required_to_write(model: &str, operation: AccessMode) -> Group {
    match model {
        "ir.attachment" | "mail.message" => Group::Internal,
        "sale.order.line" => Group::Sales,
        "crm.lead" | "res.partner" | "res.partner.category" | "sale.order"
            if operation != AccessMode::Unlink =>
        {
            Group::Sales
        }
        _ => Group::Admin,
    }
}

/// Authenticates the caller (`odoo/addons/rpc`, `auth='bearer'`).
pub(super) fn authenticate(headers: &HeaderMap) -> Result<User, FakeOdooError> {
    let unauthorized =
        |message| FakeOdooError::new(401, "werkzeug.exceptions.Unauthorized", message);
    let value = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let key = value
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, key)| key.trim())
        .ok_or_else(|| {
            unauthorized(
                "User not authenticated, use an API Key with a Bearer Authorization header.",
            )
        })?;
    match key {
        ADMIN_KEY => Ok(User {
            id: 2,
            name: "Mitchell Admin",
            partner: 3,
            group: Group::Admin,
            companies: &[1, 2],
        }),
        SALES_KEY => Ok(User {
            id: 6,
            name: "Sally Sales",
            partner: 7,
            group: Group::Sales,
            companies: &[1],
        }),
        INTERNAL_KEY => Ok(User {
            id: 7,
            name: "Ivan Internal",
            partner: 8,
            group: Group::Internal,
            companies: &[1],
        }),
        _ => Err(invalid_key()),
    }
}

/// The answer to a key that is wrong or has expired.
pub(super) fn invalid_key() -> FakeOdooError {
    FakeOdooError::new(401, "werkzeug.exceptions.Unauthorized", "Invalid apikey")
}

impl User {
    /// Checks that the user may read the model.
    pub(super) fn check_read_access(self, table: &Table) -> Result<(), FakeOdooError> {
        self.check_access(AccessMode::Read, table)
    }

    /// Checks that the user may do this to records of the model.
    pub(super) fn check_access(
        self,
        operation: AccessMode,
        table: &Table,
    ) -> Result<(), FakeOdooError> {
        let needed = match operation {
            AccessMode::Read => table.read_group,
            AccessMode::Create | AccessMode::Unlink | AccessMode::Write => table
                .read_group
                .max(group_required_to_write(table.model, operation)),
        };
        if self.group >= needed {
            return Ok(());
        }
        let group = match needed {
            Group::Admin => "Administration/Access Rights",
            Group::Internal => "Role / User",
            Group::Sales => "Sales/User: Own Documents Only",
        };
        let verb = match operation {
            AccessMode::Create => "create",
            AccessMode::Read => "access",
            AccessMode::Unlink => "delete",
            AccessMode::Write => "modify",
        };
        Err(FakeOdooError::access_error(format!(
            "You are not allowed to {verb} '{}' ({}) records.\n\nThis operation is allowed for the following groups:\n\t- {group}\n\nContact your administrator to request access if necessary.",
            table.label, table.model
        )))
    }

    /// Whether the user's group may see the field.
    pub(super) fn has_field_access(self, field: &Field) -> bool {
        field.group.is_none_or(|group| self.group >= group)
    }

    /// Checks that the user's group may see the field.
    pub(super) fn check_field_access(
        self,
        table: &Table,
        name: &str,
        field: &Field,
    ) -> Result<(), FakeOdooError> {
        if self.has_field_access(field) {
            return Ok(());
        }
        Err(FakeOdooError::access_error(format!(
            "You do not have enough rights to access the field \"{name}\" on {} ({}). Please contact your system administrator.",
            table.label, table.model
        )))
    }

    /// Whether the record rules allow the user to see the record: salespeople see
    /// their own documents, all users those of their companies.
    pub(super) fn passes_record_rules(self, table: &Table, row: &Row, companies: &[u32]) -> bool {
        let in_company = table.model == "res.users"
            || link(row, "company_id").is_none_or(|company| companies.contains(&company));
        let own = self.group != Group::Sales
            || !matches!(table.model, "sale.order" | "crm.lead")
            || link(row, "user_id").is_none_or(|owner| owner == self.id);
        in_company && own
    }

    /// Odoo's error for a record that a rule hides.
    pub(super) fn record_rule_error(
        self,
        operation: AccessMode,
        table: &Table,
        row: &Row,
    ) -> FakeOdooError {
        let operation = operation.name();
        FakeOdooError::access_error(format!(
            "Uh-oh! Looks like you have stumbled upon some top-secret records.\n\nSorry, {} (id={}) doesn't have '{operation}' access to:\n- {}, {} ({}: {})\n",
            self.name,
            self.id,
            table.label,
            table.display_name(row),
            table.model,
            row.get("id").unwrap_or(&Value::Null)
        ))
    }
}
