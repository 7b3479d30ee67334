//! Callers that need the same answer share one request for it.

use std::{
    collections::HashMap,
    hash::Hash,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
};

use futures_util::{
    FutureExt as _,
    future::{self, BoxFuture, Shared},
};
use gatepost_base::sync::lock;

/// An answer that is being worked out. It may be dropped: the work continues.
pub(crate) type PendingResult<T> = Shared<BoxFuture<'static, T>>;

/// The work in flight, at most one piece per key.
///
/// Each runs in a task of its own, so that a caller who leaves does not cancel
/// it for the others.
pub(crate) struct SingleFlight<K, T>(Arc<Mutex<HashMap<K, PendingResult<T>>>>);

impl<K, T> SingleFlight<K, T>
where
    K: Copy + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// The work in flight for a key.
    pub(crate) fn get(&self, key: &K) -> Option<PendingResult<T>> {
        lock(&self.0).get(key).cloned()
    }

    /// Joins the work in flight for the key, or starts `work`.
    ///
    /// `finished` is asked first whether the answer has become known since the
    /// caller last checked: work stores its answer before it leaves this map.
    /// `panicked` is the answer if the work panics.
    pub(crate) fn join_or_start(
        &self,
        key: K,
        finished: impl FnOnce() -> Option<T>,
        work: impl Future<Output = T> + Send + 'static,
        panicked: impl Fn() -> T + Clone + Send + 'static,
    ) -> PendingResult<T> {
        let mut flights = lock(&self.0);
        if let Some(flight) = flights.get(&key) {
            return flight.clone();
        }
        if let Some(answer) = finished() {
            return future::ready(answer).boxed().shared();
        }
        let (all, aborted) = (Arc::clone(&self.0), panicked.clone());
        let task = tokio::spawn(async move {
            let answer = AssertUnwindSafe(work).catch_unwind().await;
            let answer = answer.unwrap_or_else(|_logged_by_the_panic_hook| panicked());
            drop(lock(&all).remove(&key));
            answer
        });
        let flight = async move { task.await.unwrap_or_else(|_shutdown| aborted()) };
        let flight = flight.boxed().shared();
        flights.insert(key, flight.clone());
        flight
    }
}

impl<K, T> Default for SingleFlight<K, T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use tokio::sync::oneshot;

    use super::SingleFlight;

    #[tokio::test]
    async fn callers_share_work_that_survives_the_first_caller() {
        let flights = SingleFlight::<u8, usize>::default();
        let (runs, (go, wait)) = (Arc::new(AtomicUsize::new(0)), oneshot::channel::<()>());
        let counted = Arc::clone(&runs);
        let work = async move {
            wait.await.unwrap();
            counted.fetch_add(1, Ordering::SeqCst)
        };
        drop(flights.join_or_start(1, || None, work, || 99));
        let joined: Vec<_> = (0..500)
            .map(|_| flights.join_or_start(1, || Some(77), pending(), || 99))
            .collect();
        go.send(()).unwrap();
        for flight in joined {
            assert_eq!(flight.await, 0);
        }
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        assert!(flights.get(&1).is_none());
        let known = flights.join_or_start(1, || Some(77), pending(), || 99);
        assert_eq!(known.await, 77);
    }

    #[tokio::test]
    async fn panicking_work_answers_and_leaves_the_map() {
        let flights = SingleFlight::<u8, u8>::default();
        let work = async { panic!("on purpose") };
        assert_eq!(flights.join_or_start(1, || None, work, || 99).await, 99);
        assert!(flights.get(&1).is_none());
    }
}
