//! Asking the person behind the client: MCP elicitation in both protocol eras.
//!
//! It knows how a question reaches a person and how the answer comes back, also
//! through another replica. What needs approval is decided in `writes`.

mod channel;
mod cross_replica;
mod pending;

pub use channel::{CallStream, Elicitation, ElicitationError, ElicitationMode};
pub use cross_replica::{is_pending, post_response};
pub use pending::{Delivery, ElicitationOwner, PendingElicitations};
