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
    Key, Kind, Ledger, LedgerError, LedgerPlace, LedgerSettings, MAX_VALUE_BYTES, Operation,
    Reason, Retention,
};
use crate::redis::{RedisSettings, RedisUrl, redis_server::RedisServer};

const HOUR: Duration = Duration::from_hours(1);

/// Enough for everything here.
const PLENTY: u64 = 64 << 20;

fn in_redis(url: &str) -> LedgerPlace {
    LedgerPlace::Redis(RedisSettings {
        url: RedisUrl::parse(url).unwrap(),
        password: None,
        tls: Arc::new(gatepost_tls::client(None).unwrap()),
        ca_file: None,
        timeout: Duration::from_millis(1),
        prefix: "test:".to_owned(),
    })
}

fn in_file(folder: &TempDir, max_bytes: u64) -> LedgerPlace {
    LedgerPlace::File {
        path: folder.path().join("changes.redb"),
        max_bytes,
    }
}

fn in_memory(max_bytes: u64) -> LedgerPlace {
    LedgerPlace::Memory { max_bytes }
}

fn at(place: LedgerPlace) -> LedgerSettings {
    LedgerSettings {
        place,
        retention: Retention::default(),
    }
}

fn open(place: LedgerPlace) -> Ledger {
    Ledger::open(at(place)).unwrap()
}

fn key(kind: Kind, name: &str) -> Key {
    Key::new(kind, &[name.as_bytes()])
}

fn once(name: &str) -> Key {
    key(Kind::Once, name)
}

fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn large(size: usize) -> Bytes {
    Bytes::from(vec![b'x'; size])
}

#[tokio::test]
async fn all_stores_remember_alike() {
    let server = RedisServer::start();
    let folder = tempfile::tempdir().unwrap();
    for settings in [
        in_memory(PLENTY),
        in_file(&folder, PLENTY),
        in_redis(&server.url()),
    ] {
        let ledger = Arc::new(open(settings));
        a_claim_is_given_once_and_the_others_are_told_of_it(&ledger).await;
        of_a_hundred_claims_at_once_one_is_the_first(&ledger).await;
        of_a_hundred_who_take_one_gets_it(&ledger).await;
        only_what_is_expected_is_replaced_or_removed(&ledger).await;
        what_is_put_is_there_whatever_was(&ledger).await;
        what_has_ended_is_as_if_it_had_never_been(&ledger).await;
        a_replaced_one_ends_when_the_new_one_does(&ledger).await;
        kinds_are_apart(&ledger).await;
        values_are_any_bytes_up_to_a_mebibyte(&ledger).await;
        a_secret_is_made_once(&ledger).await;
        assert_eq!(ledger.state().await, Ok(()), "{ledger:?}");
    }
}

async fn a_claim_is_given_once_and_the_others_are_told_of_it(ledger: &Ledger) {
    let key = once("claim");
    let claim = async |value| ledger.claim(&key, text(value), HOUR).await.unwrap();
    assert_eq!(claim("first").await, None);
    assert_eq!(claim("second").await, Some(text("first")));
    // Nor is it the same one that asks when it says the same.
    assert_eq!(claim("first").await, Some(text("first")));
    assert_eq!(ledger.get(&key).await.unwrap(), Some(text("first")));
    assert!(ledger.remove(&key, b"first").await.unwrap());
    assert_eq!(claim("third").await, None);
}

