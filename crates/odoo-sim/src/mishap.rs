//! What goes wrong between a client and Odoo, when a test wants it to.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{Company, lock};

/// When it goes wrong, seen from the call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// The call was done and is kept; its answer is on the way.
    AfterCommit,
    /// The request has come and nothing was done yet.
    BeforeCall,
}

/// A call that waits until it is let go.
///
/// Dropping it lets the call go.
#[derive(Debug)]
pub struct Held {
    reached: Arc<Semaphore>,
    released: Arc<Semaphore>,
}

/// What shall happen to the next call of a method.
#[derive(Debug)]
pub(super) struct Mishap {
    /// `model/method`.
    call: String,
    pub(super) moment: Moment,
    pub(super) effect: Effect,
}

/// What happens to a call.
#[derive(Debug)]
pub(super) enum Effect {
    /// Odoo answers that somebody else was writing, after all its attempts.
    Conflict,
    /// The connection is closed without a byte.
    Cut,
    /// Odoo answers with an error of its own making.
    Fail,
    /// Nothing goes on until the test says so.
    Hold {
        reached: Arc<Semaphore>,
        released: Arc<Semaphore>,
    },
}

impl Held {
    /// Waits until the call has come to where it is held.
    pub async fn reached(&self) {
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

impl Drop for Held {
    fn drop(&mut self) {
        self.released.add_permits(1);
    }
}

impl Company {
    /// Closes the connection of the next call of `model/method` without a byte
    /// of an answer, before or after it was done.
    ///
    /// Only what comes over a socket is cut.
    pub fn cut(&self, call: &str, moment: Moment) {
        self.arrange(call, moment, Effect::Cut);
    }

    /// Holds the next call of `model/method` over a socket back.
    pub fn hold(&self, call: &str, moment: Moment) -> Held {
        let [reached, released] = [0, 0].map(|permits| Arc::new(Semaphore::new(permits)));
        self.arrange(
            call,
            moment,
            Effect::Hold {
                reached: Arc::clone(&reached),
                released: Arc::clone(&released),
            },
        );
        Held { reached, released }
    }

    /// Answers the next call of `model/method` over a socket as Odoo does when
    /// others kept writing to the same record: nothing was done.
    pub fn conflict(&self, call: &str) {
        self.arrange(call, Moment::BeforeCall, Effect::Conflict);
    }

    /// Answers the next call of `model/method` over a socket with an error of
    /// Odoo's own making, as a bug in a module brings it about. After the commit
    /// it is one in what is done then (`Cursor.postcommit`).
    pub fn fail(&self, call: &str, moment: Moment) {
        self.arrange(call, moment, Effect::Fail);
    }

    fn arrange(&self, call: &str, moment: Moment, effect: Effect) {
        let mut mishaps = lock(&self.mishaps);
        mishaps.push(Mishap {
            call: call.to_owned(),
            moment,
            effect,
        });
    }

    /// What is arranged for a request with this path, to be done once.
    pub(super) fn mishap(&self, path: &str) -> Option<Mishap> {
        let call = path.strip_prefix("/json/2/")?;
        let mut mishaps = lock(&self.mishaps);
        let at = mishaps.iter().position(|mishap| mishap.call == call)?;
        Some(mishaps.remove(at))
    }
}
