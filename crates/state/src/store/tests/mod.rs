//! The same tests for all three stores, and the failures of each.

mod damage;
mod file;
mod redis;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::{
    MAX_VALUE_BYTES, Retention, StateStore, StoreError, StoreErrorReason, StoreKey, StoreKeyKind,
    StoreLocation, StoreOpenError, StoreOperation, StoreSettings, StoreUnhealthy,
};
use crate::redis::{RedisSettings, RedisUnavailable, RedisUrl, redis_server::RedisServer};

const HOUR: Duration = Duration::from_hours(1);

/// Long enough for every test.
const PLENTY: u64 = 64 << 20;

fn in_redis(url: &str) -> StoreLocation {
    in_redis_of(url, PLENTY)
}

fn in_redis_of(url: &str, max_bytes: u64) -> StoreLocation {
    let settings = RedisSettings {
        url: RedisUrl::parse(url).unwrap(),
        password: None,
        tls: Arc::new(gatepost_tls::client_config(None).unwrap()),
        ca_file: None,
        timeout: Duration::from_millis(1),
        prefix: "test:".to_owned(),
    };
    StoreLocation::Redis {
        settings,
        max_bytes,
    }
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
        let store = Arc::new(open(settings));
        put_if_absent_returns_the_existing_value(&store).await;
        concurrent_put_if_absent_has_one_winner(&store).await;
        concurrent_get_and_delete_has_one_winner(&store).await;
        swap_and_delete_require_the_expected_value(&store).await;
        put_overwrites_any_value(&store).await;
        expired_entries_are_absent(&store).await;
        swapped_entry_gets_the_new_expiry(&store).await;
        kinds_are_separate_namespaces(&store).await;
        values_are_any_bytes_up_to_a_mebibyte(&store).await;
        secret_is_generated_once(&store).await;
        assert_eq!(store.check_available().await, Ok(()), "{store:?}");
    }
}

async fn put_if_absent_returns_the_existing_value(store: &StateStore) {
    let key = idempotency_key("claim");
    let claim = async |value| store.put_if_absent(&key, text(value), HOUR).await.unwrap();
    assert_eq!(claim("first").await, None);
    assert_eq!(claim("second").await, Some(text("first")));
    // A different caller with the same value is not the same claim.
    assert_eq!(claim("first").await, Some(text("first")));
    assert_eq!(store.get(&key).await.unwrap(), Some(text("first")));
    assert!(store.compare_and_delete(&key, b"first").await.unwrap());
    assert_eq!(claim("third").await, None);
}

async fn concurrent_put_if_absent_has_one_winner(store: &Arc<StateStore>) {
    let mut claims = JoinSet::new();
    for number in 0..100_u32 {
        let store = Arc::clone(store);
        claims.spawn(async move {
            let value = Bytes::from(number.to_string());
            (
                number,
                store
                    .put_if_absent(&idempotency_key("hundred"), value, HOUR)
                    .await,
            )
        });
    }
    let mut winners = Vec::new();
    let mut result = Vec::new();
    while let Some(claim) = claims.join_next().await {
        let (number, found) = claim.unwrap();
        match found.unwrap() {
            None => winners.push(Bytes::from(number.to_string())),
            Some(found) => result.push(found),
        }
    }
    assert_eq!(winners.len(), 1, "{store:?}");
    assert_eq!(result, vec![winners[0].clone(); 99]);
}

async fn concurrent_get_and_delete_has_one_winner(store: &Arc<StateStore>) {
    let key = key(StoreKeyKind::Approval, "hundred");
    store.put(&key, text("yes"), HOUR).await.unwrap();
    let mut takes = JoinSet::new();
    for _ in 0..100 {
        let store = Arc::clone(store);
        takes.spawn(async move { store.get_and_delete(&key).await.unwrap() });
    }
    let mut got = Vec::new();
    while let Some(take) = takes.join_next().await {
        got.extend(take.unwrap());
    }
    assert_eq!(got, [text("yes")], "{store:?}");
    assert_eq!(store.get(&key).await.unwrap(), None);
}