async fn of_a_hundred_claims_at_once_one_is_the_first(ledger: &Arc<Ledger>) {
    let mut claims = JoinSet::new();
    for number in 0..100_u32 {
        let ledger = Arc::clone(ledger);
        claims.spawn(async move {
            let value = Bytes::from(number.to_string());
            (number, ledger.claim(&once("hundred"), value, HOUR).await)
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

async fn of_a_hundred_who_take_one_gets_it(ledger: &Arc<Ledger>) {
    let key = key(Kind::Approval, "hundred");
    ledger.put(&key, text("yes"), HOUR).await.unwrap();
    let mut takes = JoinSet::new();
    for _ in 0..100 {
        let ledger = Arc::clone(ledger);
        takes.spawn(async move { ledger.take(&key).await.unwrap() });
    }
    let mut got = Vec::new();
    while let Some(take) = takes.join_next().await {
        got.extend(take.unwrap());
    }
    assert_eq!(got, [text("yes")], "{ledger:?}");
    assert_eq!(ledger.get(&key).await.unwrap(), None);
}

async fn only_what_is_expected_is_replaced_or_removed(ledger: &Ledger) {
    let key = once("replace");
    let replace =
        async |expected: &[u8], new| ledger.replace(&key, expected, text(new), HOUR).await;
    assert!(!replace(b"begun", "done").await.unwrap());
    assert!(!ledger.remove(&key, b"begun").await.unwrap());
    assert!(!replace(b"", "done").await.unwrap());
    ledger.put(&key, text("begun"), HOUR).await.unwrap();
    assert!(!replace(b"", "done").await.unwrap());
    assert!(!replace(b"begu", "done").await.unwrap());
    assert!(replace(b"begun", "done").await.unwrap());
    assert!(!replace(b"begun", "done again").await.unwrap());
    assert!(!ledger.remove(&key, b"begun").await.unwrap());
    assert_eq!(ledger.get(&key).await.unwrap(), Some(text("done")));
    assert!(ledger.remove(&key, b"done").await.unwrap());
    assert!(!ledger.remove(&key, b"done").await.unwrap());
}

async fn what_is_put_is_there_whatever_was(ledger: &Ledger) {
    let key = key(Kind::Answer, "put");
    for value in ["short", "somewhat longer", ""] {
        ledger.put(&key, text(value), HOUR).await.unwrap();
        assert_eq!(ledger.get(&key).await.unwrap(), Some(text(value)));
    }
}

async fn what_has_ended_is_as_if_it_had_never_been(ledger: &Ledger) {
    let ttl = Duration::from_millis(60);
    let begun = Instant::now();
    for kind in [Kind::Once, Kind::Undo] {
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
    let last = key(Kind::Undo, "ends by take");
    while ledger.get(&last).await.unwrap().is_some() {
        assert!(begun.elapsed() < HOUR / 60, "{ledger:?}");
    }
    assert!(begun.elapsed() >= ttl, "{ledger:?}");
    for kind in [Kind::Once, Kind::Undo] {
        let of = |name| key(kind, name);
        assert_eq!(ledger.get(&of("ends")).await.unwrap(), None);
        let claimed = ledger.claim(&of("ends by claim"), text("new"), HOUR).await;
        assert_eq!(claimed.unwrap(), None);
        let replaced = ledger
            .replace(&of("ends by replace"), b"old", text("new"), HOUR)
            .await;
        assert!(!replaced.unwrap());
        assert_eq!(ledger.take(&of("ends by take")).await.unwrap(), None);
    }
}

async fn a_replaced_one_ends_when_the_new_one_does(ledger: &Ledger) {
    let key = once("longer");
    let short = Duration::from_millis(40);
    ledger.put(&key, text("begun"), short).await.unwrap();
    let replaced = ledger.replace(&key, b"begun", text("done"), HOUR).await;
    // On a slow machine it may have ended by then.
    if replaced.unwrap() {
        let other = once("shorter");
        ledger.put(&other, text("x"), short).await.unwrap();
        while ledger.get(&other).await.unwrap().is_some() {}
        assert_eq!(ledger.get(&key).await.unwrap(), Some(text("done")));
    }
}

async fn kinds_are_apart(ledger: &Ledger) {
    for kind in [Kind::Answer, Kind::Approval, Kind::Once, Kind::Undo] {
        let claimed = ledger.claim(&key(kind, "kind"), text("x"), HOUR).await;
        assert_eq!(claimed.unwrap(), None, "{kind:?}");
    }
}

async fn values_are_any_bytes_up_to_a_mebibyte(ledger: &Ledger) {
    let key = key(Kind::Undo, "bytes");
    let all: Vec<u8> = (0..=255).cycle().take(MAX_VALUE_BYTES).collect();
    let all = Bytes::from(all);
    ledger.put(&key, all.clone(), HOUR).await.unwrap();
    assert_eq!(ledger.get(&key).await.unwrap(), Some(all));
    let refused = ledger.put(&key, large(MAX_VALUE_BYTES + 1), HOUR).await;
    assert!(matches!(refused, Err(LedgerError::TooLarge { .. })));
    assert_eq!(
        ledger.failures(),
        [(Operation::Put, Reason::TooLarge, 1)],
        "{ledger:?}"
    );
    assert!(ledger.take(&key).await.unwrap().is_some());
}

async fn a_secret_is_made_once(ledger: &Arc<Ledger>) {
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
async fn a_full_ledger_refuses_and_forgets_no_claim_but_what_could_only_be_offered() {
    let folder = tempfile::tempdir().unwrap();
    for settings in [in_memory(4 << 20), in_file(&folder, 4 << 20)] {
        let ledger = open(settings);
        let name = |number: usize| number.to_string();
        let undo = |number| key(Kind::Undo, &name(number));
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
            match ledger.claim(&once(&name(kept)), large(100_000), HOUR).await {
                Ok(None) => kept += 1,
                Ok(Some(_)) => panic!("{kept}"),
                Err(error) => break error,
            }
        };
        assert!(matches!(full, LedgerError::Full), "{full}");
        assert_eq!(kept, 41, "{ledger:?}");
        for number in 0..kept {
            let found = ledger.get(&once(&name(number))).await.unwrap();
            assert!(found.is_some(), "{ledger:?} {number}");
        }
        assert_eq!(ledger.get(&undo(9)).await.unwrap(), None);
        // What is there can be gone on with, and makes room when it goes.
        let first = once(&name(0));
        let expected = large(100_000);
        let told = ledger.replace(&first, &expected, text("done"), HOUR);
        assert!(told.await.unwrap());
        let again = ledger.claim(&once("more"), large(90_000), HOUR).await;
        assert_eq!(again.unwrap(), None);
        let refused = ledger.put(&undo(11), large(200_000), HOUR).await;
        assert!(matches!(refused, Err(LedgerError::Full)));
        let failures = ledger.failures();
        assert_eq!(
            failures,
            [
                (Operation::Claim, Reason::Full, 1),
                (Operation::Put, Reason::Full, 1)
            ]
        );
    }
}

#[tokio::test]
async fn what_has_ended_makes_room() {
    let folder = tempfile::tempdir().unwrap();
    for settings in [in_memory(2 << 20), in_file(&folder, 2 << 20)] {
        let ledger = open(settings);
        let short = Duration::from_millis(30);
        for number in 0..60 {
            let key = once(&number.to_string());
            loop {
                // Full until the first ones have ended.
                match ledger.claim(&key, large(200_000), short).await {
                    Ok(found) => break assert_eq!(found, None),
                    Err(error) => assert!(matches!(error, LedgerError::Full), "{error}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn many_small_ones_are_bounded_too() {
    let ledger = open(in_memory(1 << 20));
    let mut kept = 0_u32;
    while ledger
        .claim(&once(&kept.to_string()), Bytes::new(), HOUR)
        .await
        .is_ok()
    {
        kept += 1;
    }
    assert_eq!(kept, 4096);
}

#[tokio::test]
async fn nothing_shows_what_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    for settings in [in_memory(PLENTY), in_file(&folder, PLENTY)] {
        let shown = format!("{settings:?}");
        let ledger = open(settings);
        let key = key(Kind::Undo, "mara@example.com");
        ledger.put(&key, text("hunter2"), HOUR).await.unwrap();
        let deed = super::Deed::Put(text("hunter2"), HOUR);
        let told = super::Told {
            found: Some(text("hunter2")),
            done: true,
        };
        let shown = format!("{shown} {ledger:?} {key:?} {deed:?} {told:?}");
        assert!(!shown.contains("hunter"), "{shown}");
        assert!(!shown.contains("mara"), "{shown}");
        assert!(shown.contains("put of 7 bytes"), "{shown}");
    }
}

#[tokio::test]
async fn a_ledger_goes_on_with_settings_of_the_same_place_only() {
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
            assert_eq!(ledger.is_where(settings), number == other, "{ledger:?}");
            let shorter = LedgerSettings {
                retention: Retention {
                    keep_keys: HOUR,
                    ..Retention::default()
                },
                ..at(settings.clone())
            };
            assert_eq!(ledger.adjust(&shorter), number == other, "{ledger:?}");
        }
        if let LedgerPlace::Memory { .. } | LedgerPlace::File { .. } = settings {
            let told = ledger.put(&once("x"), Bytes::new(), HOUR).await;
            assert!(matches!(told, Err(LedgerError::Full)), "{ledger:?}");
        }
        assert_eq!(ledger.settings().keep_keys, HOUR);
        assert!(ledger.close(HOUR));
    }
}
