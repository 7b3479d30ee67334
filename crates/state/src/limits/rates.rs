//! How much everybody may.

use std::collections::BTreeMap;

use super::{
    gcra::Rate,
    request::{LimitScope, ToolClass},
};
use gatepost_base::RoleName;
use gatepost_identity::Caller;

/// How much everybody may.
#[derive(Clone, Debug)]
pub struct Rates {
    /// Requests with a token, for each address.
    pub address: Rate,
    /// Tool calls, for each instance.
    pub instance: Rate,
    /// What each caller may where no role says otherwise.
    pub caller: CallerRates,
    /// What each caller of a role may.
    pub by_role: BTreeMap<RoleName, CallerRates>,
}

/// How much one caller may.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CallerRates {
    /// Tool calls.
    pub calls: Rate,
    /// Tool calls that read.
    pub read: Rate,
    /// Tool calls that may change something.
    pub write: Rate,
    /// Tool calls that fetch or make a file.
    pub file: Rate,
    /// Rows that are read from Odoo.
    pub rows: Rate,
    /// Bytes that are read from Odoo.
    pub bytes: Rate,
}

impl Rates {
    /// What this caller may: of each the most that one of their roles gives.
    pub(super) fn for_caller(&self, caller: &Caller) -> CallerRates {
        self.for_roles(&caller.roles)
    }

    /// What a caller with these roles may.
    pub fn for_roles(&self, roles: &[RoleName]) -> CallerRates {
        roles
            .iter()
            .map(|role| *self.by_role.get(role).unwrap_or(&self.caller))
            .reduce(CallerRates::more_generous)
            .unwrap_or(self.caller)
    }
}

/// So many that nobody notices.
impl Default for Rates {
    fn default() -> Self {
        let plenty = Rate::per_minute(u32::MAX, u32::MAX);
        Self {
            address: plenty,
            instance: plenty,
            caller: CallerRates {
                calls: plenty,
                read: plenty,
                write: plenty,
                file: plenty,
                rows: plenty,
                bytes: plenty,
            },
            by_role: BTreeMap::new(),
        }
    }
}

impl CallerRates {
    /// The allowance of calls of this class.
    pub(super) fn for_class(&self, class: ToolClass) -> (LimitScope, Rate) {
        let allowance = match class {
            ToolClass::File => self.file,
            ToolClass::Read => self.read,
            ToolClass::Write => self.write,
        };
        (LimitScope::Tool(class), allowance)
    }

    fn more_generous(self, other: Self) -> Self {
        Self {
            calls: self.calls.more_generous(other.calls),
            read: self.read.more_generous(other.read),
            write: self.write.more_generous(other.write),
            file: self.file.more_generous(other.file),
            rows: self.rows.more_generous(other.rows),
            bytes: self.bytes.more_generous(other.bytes),
        }
    }
}