async fn swap_and_delete_require_the_expected_value(store: &StateStore) {
    let key = idempotency_key("replace");
    let replace = async |expected: &[u8], new| {
        store
            .compare_and_swap(&key, expected, text(new), HOUR)
            .await
    };
    assert!(!replace(b"begun", "done").await.unwrap());
    assert!(!store.compare_and_delete(&key, b"begun").await.unwrap());
    assert!(!replace(b"", "done").await.unwrap());
    store.put(&key, text("begun"), HOUR).await.unwrap();
    assert!(!replace(b"", "done").await.unwrap());
    assert!(!replace(b"begu", "done").await.unwrap());
    assert!(replace(b"begun", "done").await.unwrap());
    assert!(!replace(b"begun", "done again").await.unwrap());
    assert!(!store.compare_and_delete(&key, b"begun").await.unwrap());
    assert_eq!(store.get(&key).await.unwrap(), Some(text("done")));
    assert!(store.compare_and_delete(&key, b"done").await.unwrap());
    assert!(!store.compare_and_delete(&key, b"done").await.unwrap());
}

async fn put_overwrites_any_value(store: &StateStore) {
    let key = key(StoreKeyKind::ElicitationAnswer, "put");
    for value in ["short", "somewhat longer", ""] {
        store.put(&key, text(value), HOUR).await.unwrap();
        assert_eq!(store.get(&key).await.unwrap(), Some(text(value)));
    }
}

async fn expired_entries_are_absent(store: &StateStore) {
    let ttl = Duration::from_millis(60);
    let begun = Instant::now();
    for kind in [StoreKeyKind::Idempotency, StoreKeyKind::Undo] {
        let of = |name| key(kind, name);
        for name in ["ends", "ends by claim", "ends by replace", "ends by take"] {
            store.put(&of(name), text("old"), ttl).await.unwrap();
        }
        let is_there = store.get(&of("ends")).await.unwrap().is_some();
        assert!(is_there || begun.elapsed() > ttl, "{store:?}");
    }
    // Polls until the entry has expired.
    let last = key(StoreKeyKind::Undo, "ends by take");
    while store.get(&last).await.unwrap().is_some() {
        assert!(begun.elapsed() < HOUR / 60, "{store:?}");
    }
    // Redis counts whole milliseconds.
    assert!(
        begun.elapsed() + Duration::from_millis(1) >= ttl,
        "{store:?}"
    );
    for kind in [StoreKeyKind::Idempotency, StoreKeyKind::Undo] {
        let of = |name| key(kind, name);
        assert_eq!(store.get(&of("ends")).await.unwrap(), None);
        let claimed = store
            .put_if_absent(&of("ends by claim"), text("new"), HOUR)
            .await;
        assert_eq!(claimed.unwrap(), None);
        let replaced = store
            .compare_and_swap(&of("ends by replace"), b"old", text("new"), HOUR)
            .await;
        assert!(!replaced.unwrap());
        assert_eq!(
            store.get_and_delete(&of("ends by take")).await.unwrap(),
            None
        );
    }
}

async fn swapped_entry_gets_the_new_expiry(store: &StateStore) {
    let key = idempotency_key("longer");
    let short = Duration::from_millis(40);
    store.put(&key, text("begun"), short).await.unwrap();
    let replaced = store
        .compare_and_swap(&key, b"begun", text("done"), HOUR)
        .await;
    // On a slow machine it may have expired by then.
    if replaced.unwrap() {
        let other = idempotency_key("shorter");
        store.put(&other, text("x"), short).await.unwrap();
        while store.get(&other).await.unwrap().is_some() {}
        assert_eq!(store.get(&key).await.unwrap(), Some(text("done")));
    }
}

async fn kinds_are_separate_namespaces(store: &StateStore) {
    for kind in [
        StoreKeyKind::ElicitationAnswer,
        StoreKeyKind::Approval,
        StoreKeyKind::Idempotency,
        StoreKeyKind::Undo,
    ] {
        let claimed = store
            .put_if_absent(&key(kind, "kind"), text("x"), HOUR)
            .await;
        assert_eq!(claimed.unwrap(), None, "{kind:?}");
    }
}

async fn values_are_any_bytes_up_to_a_mebibyte(store: &StateStore) {
    let key = key(StoreKeyKind::Undo, "bytes");
    let all: Vec<u8> = (0..=255).cycle().take(MAX_VALUE_BYTES).collect();
    let all = Bytes::from(all);
    store.put(&key, all.clone(), HOUR).await.unwrap();
    assert_eq!(store.get(&key).await.unwrap(), Some(all));
    let rejected = store.put(&key, large(MAX_VALUE_BYTES + 1), HOUR).await;
    assert!(matches!(rejected, Err(StoreError::TooLarge { .. })));
    assert_eq!(
        store.failure_counts(),
        [(StoreOperation::Put, StoreErrorReason::TooLarge, 1)],
        "{store:?}"
    );
    assert!(store.get_and_delete(&key).await.unwrap().is_some());
}

