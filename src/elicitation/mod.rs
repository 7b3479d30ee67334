//! Asks the person behind the client: MCP elicitation in both protocol eras.
//!
//! It delivers a request to the client and the response to the waiting call,
//! even through another replica. `writes` decides what needs approval.

mod channel;
mod cross_replica;
mod error;
mod pending;

pub use channel::{CallStream, Elicitation};
pub use cross_replica::{is_pending, post_response};
pub use error::ElicitationError;
pub use pending::{Delivery, ElicitationOwner, PendingElicitations};
