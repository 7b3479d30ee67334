//! Faults between a client and Odoo, injected by tests.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use tokio::sync::Semaphore;

/// When a fault strikes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultPoint {
    /// After the call was committed, before its response is sent.
    AfterCommit,
    /// After the request was received, before anything is done.
    BeforeCall,
}

/// A call that is held until the test releases or drops this.
#[derive(Debug)]
pub struct HeldCall {
    reached: Arc<Semaphore>,
    released: Arc<Semaphore>,
}

/// A fault arranged for the next call of a method.
#[derive(Debug)]
pub(super) struct FaultInjection {
    /// `model/method`.
    call: String,
    pub(super) point: FaultPoint,
    pub(super) fault: InjectedFault,
}

/// What happens to the call.
#[derive(Debug)]
pub(super) enum InjectedFault {
    /// The connection is closed without a byte.
    CloseConnection,
    /// The call waits until the test releases it.
    Hold {
        reached: Arc<Semaphore>,
        released: Arc<Semaphore>,
    },
    /// Odoo answers with an internal error.
    InternalError,
    /// A proxy before Odoo answers with a page of this status.
    ProxyPage(StatusCode),
    /// Odoo reports a concurrent update after all its retries.
    SerializationFailure,
}

/// The faults that have not struck yet.
#[derive(Debug, Default)]
pub(super) struct PendingFaults(Mutex<Vec<FaultInjection>>);

impl HeldCall {
    /// A held call, and the fault that holds it.
    pub(super) fn new() -> (Self, InjectedFault) {
        let [reached, released] = [0, 0].map(|permits| Arc::new(Semaphore::new(permits)));
        let fault = InjectedFault::Hold {
            reached: Arc::clone(&reached),
            released: Arc::clone(&released),
        };
        (Self { reached, released }, fault)
    }

    /// Waits until the call has reached the point where it is held.
    pub async fn wait_until_reached(&self) {
        // The semaphore is never closed.
        if let Ok(permit) = self.reached.acquire().await {
            permit.forget();
        }
    }

    /// Lets the call continue.
    pub fn release(self) {
        drop(self);
    }
}

impl Drop for HeldCall {
    fn drop(&mut self) {
        self.released.add_permits(1);
    }
}

impl PendingFaults {
    /// Arranges a fault for the next call of `model/method`.
    pub(super) fn add(&self, call: &str, point: FaultPoint, fault: InjectedFault) {
        self.lock().push(FaultInjection {
            call: call.to_owned(),
            point,
            fault,
        });
    }

    /// Removes and returns the fault arranged for a request with this path.
    pub(super) fn take(&self, path: &str) -> Option<FaultInjection> {
        let call = path.strip_prefix("/json/2/")?;
        let mut faults = self.lock();
        let at = faults.iter().position(|fault| fault.call == call)?;
        Some(faults.remove(at))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<FaultInjection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
