//! The way of one request, from its head to its answer.

mod head;
mod reply;
mod story;

pub use head::Head;
pub use reply::Reply;
pub use story::{Blame, Story};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::names::InstanceName;

/// Everything a request needs, built as one value from one configuration, so
/// that a reload swaps it whole.
#[derive(Debug, Default)]
pub struct Gateway {}

/// A request whose head was accepted: routed, its caller known. Its body may
/// be read now.
#[derive(Debug)]
pub struct Guest {
    /// Whether the client takes `text/event-stream`.
    pub takes_events: bool,
    /// Whether the client takes nothing but `text/event-stream`.
    pub only_events: bool,
    /// The largest body that may be read, in bytes.
    pub max_body_bytes: usize,
}

/// Where the JSON-RPC notifications of one call go while it runs: each is one
/// whole JSON text.
pub type Notices = mpsc::Sender<Bytes>;

impl Gateway {
    /// Decides all that can be decided before the body is read: route, origin,
    /// caller, method, content type.
    ///
    /// # Errors
    /// The answer to give instead; the body is not read then.
    #[expect(clippy::unused_async, reason = "written next")]
    pub async fn welcome(&self, _head: Head, _story: &mut Story) -> Result<Guest, Reply> {
        Err(Reply::empty(http::StatusCode::NOT_FOUND))
    }

    /// Answers the body of an accepted request. Dropping the future cancels
    /// the work.
    #[expect(clippy::unused_async, reason = "written next")]
    pub async fn serve(
        &self,
        _guest: &Guest,
        _body: Bytes,
        _notices: Option<Notices>,
        _story: &mut Story,
    ) -> Reply {
        Reply::empty(http::StatusCode::NOT_FOUND)
    }

    /// A guest that came over stdin/stdout: the local user, who started us.
    pub fn local(&self, _instance: &InstanceName) -> Option<Guest> {
        None
    }

    /// Which instances there are and which of them answer, for `/readyz`.
    #[expect(clippy::unused_async, reason = "written next")]
    pub async fn readiness(&self) -> Vec<(InstanceName, Result<(), String>)> {
        Vec::new()
    }
}
