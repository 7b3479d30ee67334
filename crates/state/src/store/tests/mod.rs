//! All three stores by the same rules, and what may happen to each.

mod damage;
mod file;
mod redis;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::{
    MAX_VALUE_BYTES, Retention, StateStore, StoreError, StoreErrorReason, StoreKey, StoreKeyKind,
    StoreLocation, StoreOperation, StoreSettings,
};
use crate::redis::{RedisSettings, RedisUrl, redis_server::RedisServer};

const HOUR: Duration = Duration::from_hours(1);

/// Enough for everything here.
const PLENTY: u64 = 64 << 20;

fn in_redis(url: &str) -> StoreLocation {
    StoreLocation::Redis(RedisSettings {
        url: RedisUrl::parse(url).unwrap(),
        password: None,
        tls: Arc::new(gatepost_tls::client_config(None).unwrap()),
        ca_file: None,
        timeout: Duration::from_millis(1),
        prefix: "test:".to_owned(),
    })
}

fn in_file(folder: &TempDir, max_bytes: u64) -> StoreLocation {
    StoreLocation::File {
        path: folder.path().join("changes.redb"),
        max_bytes,
    }
}

fn in_memory(max_bytes: u64) -> StoreLocation {
    StoreLocation::Memory { max_bytes }
}

fn settings_for(place: StoreLocation) -> StoreSettings {
    StoreSettings {
        location: place,
        retention: Retention::default(),
    }
}

fn open(place: StoreLocation) -> StateStore {
    StateStore::open(settings_for(place)).unwrap()
}

fn key(kind: StoreKeyKind, name: &str) -> StoreKey {
    StoreKey::new(kind, &[name.as_bytes()])
}

fn idempotency_key(name: &str) -> StoreKey {
    key(StoreKeyKind::Idempotency, name)
}

fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn large(size: usize) -> Bytes {
    Bytes::from(vec![b'x'; size])
}

#[tokio::test]
async fn all_backends_behave_the_same() {
    let server = RedisServer::start();
    let folder = tempfile::tempdir().unwrap();
    for settings in [
        in_memory(PLENTY),
        in_file(&folder, PLENTY),
        in_redis(&server.url()),
    ] {
        let ledger = Arc::new(open(settings));
        put_if_absent_returns_the_existing_value(&ledger).await;
        concurrent_put_if_absent_has_one_winner(&ledger).await;
        concurrent_get_and_delete_has_one_winner(&ledger).await;
        swap_and_delete_require_the_expected_value(&ledger).await;
        put_overwrites_any_value(&ledger).await;
        expired_entries_are_absent(&ledger).await;
        swapped_entry_gets_the_new_expiry(&ledger).await;
        kinds_are_separate_namespaces(&ledger).await;
        values_are_any_bytes_up_to_a_mebibyte(&ledger).await;
        secret_is_generated_once(&ledger).await;
        assert_eq!(ledger.check_available().await, Ok(()), "{ledger:?}");
    }
}

async fn put_if_absent_returns_the_existing_value(ledger: &StateStore) {
    let key = idempotency_key("claim");
    let claim = async |value| ledger.put_if_absent(&key, text(value), HOUR).await.unwrap();
    assert_eq!(claim("first").await, None);
    assert_eq!(claim("second").await, Some(text("first")));
    // Nor is it the same one that asks when it says the same.
    assert_eq!(claim("first").await, Some(text("first")));
    assert_eq!(ledger.get(&key).await.unwrap(), Some(text("first")));
    assert!(ledger.compare_and_delete(&key, b"first").await.unwrap());
    assert_eq!(claim("third").await, None);
}

async fn concurrent_put_if_absent_has_one_winner(ledger: &Arc<StateStore>) {
    let mut claims = JoinSet::new();
    for number in 0..100_u32 {
        let ledger = Arc::clone(ledger);
        claims.spawn(async move {
            let value = Bytes::from(number.to_string());
            (
                number,
                ledger
                    .put_if_absent(&idempotency_key("hundred"), value, HOUR)
                    .await,
            )
        });
    }
    let mut winners = Vec::new();
    let mut told = Vec::new();
    while let Some(claim) = claims.join_next().await {
        let (number, found) = claim.unwrap();
        match found.unwrap() {
            None => winners.push(Bytes::from(number.to_string())),
            Some(found) => told.push(found),
        }
    }
    assert_eq!(winners.len(), 1, "{ledger:?}");
    assert_eq!(told, vec![winners[0].clone(); 99]);
}

