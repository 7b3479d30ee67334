//! What callers may do: roles, their rules, and the only constructor of
//! [`Permitted`].
//!
//! Default deny. What no rule of the caller's roles opens, or what one of them
//! denies, is [`Forbidden`]; a permitted call is limited to the records and fields
//! that the rules cover. This crate does no I/O: callers add what must be known
//! about Odoo to [`PolicyFacts`].

mod argument;
mod arguments;
mod comparison;
mod decision;
mod effective_rules;
mod facts;
mod forbidden;
mod import_level;
mod import_rules;
mod incomplete;
mod linked_records;
mod membership;
mod method_call;
mod method_risk;
mod pattern;
mod permitted;
mod policy;
mod post_image;
mod protected;
mod query_rewriter;
mod read_access;
mod record_facts;
mod role;
mod row_filter;
mod rule;
mod rule_text;
mod user_search;
mod with_check;
mod write_authorizer;
mod write_mode;

#[cfg(test)]
mod tests;

pub use argument::{Argument, ArgumentKind, NumberRange};
pub use arguments::Arguments;
pub use comparison::only_ids;
pub use decision::{AccessQuery, Action, Decision, RuleRef};
pub use facts::PolicyFacts;
pub use forbidden::{DenialHint, Forbidden};
pub use incomplete::Incomplete;
pub use membership::MembershipQuery;
pub use method_risk::MethodRisk;
pub use pattern::{InvalidPattern, Pattern};
pub use permitted::Permitted;
pub use policy::Policy;
pub use protected::{is_masked, is_protected, is_secret, mentions_secret};
pub use read_access::ReadAccess;
pub use role::Role;
pub use rule::Rule;
pub use write_authorizer::RecordAccess;
pub use write_mode::WriteMode;
