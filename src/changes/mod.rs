//! What a change would do, found out before it is sent.
//!
//! Nothing here asks Odoo or changes anything: what has to be known is handed
//! in, and what is still missing is named.

mod fit;

pub use fit::{Fitted, Link, Missing, Needs, Note, Place, Pointer, Problem, Wanted, fit, tell};
