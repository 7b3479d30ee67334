use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use gatepost_base::{ProviderName, sync::lock};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{FetchedKeys, KeyCache, key_set::InvalidKeySet};
use crate::{ProviderError, ProviderUnavailable, TokenError, TokenRejected};

impl KeyCache {
    /// Waits until no fetch is in flight.
    async fn wait_until_idle(&self) {
        if let Some(flight) = self.keys.in_flight() {
            drop(flight.await);
        }
    }

    fn is_fetching(&self) -> bool {
        self.keys.in_flight().is_some()
    }

    fn missing_key_count(&self) -> usize {
        lock(&self.missing).ids.len()
    }
}

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

/// A provider with scripted responses that counts the fetches.
#[derive(Clone, Default)]
struct Provider(Arc<AtomicUsize>);

type Response = Result<FetchedKeys, ProviderUnavailable>;

impl Provider {
    fn fetch_returning(
        &self,
        response: Response,
    ) -> impl Future<Output = Response> + Send + 'static {
        let calls = Arc::clone(&self.0);
        async move {
            calls.fetch_add(1, Ordering::SeqCst);
            response
        }
    }

    fn fetch_with_keys(&self, ids: &[&str]) -> impl Future<Output = Response> + Send + 'static {
        self.fetch_returning(Ok((body(ids), Some(HOUR))))
    }

    fn fetch_failing(&self) -> impl Future<Output = Response> + Send + 'static {
        self.fetch_returning(Err(away()))
    }

    fn calls(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn away() -> ProviderUnavailable {
    ProviderError::Unreachable("away".into()).into()
}

#[track_caller]
fn assert_away(error: &ProviderUnavailable) {
    let ProviderError::Unreachable(why) = &error.cause else {
        panic!("{error:?}");
    };
    assert_eq!(&*why.text, "away");
}

/// A time that the real clock does not reach during a test.
fn start() -> Instant {
    Instant::now() + HOUR
}

fn new_cache() -> KeyCache {
    KeyCache::new(ProviderName::try_from("company").unwrap())
}

async fn cache_with_keys(provider: &Provider, ids: &[&str], now: Instant) -> KeyCache {
    let cache = new_cache();
    assert!(
        cache
            .keys(provider.fetch_with_keys(ids), now)
            .await
            .unwrap()
            .contains(ids[0])
    );
    cache
}

#[tokio::test]
async fn fresh_keys_are_not_fetched_again() {
    let (provider, start) = (Provider::default(), start());
    let cache = cache_with_keys(&provider, &["a"], start).await;
    for minutes in 0..30 {
        let keys = cache
            .keys(provider.fetch_with_keys(&["b"]), start + minutes * MINUTE)
            .await;
        assert!(keys.unwrap().contains("a"));
    }
    assert_eq!(provider.calls(), 1);
}

#[tokio::test]
async fn keys_past_half_their_ttl_are_refreshed_in_background() {
    let (provider, start) = (Provider::default(), start());
    let cache = cache_with_keys(&provider, &["a"], start).await;
    let half = start + 30 * MINUTE;
    assert!(
        cache
            .keys(provider.fetch_with_keys(&["b"]), half)
            .await
            .unwrap()
            .contains("a")
    );
    cache.wait_until_idle().await;
    // A revoked key is no longer accepted.
    let keys = cache.keys(provider.fetch_failing(), half).await.unwrap();
    assert!(keys.contains("b") && !keys.contains("a"));
    assert_eq!(provider.calls(), 2);
}

#[tokio::test]
async fn expired_keys_are_refreshed_before_use() {
    let (provider, start) = (Provider::default(), start());
    let cache = cache_with_keys(&provider, &["a"], start).await;
    let keys = cache
        .keys(provider.fetch_with_keys(&["b"]), start + HOUR)
        .await
        .unwrap();
    assert!(keys.contains("b") && !keys.contains("a"));
}

#[tokio::test]
async fn max_age_of_provider_is_clamped() {
    for (max_age, good_for) in [
        (None, 5 * MINUTE),
        (Some(Duration::ZERO), 5 * MINUTE),
        (Some(HOUR), HOUR),
        (Some(Duration::MAX), 24 * HOUR),
    ] {
        let (provider, start) = (Provider::default(), start());
        let cache = new_cache();
        let answer = provider.fetch_returning(Ok((body(&["a"]), max_age)));
        assert!(cache.keys(answer, start).await.is_ok());
        let early = start + (good_for / 2).saturating_sub(SECOND);
        assert!(
            cache
                .keys(provider.fetch_with_keys(&["b"]), early)
                .await
                .is_ok()
        );
        assert_eq!(provider.calls(), 1, "{max_age:?}");
        let late = start + good_for.saturating_sub(SECOND);
        assert!(
            cache
                .keys(provider.fetch_with_keys(&["b"]), late)
                .await
                .unwrap()
                .contains("a")
        );
        cache.wait_until_idle().await;
        assert_eq!(provider.calls(), 2, "{max_age:?}");
    }
}

#[tokio::test]
async fn stale_keys_are_used_for_a_day_while_fetches_fail() {
    let (provider, start) = (Provider::default(), start());
    let cache = cache_with_keys(&provider, &["a"], start).await;
    for (hours, answer) in [
        (1, Err(away())),
        (2, Ok((Bytes::from_static(b"<html>"), None))),
        (3, Ok((body(&[]), None))),
        (
            4,
            Ok((
                text(&[json!({ "kty": "oct", "kid": "a", "k": "AA" })]).into(),
                None,
            )),
        ),
        (23, Err(away())),
    ] {
        let keys = cache
            .keys(provider.fetch_returning(answer), start + hours * HOUR)
            .await;
        assert!(keys.unwrap().contains("a"), "{hours}");
    }
    assert_eq!(provider.calls(), 6);
    let error = cache
        .keys(provider.fetch_failing(), start + 24 * HOUR)
        .await
        .unwrap_err();
    assert_away(&error);
    // When the provider recovers, so do the keys.
    let back = start + 24 * HOUR + MINUTE;
    assert!(
        cache
            .keys(provider.fetch_with_keys(&["a"]), back)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn failed_fetches_are_rate_limited() {
    let (provider, start) = (Provider::default(), start());
    let cache = cache_with_keys(&provider, &["a"], start).await;
    for seconds in 0..60 {
        let now = start + HOUR + seconds * SECOND;
        assert!(
            cache
                .keys(provider.fetch_failing(), now)
                .await
                .unwrap()
                .contains("a")
        );
    }
    assert_eq!(provider.calls(), 3);
}

#[tokio::test]
async fn fetch_without_cached_keys_reports_error_and_is_retried_soon() {
    let (provider, start) = (Provider::default(), start());
    let cache = new_cache();
    for seconds in 0..10 {
        let now = start + seconds * SECOND;
        let error = cache.keys(provider.fetch_failing(), now).await.unwrap_err();
        assert_away(&error);
    }
    assert_eq!(provider.calls(), 2);
    let empty = cache
        .keys(provider.fetch_with_keys(&[]), start + 10 * SECOND)
        .await
        .unwrap_err();
    let ProviderError::InvalidResponse(why) = empty.cause else {
        panic!("{empty:?}");
    };
    assert_eq!(*why, *InvalidKeySet::NoUsableKey.to_string());
    let keys = cache
        .keys(provider.fetch_with_keys(&["a"]), start + 15 * SECOND)
        .await;
    assert!(keys.unwrap().contains("a"));
}

#[tokio::test]
async fn new_key_is_found_after_one_fetch() {
    let (provider, start) = (Provider::default(), start());
    let cache = cache_with_keys(&provider, &["old"], start).await;
    let later = start + MINUTE;
    let keys = cache
        .keys_with_id("new", None, provider.fetch_with_keys(&["new"]), later)
        .await
        .unwrap();
    assert!(keys.contains("new") && !keys.contains("old"));
    // It is there now.
    assert!(
        cache
            .keys_with_id("new", None, provider.fetch_failing(), later)
            .await
            .is_ok()
    );
    assert_eq!(provider.calls(), 2);
}

// T-22.
#[tokio::test]
async fn unknown_key_ids_cause_one_fetch_per_thirty_seconds() {
    let (provider, start) = (Provider::default(), start());
    let cache = cache_with_keys(&provider, &["a"], start).await;
    let mut missing = Vec::new();
    for n in 0..1000_u32 {
        let now = start + 40 * SECOND + n * Duration::from_millis(60);
        let given = cache
            .keys_with_id(&n.to_string(), None, provider.fetch_with_keys(&["a"]), now)
            .await;
        // Only the one that was asked for is known to be missing.
        match given {
            Err(TokenError::Rejected(TokenRejected::UnknownKey)) => missing.push(n),
            Err(TokenError::Unavailable(why)) => {
                assert!(matches!(why.cause, ProviderError::RequestRejected(_)));
                assert!(why.retry_after <= 31 * SECOND, "{why:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    // After 40, 70 and 100 seconds of it.
    assert_eq!(missing, [0, 500]);
    assert_eq!(provider.calls(), 1 + 2);
    assert!(
        cache
            .keys(provider.fetch_failing(), start + 100 * SECOND)
            .await
            .unwrap()
            .contains("a")
    );
}

#[tokio::test]
async fn same_unknown_key_id_causes_one_fetch_per_thirty_seconds() {
    let (provider, start) = (Provider::default(), start());
    let cache = cache_with_keys(&provider, &["a"], start).await;
    for seconds in 31..31 + 120 {
        let now = start + seconds * SECOND;
        assert!(
            cache
                .keys_with_id("x", None, provider.fetch_with_keys(&["a"]), now)
                .await
                .is_err()
        );
    }
    assert_eq!(provider.calls(), 1 + 4);
    let later = start + 151 * SECOND;
    assert!(
        cache
            .keys_with_id("x", None, provider.fetch_with_keys(&["x"]), later)
            .await
            .is_ok()
    );
}

// B9: keys rotate during a flood of unknown key ids.
#[tokio::test]
async fn new_key_during_flood_is_unavailable_until_next_fetch() {
    let (provider, start) = (Provider::default(), start());
    let cache = cache_with_keys(&provider, &["old"], start).await;
    let now = start + MINUTE;
    let flood = cache.keys_with_id("flood", None, provider.fetch_with_keys(&["old"]), now);
    assert!(flood.await.is_err());
    let ask = |seconds: u32| {
        let fetch = provider.fetch_with_keys(&["new"]);
        cache.keys_with_id("new", None, fetch, now + seconds * SECOND)
    };
    for seconds in [1, 15, 29] {
        let Err(TokenError::Unavailable(why)) = ask(seconds).await else {
            panic!("it is not known whether the provider has the key");
        };
        assert_eq!(why.retry_after, (31 - seconds) * SECOND);
    }
    assert!(ask(30).await.unwrap().contains("new"));
}

#[tokio::test]
async fn token_older_than_the_keys_with_unknown_key_is_rejected_without_a_fetch() {
    let (provider, start) = (Provider::default(), start());
    let cache = cache_with_keys(&provider, &["a"], start).await;
    // The keys are a minute old then.
    for (age, fetches) in [(HOUR, 0), (2 * MINUTE + SECOND, 0), (2 * MINUTE, 1)] {
        let before = provider.calls();
        let fetch = provider.fetch_with_keys(&["a"]);
        let given = cache
            .keys_with_id("x", Some(age), fetch, start + MINUTE)
            .await;
        assert!(matches!(
            given,
            Err(TokenError::Rejected(TokenRejected::UnknownKey))
        ));
        assert_eq!(provider.calls(), before + fetches, "{age:?}");
    }
}

#[tokio::test]
async fn unknown_key_is_unavailable_while_provider_is_unreachable() {
    let (provider, start) = (Provider::default(), start());
    let cache = cache_with_keys(&provider, &["a"], start).await;
    // The second time the provider is not asked, and the key is still unknown.
    for seconds in [60, 61] {
        let now = start + seconds * SECOND;
        let given = cache
            .keys_with_id("x", None, provider.fetch_failing(), now)
            .await;
        let Err(TokenError::Unavailable(why)) = given else {
            panic!("it was asked and was away");
        };
        assert_away(&why);
    }
    assert_eq!(provider.calls(), 2);
    assert!(
        cache
            .keys(provider.fetch_failing(), start + MINUTE)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn missing_key_id_cache_is_bounded() {
    let (provider, start) = (Provider::default(), start());
    let cache = cache_with_keys(&provider, &["a"], start).await;
    let cache = Arc::new(cache);
    let (go, wait) = oneshot::channel::<()>();
    let later = start + MINUTE;
    let first = tokio::spawn({
        let cache = Arc::clone(&cache);
        let fetch = async move {
            wait.await.unwrap();
            Ok((body(&["a"]), None))
        };
        async move {
            cache
                .keys_with_id("first", None, fetch, later)
                .await
                .is_err()
        }
    });
    while !cache.is_fetching() {
        tokio::task::yield_now().await;
    }
    let others: Vec<_> = (0..1000)
        .map(|n| {
            let (cache, fetch) = (Arc::clone(&cache), provider.fetch_failing());
            tokio::spawn(async move {
                cache
                    .keys_with_id(&n.to_string(), None, fetch, later)
                    .await
                    .is_err()
            })
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
    assert_eq!(cache.missing_key_count(), 256);
}

#[tokio::test]
async fn concurrent_callers_share_fetch_that_survives_cancellation() {
    let cache = Arc::new(new_cache());
    let (provider, now) = (Provider::default(), start());
    let (go, wait) = oneshot::channel::<()>();
    let (began, begins) = oneshot::channel::<()>();
    let fetch = async move {
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
        let (cache, fetch) = (Arc::clone(&cache), provider.fetch_failing());
        async move { cache.keys(fetch, now).await }
    });
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    go.send(()).unwrap();
    assert!(second.await.unwrap().unwrap().contains("a"));
    assert_eq!(provider.calls(), 0);
}

#[tokio::test]
async fn panicking_fetch_counts_as_failed() {
    let (provider, start) = (Provider::default(), start());
    let cache = new_cache();
    let broken = async { panic!("on purpose") };
    let error = cache.keys(broken, start).await.unwrap_err();
    let ProviderError::Unreachable(why) = error.cause else {
        panic!("{error:?}");
    };
    assert_eq!(&*why.text, "the request was aborted");
    let keys = cache
        .keys(provider.fetch_with_keys(&["a"]), start + 5 * SECOND)
        .await;
    assert!(keys.unwrap().contains("a"));
}