async fn secret_is_generated_once(store: &Arc<StateStore>) {
    let mut made = JoinSet::new();
    for _ in 0..20 {
        let store = Arc::clone(store);
        made.spawn(async move { store.secret("approvals").await.unwrap() });
    }
    let mut all = made.join_all().await;
    all.dedup();
    assert_eq!(all.len(), 1, "{store:?}");
    assert_ne!(all[0], [0; 32]);
    assert_ne!(all[0], store.secret("others").await.unwrap());
}

#[tokio::test]
async fn settled_entry_is_written_again_if_the_store_forgot_it() {
    let server = RedisServer::start();
    let folder = tempfile::tempdir().unwrap();
    for settings in [
        in_memory(PLENTY),
        in_file(&folder, PLENTY),
        in_redis(&server.url()),
    ] {
        let store = open(settings);
        let key = idempotency_key("settle");
        store
            .put_if_absent(&key, text("begun"), HOUR)
            .await
            .unwrap();
        let complete = async |value| store.complete(&key, b"begun", text(value), HOUR).await;
        complete("done").await.unwrap();
        assert_eq!(store.failure_counts(), []);
        store.get_and_delete(&key).await.unwrap();
        complete("done").await.unwrap();
        assert_eq!(store.get(&key).await.unwrap(), Some(text("done")));
        // Another change is not overwritten.
        complete("done otherwise").await.unwrap();
        assert_eq!(store.get(&key).await.unwrap(), Some(text("done")));
        assert_eq!(
            store.failure_counts(),
            [(
                StoreOperation::CompareAndSwap,
                StoreErrorReason::Forgotten,
                2
            )],
            "{store:?}"
        );
    }
}

#[tokio::test]
async fn one_caller_cannot_fill_the_store() {
    let server = RedisServer::start();
    let folder = tempfile::tempdir().unwrap();
    let limit = 1 << 20;
    for settings in [
        in_memory(limit),
        in_file(&folder, limit),
        in_redis_of(&server.url(), limit),
    ] {
        let store = open(settings);
        let of =
            |caller: &str, number: u32| idempotency_key(&number.to_string()).owned_by(&[caller]);
        // A key of another caller is another key in the gateway; here it is the same.
        let fill = async |caller: &'static str, from: u32| {
            let mut number = from;
            loop {
                let key = of(caller, number);
                match store.put_if_absent(&key, large(10_000), HOUR).await {
                    Ok(None) => number += 1,
                    Err(StoreError::ShareUsed) => break number - from,
                    other => panic!("{other:?}"),
                }
            }
        };
        assert_eq!(store.check_available().await, Ok(()));
        // Half of what is free, again and again.
        let greedy = fill("greedy", 0).await;
        assert_eq!(greedy, 51, "{store:?}");
        assert!(store.check_available().await.is_err());
        let others = [
            fill("one", 1_000).await,
            fill("two", 2_000).await,
            fill("three", 3_000).await,
        ];
        assert_eq!(others, [26, 13, 6], "{store:?}");
        // The end of a change that was begun is stored all the same.
        store
            .complete(&of("greedy", 0), &large(10_000), large(12_000), HOUR)
            .await
            .unwrap();
        // Entries that are deleted make room for their caller.
        for number in 0..40 {
            let deleted = store.get_and_delete(&of("greedy", number)).await.unwrap();
            assert!(deleted.is_some(), "{store:?}");
        }
        assert!(fill("greedy", 4_000).await > 0, "{store:?}");
        let fill = store.fill();
        assert!(
            fill.pinned_bytes > limit / 2 && fill.pinned_bytes < limit,
            "{fill:?}"
        );
        assert_eq!(fill.max_bytes, limit);
    }
}

