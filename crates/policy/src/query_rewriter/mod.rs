//! Adds row and field filters to a read.
//!
//! One walk makes both the decision and the call that is sent, so they cannot
//! differ: what the walk does not visit is not sent.

mod aggregation;
mod call;
mod domain;
mod order;
mod row_filter;

use std::collections::BTreeSet;

use super::{PolicyFacts, effective_rules::EffectiveRules};
use gatepost_odoo::FieldName;

/// Rewrites one call.
pub(super) struct QueryRewriter<'a> {
    pub(super) rules: &'a EffectiveRules<'a>,
    pub(super) facts: &'a PolicyFacts,
}

/// The fields of one model that a query uses.
pub(super) type QueriedFields = BTreeSet<FieldName>;