async fn concurrent_get_and_delete_has_one_winner(ledger: &Arc<StateStore>) {
    let key = key(StoreKeyKind::Approval, "hundred");
    ledger.put(&key, text("yes"), HOUR).await.unwrap();
    let mut takes = JoinSet::new();
    for _ in 0..100 {
        let ledger = Arc::clone(ledger);
        takes.spawn(async move { ledger.get_and_delete(&key).await.unwrap() });
    }
    let mut got = Vec::new();
    while let Some(take) = takes.join_next().await {
        got.extend(take.unwrap());
    }
    assert_eq!(got, [text("yes")], "{ledger:?}");
    assert_eq!(ledger.get(&key).await.unwrap(), None);
}

async fn swap_and_delete_require_the_expected_value(ledger: &StateStore) {
    let key = idempotency_key("replace");
    let replace = async |expected: &[u8], new| {
        ledger
            .compare_and_swap(&key, expected, text(new), HOUR)
            .await
    };
    assert!(!replace(b"begun", "done").await.unwrap());
    assert!(!ledger.compare_and_delete(&key, b"begun").await.unwrap());
    assert!(!replace(b"", "done").await.unwrap());
    ledger.put(&key, text("begun"), HOUR).await.unwrap();
    assert!(!replace(b"", "done").await.unwrap());
    assert!(!replace(b"begu", "done").await.unwrap());
    assert!(replace(b"begun", "done").await.unwrap());
    assert!(!replace(b"begun", "done again").await.unwrap());
    assert!(!ledger.compare_and_delete(&key, b"begun").await.unwrap());
    assert_eq!(ledger.get(&key).await.unwrap(), Some(text("done")));
    assert!(ledger.compare_and_delete(&key, b"done").await.unwrap());
    assert!(!ledger.compare_and_delete(&key, b"done").await.unwrap());
}

async fn put_overwrites_any_value(ledger: &StateStore) {
    let key = key(StoreKeyKind::ElicitationAnswer, "put");
    for value in ["short", "somewhat longer", ""] {
        ledger.put(&key, text(value), HOUR).await.unwrap();
        assert_eq!(ledger.get(&key).await.unwrap(), Some(text(value)));
    }
}

async fn expired_entries_are_absent(ledger: &StateStore) {
    let ttl = Duration::from_millis(60);
    let begun = Instant::now();
    for kind in [StoreKeyKind::Idempotency, StoreKeyKind::Undo] {
        let of = |name| key(kind, name);
        for name in ["ends", "ends by claim", "ends by replace", "ends by take"] {
            ledger.put(&of(name), text("old"), ttl).await.unwrap();
        }
        assert!(
            begun.elapsed() > ttl || ledger.get(&of("ends")).await.unwrap().is_some(),
            "{ledger:?}"
        );
    }
    // Until it has ended, which is what is waited for.
    let last = key(StoreKeyKind::Undo, "ends by take");
    while ledger.get(&last).await.unwrap().is_some() {
        assert!(begun.elapsed() < HOUR / 60, "{ledger:?}");
    }
    assert!(begun.elapsed() >= ttl, "{ledger:?}");
    for kind in [StoreKeyKind::Idempotency, StoreKeyKind::Undo] {
        let of = |name| key(kind, name);
        assert_eq!(ledger.get(&of("ends")).await.unwrap(), None);
        let claimed = ledger
            .put_if_absent(&of("ends by claim"), text("new"), HOUR)
            .await;
        assert_eq!(claimed.unwrap(), None);
        let replaced = ledger
            .compare_and_swap(&of("ends by replace"), b"old", text("new"), HOUR)
            .await;
        assert!(!replaced.unwrap());
        assert_eq!(
            ledger.get_and_delete(&of("ends by take")).await.unwrap(),
            None
        );
    }
}

