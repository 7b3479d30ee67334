//! Who may see what.

use http::{HeaderMap, header};
use serde_json::Value;

use super::{
    ADMIN_KEY, INTERNAL_KEY, SALES_KEY,
    refusal::FakeOdooError,
    table::{Field, Group, Row, Table, link},
};

/// An Odoo user, by their key.
#[derive(Clone, Copy, Debug)]
pub(super) struct User {
    pub(super) id: u32,
    pub(super) name: &'static str,
    /// Their contact.
    pub(super) partner: u32,
    pub(super) group: Group,
    pub(super) companies: &'static [u32],
}

/// What can be done to records, as Odoo names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AccessMode {
    Create,
    Read,
    Unlink,
    Write,
}

impl AccessMode {
    pub(super) fn parse(name: &str) -> Option<Self> {
        [Self::Create, Self::Read, Self::Unlink, Self::Write]
            .into_iter()
            .find(|operation| operation.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Read => "read",
            Self::Unlink => "unlink",
            Self::Write => "write",
        }
    }
}

/// The first group that may change a model so, as in a fresh Odoo 19.
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

/// Proves who calls (`odoo/addons/rpc`, `auth='bearer'`).
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
        _ => Err(unauthorized("Invalid apikey")),
    }
}

impl User {
    /// Lets the user read the model, or says so as Odoo does.
    pub(super) fn check_read_access(self, table: &Table) -> Result<(), FakeOdooError> {
        self.check_access(AccessMode::Read, table)
    }

    /// Lets the user do something to records of the model, or says so as Odoo
    /// does.
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

    /// Whether the user's groups show the field at all.
    pub(super) fn has_field_access(self, field: &Field) -> bool {
        field.group.is_none_or(|group| self.group >= group)
    }

    /// Whether the record rules let the user see the record: salespeople their
    /// own documents, everybody those of their companies.
    pub(super) fn passes_record_rules(self, table: &Table, row: &Row, companies: &[u32]) -> bool {
        let in_company = table.model == "res.users"
            || link(row, "company_id").is_none_or(|company| companies.contains(&company));
        let own = self.group != Group::Sales
            || !matches!(table.model, "sale.order" | "crm.lead")
            || link(row, "user_id").is_none_or(|owner| owner == self.id);
        in_company && own
    }

    /// What Odoo says of a record that a rule hides.
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
