//! The configured rates.

use std::collections::BTreeMap;

use super::{
    gcra::Rate,
    request::{LimitScope, ToolClass},
};
use gatepost_base::RoleName;
use gatepost_identity::Caller;

/// All configured rates.
#[derive(Clone, Debug)]
pub struct Rates {
    /// Requests with a token, per address.
    pub address: Rate,
    /// Tool calls, per instance.
    pub instance: Rate,
    /// The rates of a caller without a role that sets them.
    pub caller: CallerRates,
    /// The rates of each caller with a role.
    pub by_role: BTreeMap<RoleName, CallerRates>,
}

/// The rates of one caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CallerRates {
    /// Tool calls.
    pub calls: Rate,
    /// Read calls.
    pub read: Rate,
    /// Calls that may write.
    pub write: Rate,
    /// Calls that fetch or create a file.
    pub file: Rate,
    /// Rows read from Odoo.
    pub rows: Rate,
    /// Bytes read from Odoo.
    pub bytes: Rate,
}

impl Rates {
    /// The rates of this caller: the most generous of its roles.
    pub(super) fn for_caller(&self, caller: &Caller) -> CallerRates {
        self.for_roles(&caller.roles)
    }

    /// The rates of a caller with these roles.
    pub fn for_roles(&self, roles: &[RoleName]) -> CallerRates {
        roles
            .iter()
            .map(|role| *self.by_role.get(role).unwrap_or(&self.caller))
            .reduce(CallerRates::more_generous)
            .unwrap_or(self.caller)
    }
}

/// Unlimited in practice.
impl Default for Rates {
    fn default() -> Self {
        let unlimited = Rate::per_minute(u32::MAX, u32::MAX);
        Self {
            address: unlimited,
            instance: unlimited,
            caller: CallerRates {
                calls: unlimited,
                read: unlimited,
                write: unlimited,
                file: unlimited,
                rows: unlimited,
                bytes: unlimited,
            },
            by_role: BTreeMap::new(),
        }
    }
}

impl CallerRates {
    /// The rate of calls of this class.
    pub(super) fn for_class(&self, class: ToolClass) -> (LimitScope, Rate) {
        let rate = match class {
            ToolClass::File => self.file,
            ToolClass::Read => self.read,
            ToolClass::Write => self.write,
        };
        (LimitScope::Tool(class), rate)
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
