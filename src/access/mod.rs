//! The guarded door to Odoo: policy, upstream, audit, in that order.
