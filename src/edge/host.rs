//! What the edge needs of the gateway behind it.

use std::{future::Future, sync::Arc};

use bytes::Bytes;

use crate::{
    access::SentChanges,
    gateway::{Gateway, Guest, Head, Notices, Readiness, Reply, Story},
    telemetry::Remembered,
};
use gatepost_base::InstanceName;
use gatepost_odoo_client::Traffic;

/// The few things the edge asks of a gateway.
///
/// A trait only for the edge's own tests: what sockets do is tested with a
/// host that hangs, panics and sends notices at command.
pub(super) trait Host: Send + Sync + 'static {
    /// A request whose head was accepted.
    type Guest: Send + Sync;

    /// See [`Gateway::welcome`].
    fn greet(
        &self,
        head: Head,
        story: &mut Story,
    ) -> impl Future<Output = Result<Self::Guest, Reply>> + Send;

    /// See [`Gateway::serve`].
    fn attend(
        &self,
        guest: &Self::Guest,
        body: Bytes,
        notices: Option<Notices>,
        story: &mut Story,
    ) -> impl Future<Output = Reply> + Send;

    /// See [`Gateway::local`].
    fn local_guest(&self, instance: &InstanceName, session: Option<&str>) -> Option<Self::Guest>;

    /// See [`Gateway::leave`].
    fn part(&self);

    /// Changes that were sent, which must come to their end before we do.
    fn sent_changes(&self) -> Arc<SentChanges>;

    /// Whether the audit journal can be written, if there is one.
    fn journal_is_written(&self) -> Option<bool>;

    /// Whether the Redis of the limits is there, if there is one.
    fn redis_is_here(&self) -> Option<bool>;

    /// What is remembered of changes, for the metrics: where, and how often it
    /// failed.
    fn remembered(&self) -> Remembered;

    /// See [`Gateway::readiness`].
    fn ready(&self) -> impl Future<Output = Readiness> + Send;

    /// See [`Gateway::traffic`].
    fn busy(&self) -> Vec<(InstanceName, Traffic)>;

    /// What the edge must know of a guest.
    fn terms(guest: &Self::Guest) -> Terms;
}

/// What the edge must know of a guest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// Whether the client takes `text/event-stream`.
    pub(super) takes_events: bool,
    /// Whether the client takes nothing else.
    pub(super) only_events: bool,
    /// The largest body that may be read, in bytes.
    pub(super) max_body_bytes: usize,
}

impl Host for Gateway {
    type Guest = Guest;

    fn greet(
        &self,
        head: Head,
        story: &mut Story,
    ) -> impl Future<Output = Result<Guest, Reply>> + Send {
        Self::welcome(self, head, story)
    }

    fn attend(
        &self,
        guest: &Guest,
        body: Bytes,
        notices: Option<Notices>,
        story: &mut Story,
    ) -> impl Future<Output = Reply> + Send {
        Self::serve(self, guest, body, notices, story)
    }

    fn local_guest(&self, instance: &InstanceName, session: Option<&str>) -> Option<Guest> {
        Self::local(self, instance, session)
    }

    fn part(&self) {
        Self::leave(self);
    }

    fn sent_changes(&self) -> Arc<SentChanges> {
        Arc::clone(&self.sent)
    }

    fn journal_is_written(&self) -> Option<bool> {
        self.journal.state().map(|state| state.is_ok())
    }

    fn redis_is_here(&self) -> Option<bool> {
        self.limits.redis_is_here()
    }

    fn remembered(&self) -> Remembered {
        Remembered {
            store: self.ledger.store(),
            is_here: self.ledger.is_here().filter(|_| self.may_change()),
            failures: self.ledger.failures(),
        }
    }

    fn ready(&self) -> impl Future<Output = Readiness> + Send {
        Self::readiness(self)
    }

    fn busy(&self) -> Vec<(InstanceName, Traffic)> {
        Self::traffic(self)
    }

    fn terms(guest: &Guest) -> Terms {
        Terms {
            takes_events: guest.takes_events,
            only_events: guest.only_events,
            max_body_bytes: guest.max_body_bytes,
        }
    }
}
