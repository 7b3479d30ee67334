use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{Fetched, KeyCache, KeyUnknown, KeysUnavailable, UnusableKeys};

const X: &str = "__jpuKxTDAJy4_NAaW44N-0zXhbjvnS76wqqWn69anM";
const Y: &str = "kQcW1TROJf4em1fqZWgfKPfhO35LD742lm5E4X7W1ig";
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

fn key(id: &str) -> Value {
    json!({ "kty": "EC", "crv": "P-256", "kid": id, "use": "sig", "x": X, "y": Y })
}

fn text(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

fn body(ids: &[&str]) -> Bytes {
    text(&ids.iter().map(|id| key(id)).collect::<Vec<_>>()).into()
}

/// A provider whose answers are made here, and which counts its calls.
#[derive(Clone, Default)]
struct Provider(Arc<AtomicUsize>);

type Answer = Result<Fetched, String>;

impl Provider {
    fn says(&self, answer: Answer) -> impl FnOnce() -> std::future::Ready<Answer> + Send + 'static {
        let calls = Arc::clone(&self.0);
        move || {
            calls.fetch_add(1, Ordering::SeqCst);
            std::future::ready(answer)
        }
    }

    fn has(&self, ids: &[&str]) -> impl FnOnce() -> std::future::Ready<Answer> + Send + 'static {
        self.says(Ok((body(ids), Some(HOUR))))
    }

    fn is_away(&self) -> impl FnOnce() -> std::future::Ready<Answer> + Send + 'static {
        self.says(Err("away".to_owned()))
    }

    fn calls(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

async fn filled(provider: &Provider, ids: &[&str], now: Instant) -> Arc<KeyCache<String>> {
    let cache = KeyCache::new("company");
    assert!(
        cache
            .keys(provider.has(ids), now)
            .await
            .unwrap()
            .has(ids[0])
    );
    cache
}

/// Waits until no fetch is under way.
async fn settled(cache: &KeyCache<String>) {
    let flight = cache.flight();
    super::key_cache::landed(flight).await;
}

#[tokio::test]
async fn keys_are_fetched_once_while_they_are_good() {
    let (provider, start) = (Provider::default(), Instant::now());
    let cache = filled(&provider, &["a"], start).await;
    for minutes in 0..30 {
        let keys = cache
            .keys(provider.has(&["b"]), start + minutes * MINUTE)
            .await;
        assert!(keys.unwrap().has("a"));
    }
    assert_eq!(provider.calls(), 1);
}

#[tokio::test]
async fn keys_past_half_their_time_are_renewed_behind_the_callers_back() {
    let (provider, start) = (Provider::default(), Instant::now());
    let cache = filled(&provider, &["a"], start).await;
    let half = start + 30 * MINUTE;
    assert!(
        cache
            .keys(provider.has(&["b"]), half)
            .await
            .unwrap()
            .has("a")
    );
    settled(&cache).await;
    // A key that was taken back stops working.
    let keys = cache.keys(provider.is_away(), half).await.unwrap();
    assert!(keys.has("b") && !keys.has("a"));
    assert_eq!(provider.calls(), 2);
}

#[tokio::test]
async fn keys_past_their_time_are_renewed_before_they_are_used() {
    let (provider, start) = (Provider::default(), Instant::now());
    let cache = filled(&provider, &["a"], start).await;
    let keys = cache
        .keys(provider.has(&["b"]), start + HOUR)
        .await
        .unwrap();
    assert!(keys.has("b") && !keys.has("a"));
}

#[tokio::test]
async fn what_the_provider_says_of_their_time_has_its_bounds() {
    for (max_age, good_for) in [
        (None, 5 * MINUTE),
        (Some(Duration::ZERO), 5 * MINUTE),
        (Some(HOUR), HOUR),
        (Some(Duration::MAX), 24 * HOUR),
    ] {
        let (provider, start) = (Provider::default(), Instant::now());
        let cache = KeyCache::new("company");
        let answer = provider.says(Ok((body(&["a"]), max_age)));
        assert!(cache.keys(answer, start).await.is_ok());
        let early = start + (good_for / 2).saturating_sub(SECOND);
        assert!(cache.keys(provider.has(&["b"]), early).await.is_ok());
        assert_eq!(provider.calls(), 1, "{max_age:?}");
        let late = start + good_for.saturating_sub(SECOND);
        assert!(
            cache
                .keys(provider.has(&["b"]), late)
                .await
                .unwrap()
                .has("a")
        );
        settled(&cache).await;
        assert_eq!(provider.calls(), 2, "{max_age:?}");
    }
}

#[tokio::test]
async fn old_keys_stay_for_a_day_when_no_new_ones_come() {
    let (provider, start) = (Provider::default(), Instant::now());
    let cache = filled(&provider, &["a"], start).await;
    for (hours, answer) in [
        (1, Err("away".to_owned())),
        (2, Ok((Bytes::from_static(b"<html>"), None))),
        (3, Ok((body(&[]), None))),
        (
            4,
            Ok((
                text(&[json!({ "kty": "oct", "kid": "a", "k": "AA" })]).into(),
                None,
            )),
        ),
        (23, Err("away".to_owned())),
    ] {
        let keys = cache
            .keys(provider.says(answer), start + hours * HOUR)
            .await;
        assert!(keys.unwrap().has("a"), "{hours}");
    }
    assert_eq!(provider.calls(), 6);
    let error = cache
        .keys(provider.is_away(), start + 24 * HOUR)
        .await
        .unwrap_err();
    assert!(matches!(*error, KeysUnavailable::Unreachable(_)));
    // And when it is back, so are the keys.
    let back = start + 24 * HOUR + MINUTE;
    assert!(cache.keys(provider.has(&["a"]), back).await.is_ok());
}

#[tokio::test]
async fn a_provider_that_is_away_is_asked_once_in_a_while() {
    let (provider, start) = (Provider::default(), Instant::now());
    let cache = filled(&provider, &["a"], start).await;
    for seconds in 0..60 {
        let now = start + HOUR + seconds * SECOND;
        assert!(cache.keys(provider.is_away(), now).await.unwrap().has("a"));
    }
    assert_eq!(provider.calls(), 3);
}

#[tokio::test]
async fn without_keys_the_provider_is_at_fault_and_asked_again_soon() {
    let (provider, start) = (Provider::default(), Instant::now());
    let cache = KeyCache::new("company");
    for seconds in 0..10 {
        let now = start + seconds * SECOND;
        let error = cache.keys(provider.is_away(), now).await.unwrap_err();
        assert!(error.to_string().ends_with(": away"), "{error}");
    }
    assert_eq!(provider.calls(), 2);
    let empty = cache
        .keys(provider.has(&[]), start + 10 * SECOND)
        .await
        .unwrap_err();
    assert!(matches!(
        *empty,
        KeysUnavailable::Unusable(UnusableKeys::Empty)
    ));
    let keys = cache.keys(provider.has(&["a"]), start + 15 * SECOND).await;
    assert!(keys.unwrap().has("a"));
}

#[tokio::test]
async fn a_new_key_works_after_one_fetch() {
    let (provider, start) = (Provider::default(), Instant::now());
    let cache = filled(&provider, &["old"], start).await;
    let later = start + MINUTE;
    let keys = cache
        .keys_with("new", provider.has(&["new"]), later)
        .await
        .unwrap();
    assert!(keys.has("new") && !keys.has("old"));
    // It is there now.
    assert!(
        cache
            .keys_with("new", provider.is_away(), later)
            .await
            .is_ok()
    );
    assert_eq!(provider.calls(), 2);
}

// T-22.
#[tokio::test]
async fn a_thousand_unknown_ids_cost_one_fetch_in_thirty_seconds() {
    let (provider, start) = (Provider::default(), Instant::now());
    let cache = filled(&provider, &["a"], start).await;
    for n in 0..1000_u32 {
        let now = start + 40 * SECOND + n * Duration::from_millis(60);
        let given = cache
            .keys_with(&n.to_string(), provider.has(&["a"]), now)
            .await;
        assert!(matches!(given, Err(KeyUnknown::NoSuchKey)));
    }
    // After 40, 70 and 100 seconds of it.
    assert_eq!(provider.calls(), 1 + 2);
    assert!(
        cache
            .keys(provider.is_away(), start + 100 * SECOND)
            .await
            .unwrap()
            .has("a")
    );
}

#[tokio::test]
async fn one_unknown_id_is_asked_for_once_in_two_minutes() {
    let (provider, start) = (Provider::default(), Instant::now());
    let cache = filled(&provider, &["a"], start).await;
    for seconds in 31..31 + 120 {
        let now = start + seconds * SECOND;
        assert!(
            cache
                .keys_with("x", provider.has(&["a"]), now)
                .await
                .is_err()
        );
    }
    assert_eq!(provider.calls(), 2);
    let later = start + 151 * SECOND;
    assert!(
        cache
            .keys_with("x", provider.has(&["x"]), later)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn an_unknown_key_is_no_fault_of_the_caller_when_the_provider_is_away() {
    let (provider, start) = (Provider::default(), Instant::now());
    let cache = filled(&provider, &["a"], start).await;
    // The second time nobody is asked, and it is as unknown as before.
    for seconds in [60, 61] {
        let now = start + seconds * SECOND;
        let given = cache.keys_with("x", provider.is_away(), now).await;
        let Err(KeyUnknown::Unavailable(why)) = given else {
            panic!("it was asked and was away");
        };
        assert!(matches!(*why, KeysUnavailable::Unreachable(_)));
    }
    assert_eq!(provider.calls(), 2);
    assert!(cache.keys(provider.is_away(), start + MINUTE).await.is_ok());
}

#[tokio::test]
async fn the_memory_of_unknown_ids_is_bounded() {
    let (provider, start) = (Provider::default(), Instant::now());
    let cache = filled(&provider, &["a"], start).await;
    let (go, wait) = oneshot::channel::<()>();
    let later = start + MINUTE;
    let first = tokio::spawn({
        let cache = Arc::clone(&cache);
        let fetch = move || async move {
            wait.await.unwrap();
            Ok((body(&["a"]), None))
        };
        async move { cache.keys_with("first", fetch, later).await.is_err() }
    });
    while cache
        .flight()
        .is_none_or(|flight| flight.has_changed().is_err())
    {
        tokio::task::yield_now().await;
    }
    let others: Vec<_> = (0..1000)
        .map(|n| {
            let (cache, fetch) = (Arc::clone(&cache), provider.is_away());
            tokio::spawn(
                async move { cache.keys_with(&n.to_string(), fetch, later).await.is_err() },
            )
        })
        .collect();
    // All of them are waiting for the same fetch.
    tokio::task::yield_now().await;
    go.send(()).unwrap();
    assert!(first.await.unwrap());
    for other in others {
        assert!(other.await.unwrap());
    }
    assert_eq!(provider.calls(), 1);
    assert_eq!(cache.unknown_ids(), 256);
}

#[tokio::test]
async fn callers_at_one_time_share_a_fetch_and_one_that_leaves_does_not_end_it() {
    let cache: Arc<KeyCache<String>> = KeyCache::new("company");
    let (provider, now) = (Provider::default(), Instant::now());
    let (go, wait) = oneshot::channel::<()>();
    let (began, begins) = oneshot::channel::<()>();
    let fetch = move || async move {
        began.send(()).unwrap();
        wait.await.unwrap();
        Ok((body(&["a"]), None))
    };
    let first = tokio::spawn({
        let cache = Arc::clone(&cache);
        async move { cache.keys(fetch, now).await }
    });
    begins.await.unwrap();
    let second = tokio::spawn({
        let (cache, fetch) = (Arc::clone(&cache), provider.is_away());
        async move { cache.keys(fetch, now).await }
    });
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    go.send(()).unwrap();
    assert!(second.await.unwrap().unwrap().has("a"));
    assert_eq!(provider.calls(), 0);
}

#[tokio::test]
async fn a_fetch_that_panics_is_a_fetch_that_failed() {
    let (provider, start) = (Provider::default(), Instant::now());
    let cache: Arc<KeyCache<String>> = KeyCache::new("company");
    let broken = || async { panic!("on purpose") };
    let error = cache.keys(broken, start).await.unwrap_err();
    assert!(matches!(*error, KeysUnavailable::Abandoned));
    let keys = cache.keys(provider.has(&["a"]), start + 5 * SECOND).await;
    assert!(keys.unwrap().has("a"));
}
