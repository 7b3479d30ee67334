//! Finding and linking users where no rule opens `res.users`: active internal
//! users, by their id and name alone.

use super::{Forbidden, effective_rules::EffectiveRules, protected};
use gatepost_odoo::{Domain, ModelName, Operation, UserSearch};

impl EffectiveRules<'_> {
    /// Permits searching for active internal users by name.
    ///
    /// # Errors
    /// [`Forbidden::Operation`].
    pub(super) fn allow_user_search(&self) -> Result<(), Forbidden> {
        let users = UserSearch::model();
        let denied = self.deny_rules(&users, Operation::Read).any(|rule| {
            let names = ["id", "name", "display_name"];
            rule.denies_all(Operation::Read) || names.into_iter().any(|one| rule.denies_field(one))
        });
        if self.closes_user_search || denied {
            Err(Forbidden::operation_on(&users, Operation::Read))
        } else {
            Ok(())
        }
    }

    /// The users that records of a model may link to, without a rule for reading
    /// them; `None` if they may link to none, or `relation` is not `res.users`.
    pub(super) fn linkable_users(&self, model: &ModelName, relation: &ModelName) -> Option<Domain> {
        // A link from a company gives the user access to it; a link from a protected
        // model decides, for example, as whom a job runs.
        let grants_rights =
            model.as_str() == "res.company" || protected::is_protected(model.as_str());
        (*relation == UserSearch::model() && !grants_rights && self.allow_user_search().is_ok())
            .then(UserSearch::active_internal)
    }
}
