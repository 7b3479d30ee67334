//! How much everybody may.

use std::collections::BTreeMap;

use super::{
    claim::{Dimension, ToolClass},
    gcra::Allowance,
};
use gatepost_base::RoleName;
use gatepost_identity::Caller;

/// How much everybody may.
#[derive(Clone, Debug)]
pub struct Rates {
    /// Requests with a token, for each address.
    pub address: Allowance,
    /// Tool calls, for each instance.
    pub instance: Allowance,
    /// What each caller may where no role says otherwise.
    pub caller: CallerRates,
    /// What each caller of a role may.
    pub by_role: BTreeMap<RoleName, CallerRates>,
}

/// How much one caller may.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CallerRates {
    /// Tool calls.
    pub calls: Allowance,
    /// Tool calls that read.
    pub read: Allowance,
    /// Tool calls that may change something.
    pub write: Allowance,
    /// Tool calls that fetch or make a file.
    pub file: Allowance,
    /// Rows that are read from Odoo.
    pub rows: Allowance,
    /// Bytes that are read from Odoo.
    pub bytes: Allowance,
}

impl Rates {
    /// What this caller may: of each the most that one of their roles gives.
    pub(super) fn of(&self, caller: &Caller) -> CallerRates {
        self.of_roles(&caller.roles)
    }

    /// What a caller with these roles may.
    pub fn of_roles(&self, roles: &[RoleName]) -> CallerRates {
        roles
            .iter()
            .map(|role| *self.by_role.get(role).unwrap_or(&self.caller))
            .reduce(CallerRates::or_more)
            .unwrap_or(self.caller)
    }
}

/// So many that nobody notices.
impl Default for Rates {
    fn default() -> Self {
        let plenty = Allowance::per_minute(u32::MAX, u32::MAX);
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
    pub(super) fn class(&self, class: ToolClass) -> (Dimension, Allowance) {
        let allowance = match class {
            ToolClass::File => self.file,
            ToolClass::Read => self.read,
            ToolClass::Write => self.write,
        };
        (Dimension::Tool(class), allowance)
    }

    fn or_more(self, other: Self) -> Self {
        Self {
            calls: self.calls.or_more(other.calls),
            read: self.read.or_more(other.read),
            write: self.write.or_more(other.write),
            file: self.file.or_more(other.file),
            rows: self.rows.or_more(other.rows),
            bytes: self.bytes.or_more(other.bytes),
        }
    }
}
