//! What goes wrong between a client and Odoo, when a test wants it to.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{FakeOdoo, lock};

/// When it goes wrong, seen from the call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultPoint {
    /// The call was done and is kept; its answer is on the way.
    AfterCommit,
    /// The request has come and nothing was done yet.
    BeforeCall,
}

/// A call that waits until it is let go.
///
/// Dropping it lets the call go.
#[derive(Debug)]
pub struct HeldCall {
    reached: Arc<Semaphore>,
    released: Arc<Semaphore>,
}

/// What shall happen to the next call of a method.
#[derive(Debug)]
pub(super) struct FaultInjection {
    /// `model/method`.
    call: String,
    pub(super) point: FaultPoint,
    pub(super) fault: InjectedFault,
}

/// What happens to a call.
#[derive(Debug)]
pub(super) enum InjectedFault {
    /// Odoo answers that somebody else was writing, after all its attempts.
    SerializationFailure,
    /// The connection is closed without a byte.
    CloseConnection,
    /// Odoo answers with an error of its own making.
    InternalError,
    /// Nothing goes on until the test says so.
    Hold {
        reached: Arc<Semaphore>,
        released: Arc<Semaphore>,
    },
}

impl HeldCall {
    /// Waits until the call has come to where it is held.
    pub async fn wait_until_reached(&self) {
        // Closed is as good as reached: nobody will come any more.
        if let Ok(permit) = self.reached.acquire().await {
            permit.forget();
        }
    }

    /// Lets the call go on.
    pub fn release(self) {
        drop(self);
    }
}

impl Drop for HeldCall {
    fn drop(&mut self) {
        self.released.add_permits(1);
    }
}

impl FakeOdoo {
    /// Closes the connection of the next call of `model/method` without a byte
    /// of an answer, before or after it was done.
    ///
    /// Only what comes over a socket is cut.
    pub fn inject_disconnect(&self, call: &str, moment: FaultPoint) {
        self.inject_fault(call, moment, InjectedFault::CloseConnection);
    }

    /// Holds the next call of `model/method` over a socket back.
    pub fn hold_call(&self, call: &str, moment: FaultPoint) -> HeldCall {
        let [reached, released] = [0, 0].map(|permits| Arc::new(Semaphore::new(permits)));
        self.inject_fault(
            call,
            moment,
            InjectedFault::Hold {
                reached: Arc::clone(&reached),
                released: Arc::clone(&released),
            },
        );
        HeldCall { reached, released }
    }

    /// Answers the next call of `model/method` over a socket as Odoo does when
    /// others kept writing to the same record: nothing was done.
    pub fn inject_conflict(&self, call: &str) {
        self.inject_fault(
            call,
            FaultPoint::BeforeCall,
            InjectedFault::SerializationFailure,
        );
    }

    /// Answers the next call of `model/method` over a socket with an error of
    /// Odoo's own making, as a bug in a module brings it about. After the commit
    /// it is one in what is done then (`Cursor.postcommit`).
    pub fn inject_error(&self, call: &str, moment: FaultPoint) {
        self.inject_fault(call, moment, InjectedFault::InternalError);
    }

    fn inject_fault(&self, call: &str, moment: FaultPoint, effect: InjectedFault) {
        let mut mishaps = lock(&self.pending_faults);
        mishaps.push(FaultInjection {
            call: call.to_owned(),
            point: moment,
            fault: effect,
        });
    }

    /// What is arranged for a request with this path, to be done once.
    pub(super) fn take_fault(&self, path: &str) -> Option<FaultInjection> {
        let call = path.strip_prefix("/json/2/")?;
        let mut mishaps = lock(&self.pending_faults);
        let at = mishaps.iter().position(|mishap| mishap.call == call)?;
        Some(mishaps.remove(at))
    }
}