#[tokio::test]
async fn full_store_evicts_undo_entries_and_rejects_new_entries() {
    let server = RedisServer::start();
    let folder = tempfile::tempdir().unwrap();
    for settings in [
        in_memory(4 << 20),
        in_file(&folder, 4 << 20),
        in_redis_of(&server.url(), 4 << 20),
    ] {
        let store = open(settings);
        let name = |number: usize| number.to_string();
        let undo = |number| key(StoreKeyKind::Undo, &name(number));
        // The oldest undo entries are evicted, and nothing is rejected.
        for number in 0..10 {
            let ttl = HOUR + Duration::from_secs(u64::try_from(number).unwrap());
            store.put(&undo(number), large(1 << 20), ttl).await.unwrap();
        }
        assert_eq!(store.get(&undo(6)).await.unwrap(), None);
        assert!(store.get(&undo(7)).await.unwrap().is_some());
        // Claims evict undo entries, but no claims.
        let mut stored = 0;
        let full = loop {
            match store
                .put_if_absent(&idempotency_key(&name(stored)), large(100_000), HOUR)
                .await
            {
                Ok(None) => stored += 1,
                Ok(Some(_)) => panic!("{stored}"),
                Err(error) => break error,
            }
        };
        assert!(matches!(full, StoreError::Full), "{full}");
        assert_eq!(stored, 41, "{store:?}");
        for number in 0..stored {
            let found = store.get(&idempotency_key(&name(number))).await.unwrap();
            assert!(found.is_some(), "{store:?} {number}");
        }
        assert_eq!(store.get(&undo(9)).await.unwrap(), None);
        // An existing entry can be replaced, which frees its space.
        let first = idempotency_key(&name(0));
        let expected = large(100_000);
        let result = store.compare_and_swap(&first, &expected, text("done"), HOUR);
        assert!(result.await.unwrap());
        let again = store
            .put_if_absent(&idempotency_key("more"), large(90_000), HOUR)
            .await;
        assert_eq!(again.unwrap(), None);
        let rejected = store.put(&undo(11), large(200_000), HOUR).await;
        assert!(matches!(rejected, Err(StoreError::Full)));
        let failures = store.failure_counts();
        assert_eq!(
            failures,
            [
                (StoreOperation::Put, StoreErrorReason::Full, 1),
                (StoreOperation::PutIfAbsent, StoreErrorReason::Full, 1)
            ]
        );
    }
}

#[tokio::test]
async fn caller_with_most_undo_entries_loses_its_own_first() {
    let server = RedisServer::start();
    let folder = tempfile::tempdir().unwrap();
    let limit = 1 << 20;
    for settings in [
        in_memory(limit),
        in_file(&folder, limit),
        in_redis_of(&server.url(), limit),
    ] {
        let store = open(settings);
        let undo = |caller: &str, number: u64| {
            key(StoreKeyKind::Undo, &format!("{caller}{number}")).owned_by(&[caller])
        };
        let ttl = |number: u64| HOUR + Duration::from_secs(number);
        let exists = async |caller, number| {
            let found = store.get(&undo(caller, number)).await;
            found.unwrap().is_some()
        };
        // The oldest entries of all are those of a modest caller.
        for number in 0..3 {
            let modest = undo("modest", number);
            store
                .put(&modest, large(10_000), ttl(number))
                .await
                .unwrap();
        }
        for number in 3..300 {
            let greedy = undo("greedy", number);
            store
                .put(&greedy, large(10_000), ttl(number))
                .await
                .unwrap();
        }
        for number in 0..3 {
            assert!(exists("modest", number).await, "{store:?} {number}");
        }
        assert!(!exists("greedy", 150).await, "{store:?}");
        assert!(exists("greedy", 299).await, "{store:?}");
        // What must stay evicts the same way.
        for number in 0..60 {
            let key = idempotency_key(&number.to_string());
            store
                .put_if_absent(&key, large(10_000), HOUR)
                .await
                .unwrap();
        }
        assert!(exists("modest", 0).await, "{store:?}");
        assert!(exists("greedy", 299).await, "{store:?}");
        // Deleted and replaced entries are no longer counted.
        for number in 200..300 {
            store.get_and_delete(&undo("greedy", number)).await.unwrap();
        }
        for number in 0..30 {
            let other = undo("other", number);
            store.put(&other, large(10_000), ttl(number)).await.unwrap();
        }
        assert!(exists("modest", 0).await, "{store:?}");
        assert!(exists("other", 29).await, "{store:?}");
    }
}

