//! Work whose time grows with a response of Odoo.

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
};

/// The largest response that is worked on between two other tasks of a worker, in
/// bytes. Tables of formatted text are the slowest: 7 ms for so many.
const MAX_BYTES_ON_WORKER: usize = 1 << 20;

/// Does work on a response of so many bytes. If that may take long, the other tasks of
/// this worker thread move to another thread first.
pub fn off_worker<T>(response_bytes: usize, work: impl FnOnce() -> T) -> T {
    // A runtime with one thread cannot move them; only tests have one.
    let can_move = || {
        Handle::try_current()
            .is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread)
    };
    if response_bytes > MAX_BYTES_ON_WORKER && can_move() {
        block_in_place(work)
    } else {
        work()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::{MAX_BYTES_ON_WORKER, off_worker};

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn other_tasks_run_during_work_on_a_large_response() {
        let (sender, receiver) = mpsc::channel();
        let work = tokio::spawn(async move {
            // Sent by a task of the only worker.
            let other = tokio::spawn(async move { sender.send(()) });
            let received = off_worker(MAX_BYTES_ON_WORKER + 1, || {
                receiver.recv_timeout(Duration::from_mins(1))
            });
            drop(other.await);
            received
        });
        work.await.unwrap().unwrap();
    }
}