async fn swapped_entry_gets_the_new_expiry(ledger: &StateStore) {
    let key = idempotency_key("longer");
    let short = Duration::from_millis(40);
    ledger.put(&key, text("begun"), short).await.unwrap();
    let replaced = ledger
        .compare_and_swap(&key, b"begun", text("done"), HOUR)
        .await;
    // On a slow machine it may have ended by then.
    if replaced.unwrap() {
        let other = idempotency_key("shorter");
        ledger.put(&other, text("x"), short).await.unwrap();
        while ledger.get(&other).await.unwrap().is_some() {}
        assert_eq!(ledger.get(&key).await.unwrap(), Some(text("done")));
    }
}

async fn kinds_are_separate_namespaces(ledger: &StateStore) {
    for kind in [
        StoreKeyKind::ElicitationAnswer,
        StoreKeyKind::Approval,
        StoreKeyKind::Idempotency,
        StoreKeyKind::Undo,
    ] {
        let claimed = ledger
            .put_if_absent(&key(kind, "kind"), text("x"), HOUR)
            .await;
        assert_eq!(claimed.unwrap(), None, "{kind:?}");
    }
}

async fn values_are_any_bytes_up_to_a_mebibyte(ledger: &StateStore) {
    let key = key(StoreKeyKind::Undo, "bytes");
    let all: Vec<u8> = (0..=255).cycle().take(MAX_VALUE_BYTES).collect();
    let all = Bytes::from(all);
    ledger.put(&key, all.clone(), HOUR).await.unwrap();
    assert_eq!(ledger.get(&key).await.unwrap(), Some(all));
    let refused = ledger.put(&key, large(MAX_VALUE_BYTES + 1), HOUR).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })));
    assert_eq!(
        ledger.failure_counts(),
        [(StoreOperation::Put, StoreErrorReason::TooLarge, 1)],
        "{ledger:?}"
    );
    assert!(ledger.get_and_delete(&key).await.unwrap().is_some());
}

async fn secret_is_generated_once(ledger: &Arc<StateStore>) {
    let mut made = JoinSet::new();
    for _ in 0..20 {
        let ledger = Arc::clone(ledger);
        made.spawn(async move { ledger.secret("approvals").await.unwrap() });
    }
    let mut all = made.join_all().await;
    all.dedup();
    assert_eq!(all.len(), 1, "{ledger:?}");
    assert_ne!(all[0], [0; 32]);
    assert_ne!(all[0], ledger.secret("others").await.unwrap());
}

#[tokio::test]
async fn full_store_evicts_undo_entries_and_rejects_new_entries() {
    let folder = tempfile::tempdir().unwrap();
    for settings in [in_memory(4 << 20), in_file(&folder, 4 << 20)] {
        let ledger = open(settings);
        let name = |number: usize| number.to_string();
        let undo = |number| key(StoreKeyKind::Undo, &name(number));
        // The oldest go for newer ones, and nobody is refused.
        for number in 0..10 {
            let ttl = HOUR + Duration::from_secs(u64::try_from(number).unwrap());
            ledger
                .put(&undo(number), large(1 << 20), ttl)
                .await
                .unwrap();
        }
        assert_eq!(ledger.get(&undo(6)).await.unwrap(), None);
        assert!(ledger.get(&undo(7)).await.unwrap().is_some());
        // Claims drive them out, and no claim.
        let mut kept = 0;
        let full = loop {
            match ledger
                .put_if_absent(&idempotency_key(&name(kept)), large(100_000), HOUR)
                .await
            {
                Ok(None) => kept += 1,
                Ok(Some(_)) => panic!("{kept}"),
                Err(error) => break error,
            }
        };
        assert!(matches!(full, StoreError::Full), "{full}");
        assert_eq!(kept, 41, "{ledger:?}");
        for number in 0..kept {
            let found = ledger.get(&idempotency_key(&name(number))).await.unwrap();
            assert!(found.is_some(), "{ledger:?} {number}");
        }
        assert_eq!(ledger.get(&undo(9)).await.unwrap(), None);
        // What is there can be gone on with, and makes room when it goes.
        let first = idempotency_key(&name(0));
        let expected = large(100_000);
        let told = ledger.compare_and_swap(&first, &expected, text("done"), HOUR);
        assert!(told.await.unwrap());
        let again = ledger
            .put_if_absent(&idempotency_key("more"), large(90_000), HOUR)
            .await;
        assert_eq!(again.unwrap(), None);
        let refused = ledger.put(&undo(11), large(200_000), HOUR).await;
        assert!(matches!(refused, Err(StoreError::Full)));
        let failures = ledger.failure_counts();
        assert_eq!(
            failures,
            [
                (StoreOperation::PutIfAbsent, StoreErrorReason::Full, 1),
                (StoreOperation::Put, StoreErrorReason::Full, 1)
            ]
        );
    }
}

