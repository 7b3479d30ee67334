//! Who may see what.

use http::{HeaderMap, header};
use serde_json::{Map, Value};

use super::{
    ADMIN_KEY, INTERNAL_KEY, SALES_KEY,
    refusal::Refusal,
    table::{Field, Group, Table},
};

/// An Odoo user, by their key.
#[derive(Clone, Copy, Debug)]
pub(super) struct User {
    pub(super) id: u32,
    pub(super) name: &'static str,
    pub(super) group: Group,
    pub(super) companies: &'static [u32],
}

/// Proves who calls (`odoo/addons/rpc`, `auth='bearer'`).
pub(super) fn user(headers: &HeaderMap) -> Result<User, Refusal> {
    let unauthorized = |message| Refusal::new(401, "werkzeug.exceptions.Unauthorized", message);
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
            group: Group::Admin,
            companies: &[1, 2],
        }),
        SALES_KEY => Ok(User {
            id: 6,
            name: "Sally Sales",
            group: Group::Sales,
            companies: &[1],
        }),
        INTERNAL_KEY => Ok(User {
            id: 7,
            name: "Ivan Internal",
            group: Group::Internal,
            companies: &[1],
        }),
        _ => Err(unauthorized("Invalid apikey")),
    }
}

impl User {
    /// Lets the user read the model, or says so as Odoo does.
    pub(super) fn may_read(self, table: &Table) -> Result<(), Refusal> {
        if self.group >= table.open_to {
            return Ok(());
        }
        Err(Refusal::access(format!(
            "You are not allowed to access '{}' ({}) records.\n\nThis operation is allowed for the following groups:\n\t- Administration/Access Rights\n\nContact your administrator to request access if necessary.",
            table.label, table.model
        )))
    }

    /// Whether the user's groups show the field at all.
    pub(super) fn sees(self, field: &Field) -> bool {
        field.group.is_none_or(|group| self.group >= group)
    }

    /// Whether the record rules let the user see the record: salespeople their
    /// own documents, everybody those of their companies.
    pub(super) fn may_see(
        self,
        table: &Table,
        row: &Map<String, Value>,
        companies: &[u32],
    ) -> bool {
        let id = |field: &str| {
            row.get(field)
                .and_then(Value::as_u64)
                .and_then(|id| u32::try_from(id).ok())
        };
        let in_company = table.model == "res.users"
            || id("company_id").is_none_or(|company| companies.contains(&company));
        let own = self.group != Group::Sales
            || !matches!(table.model, "sale.order" | "crm.lead")
            || id("user_id").is_none_or(|owner| owner == self.id);
        in_company && own
    }

    /// What Odoo says of a record that a rule hides.
    pub(super) fn hidden(self, table: &Table, row: &Map<String, Value>) -> Refusal {
        Refusal::access(format!(
            "Uh-oh! Looks like you have stumbled upon some top-secret records.\n\nSorry, {} (id={}) doesn't have 'read' access to:\n- {}, {} ({}: {})\n",
            self.name,
            self.id,
            table.label,
            table.display_name(row),
            table.model,
            row.get("id").unwrap_or(&Value::Null)
        ))
    }
}