#[tokio::test]
async fn expired_entries_free_their_quota() {
    let server = RedisServer::start();
    let folder = tempfile::tempdir().unwrap();
    for settings in [
        in_memory(2 << 20),
        in_file(&folder, 2 << 20),
        in_redis_of(&server.url(), 2 << 20),
    ] {
        let store = open(settings);
        let short = Duration::from_millis(30);
        for number in 0..60 {
            let key = idempotency_key(&number.to_string());
            loop {
                // Full until the first entries expire.
                match store.put_if_absent(&key, large(200_000), short).await {
                    Ok(found) => break assert_eq!(found, None),
                    Err(error) => assert!(matches!(error, StoreError::Full), "{error}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn empty_values_count_against_the_quota() {
    let store = open(in_memory(1 << 20));
    let mut stored = 0_u32;
    while store
        .put_if_absent(&idempotency_key(&stored.to_string()), Bytes::new(), HOUR)
        .await
        .is_ok()
    {
        stored += 1;
    }
    assert_eq!(stored, 4096);
}

#[tokio::test]
async fn debug_output_hides_keys_and_values() {
    let folder = tempfile::tempdir().unwrap();
    for settings in [in_memory(PLENTY), in_file(&folder, PLENTY)] {
        let shown = format!("{settings:?}");
        let store = open(settings);
        let key = key(StoreKeyKind::Undo, "mara@example.com");
        store.put(&key, text("hunter2"), HOUR).await.unwrap();
        let command = super::command::StoreCommand::Put(text("hunter2"), HOUR);
        let result = super::command::StoreReply {
            value: Some(text("hunter2")),
            applied: true,
            ..super::command::StoreReply::default()
        };
        let shown = format!("{shown} {store:?} {key:?} {command:?} {result:?}");
        assert!(!shown.contains("hunter"), "{shown}");
        assert!(!shown.contains("mara"), "{shown}");
        assert!(shown.contains("7 bytes"), "{shown}");
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
        let store = open(settings.clone());
        for (other, (_, settings)) in places.iter().enumerate() {
            assert_eq!(store.is_same_store(settings), number == other, "{store:?}");
            let shorter = StoreSettings {
                retention: Retention {
                    idempotency_ttl: HOUR,
                    ..Retention::default()
                },
                ..settings_for(settings.clone())
            };
            assert_eq!(store.reconfigure(&shorter), number == other, "{store:?}");
        }
        if let StoreLocation::Memory { .. } | StoreLocation::File { .. } = settings {
            let result = store.put(&idempotency_key("x"), Bytes::new(), HOUR).await;
            assert!(matches!(result, Err(StoreError::Full)), "{store:?}");
        }
        assert_eq!(store.retention().idempotency_ttl, HOUR);
        assert!(store.close(HOUR));
    }
}

#[test]
fn errors_say_what_failed_and_what_to_do() {
    let path = || PathBuf::from("/var/lib/changes.redb");
    let errors: [&dyn std::error::Error; 7] = [
        &StoreError::Full,
        &StoreError::ShareUsed,
        &StoreError::TooLarge {
            size_bytes: 2_000_000,
            max_bytes: 1 << 20,
        },
        &StoreError::unavailable("writing timed out"),
        &StoreOpenError::Damaged(path(), "its pages are corrupt".to_owned()),
        &StoreOpenError::Io(path(), std::io::ErrorKind::NotFound.into()),
        &StoreOpenError::Locked(path()),
    ];
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(texts.join("\n"), @r"
    the gateway's change store is full, so changes are refused. Nothing was sent; try again in an hour and tell the administrator
    the gateway stores as much about earlier changes of this caller as one caller may use, so changes with an `idempotency_key` or an approval are refused. Nothing was sent; try again in an hour and tell the administrator
    the gateway would have to store 2000000 bytes for this change, more than its limit of 1048576. Nothing was sent; make several smaller changes
    the gateway's change store is unavailable, so changes are refused. Nothing was sent; try again in a minute, then tell the administrator
    /var/lib/changes.redb is damaged or is not a store file (its pages are corrupt); restore a copy, or move it away to start a new one. A new file does not know earlier changes, so a repeated change may be made twice
    /var/lib/changes.redb cannot be opened: entity not found
    /var/lib/changes.redb is in use by another process; give each gateway its own file, or share a Redis
    ");
    let unhealthy = StoreUnhealthy::from(StoreOpenError::Locked(path())).to_string();
    assert_eq!(unhealthy, StoreOpenError::Locked(path()).to_string());
    let unavailable = || RedisUnavailable::Refused("LOADING".to_owned());
    let unhealthy = StoreUnhealthy::from(unavailable()).to_string();
    assert_eq!(unhealthy, unavailable().to_string());
}