#[tokio::test]
async fn expired_entries_free_their_quota() {
    let folder = tempfile::tempdir().unwrap();
    for settings in [in_memory(2 << 20), in_file(&folder, 2 << 20)] {
        let ledger = open(settings);
        let short = Duration::from_millis(30);
        for number in 0..60 {
            let key = idempotency_key(&number.to_string());
            loop {
                // Full until the first ones have ended.
                match ledger.put_if_absent(&key, large(200_000), short).await {
                    Ok(found) => break assert_eq!(found, None),
                    Err(error) => assert!(matches!(error, StoreError::Full), "{error}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn empty_values_count_against_the_quota() {
    let ledger = open(in_memory(1 << 20));
    let mut kept = 0_u32;
    while ledger
        .put_if_absent(&idempotency_key(&kept.to_string()), Bytes::new(), HOUR)
        .await
        .is_ok()
    {
        kept += 1;
    }
    assert_eq!(kept, 4096);
}

#[tokio::test]
async fn debug_output_hides_keys_and_values() {
    let folder = tempfile::tempdir().unwrap();
    for settings in [in_memory(PLENTY), in_file(&folder, PLENTY)] {
        let shown = format!("{settings:?}");
        let ledger = open(settings);
        let key = key(StoreKeyKind::Undo, "mara@example.com");
        ledger.put(&key, text("hunter2"), HOUR).await.unwrap();
        let deed = super::StoreCommand::Put(text("hunter2"), HOUR);
        let told = super::StoreReply {
            value: Some(text("hunter2")),
            applied: true,
        };
        let shown = format!("{shown} {ledger:?} {key:?} {deed:?} {told:?}");
        assert!(!shown.contains("hunter"), "{shown}");
        assert!(!shown.contains("mara"), "{shown}");
        assert!(shown.contains("put of 7 bytes"), "{shown}");
    }
}

#[tokio::test]
async fn reconfigure_succeeds_only_for_the_same_location() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let redis = |database: u32| in_redis(&format!("redis://127.0.0.1:1/{database}"));
    let places = [
        (in_memory(PLENTY), in_memory(1)),
        (in_file(&folder, PLENTY), in_file(&folder, 1)),
        (in_file(&elsewhere, PLENTY), in_file(&elsewhere, 1)),
        (redis(0), redis(0)),
        (redis(1), redis(1)),
    ];
    for (number, (settings, _)) in places.iter().enumerate() {
        let ledger = open(settings.clone());
        for (other, (_, settings)) in places.iter().enumerate() {
            assert_eq!(
                ledger.is_same_store(settings),
                number == other,
                "{ledger:?}"
            );
            let shorter = StoreSettings {
                retention: Retention {
                    idempotency_ttl: HOUR,
                    ..Retention::default()
                },
                ..settings_for(settings.clone())
            };
            assert_eq!(ledger.reconfigure(&shorter), number == other, "{ledger:?}");
        }
        if let StoreLocation::Memory { .. } | StoreLocation::File { .. } = settings {
            let told = ledger.put(&idempotency_key("x"), Bytes::new(), HOUR).await;
            assert!(matches!(told, Err(StoreError::Full)), "{ledger:?}");
        }
        assert_eq!(ledger.retention().idempotency_ttl, HOUR);
        assert!(ledger.close(HOUR));
    }
}
