//! Failures of Redis and of the connection to it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::{HOUR, RedisServer, idempotency_key, in_redis, open, text};
use crate::{
    redis::{RedisPassword, RedisUnavailable},
    store::{
        StateStore, StoreError, StoreHealth, StoreKey, StoreKeyKind, StoreLocation, StoreUnhealthy,
        state_store::StoreBackend,
    },
};

/// A proxy to Redis that drops replies on request.
struct LossyProxy {
    url: String,
    drop_next_reply: Arc<AtomicBool>,
    /// The port of the Redis that new connections reach.
    port: Arc<AtomicU16>,
}

impl LossyProxy {
    async fn in_front_of(server: &RedisServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let swallows = Arc::new(AtomicBool::new(false));
        let port = Arc::new(AtomicU16::new(server.port));
        let (target, lost) = (Arc::clone(&port), Arc::clone(&swallows));
        drop(tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let redis = TcpStream::connect(("127.0.0.1", target.load(SeqCst)))
                    .await
                    .unwrap();
                drop(tokio::spawn(forward(client, redis, Arc::clone(&lost))));
            }
        }));
        Self {
            url,
            drop_next_reply: swallows,
            port,
        }
    }
}

/// Forwards both directions until a reply is to be dropped.
async fn forward(mut client: TcpStream, mut redis: TcpStream, swallows: Arc<AtomicBool>) {
    let (mut asked, mut answer) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => match read {
                Ok(size @ 1..) => redis.write_all(&asked[..size]).await.unwrap(),
                Ok(0) | Err(_) => return,
            },
            read = redis.read(&mut answer) => match read {
                Ok(size @ 1..) => {
                    if swallows.swap(false, SeqCst) {
                        return;
                    }
                    client.write_all(&answer[..size]).await.unwrap();
                }
                Ok(0) | Err(_) => return,
            },
        }
    }
}

/// A store in this Redis, with the value `1` under the key `x`.
async fn open_with_entry(url: &str) -> StateStore {
    let store = open(in_redis(url));
    store
        .put(&idempotency_key("x"), text("1"), HOUR)
        .await
        .unwrap();
    store
}

async fn wait_for_connection(store: &StateStore, is_here: bool) {
    let StoreBackend::Redis(shared) = &store.backend else {
        panic!("{store:?}");
    };
    shared.redis.wait_until_connected(is_here).await;
}

#[tokio::test]
async fn replicas_share_values_and_secrets() {
    let server = RedisServer::start();
    let [one, two] = [(); 2].map(|()| open(in_redis(&server.url())));
    assert_eq!(
        one.put_if_absent(&idempotency_key("x"), text("1"), HOUR)
            .await
            .unwrap(),
        None
    );
    let result = two
        .put_if_absent(&idempotency_key("x"), text("2"), HOUR)
        .await;
    assert_eq!(result.unwrap(), Some(text("1")));
    assert_eq!(
        one.secret("approvals").await.unwrap(),
        two.secret("approvals").await.unwrap()
    );
    assert!(one.is_shared() && one.is_persistent());
}

#[tokio::test]
async fn put_if_absent_succeeds_when_its_first_reply_is_lost() {
    let server = RedisServer::start();
    let way = LossyProxy::in_front_of(&server).await;
    let store = open(in_redis(&way.url));
    assert_eq!(store.get(&idempotency_key("x")).await.unwrap(), None);
    way.drop_next_reply.store(true, SeqCst);
    let result = store
        .put_if_absent(&idempotency_key("x"), text("1"), HOUR)
        .await;
    assert_eq!(result.unwrap(), None);
    assert!(!way.drop_next_reply.load(SeqCst), "no answer was swallowed");
    let result = store
        .put_if_absent(&idempotency_key("x"), text("1"), HOUR)
        .await;
    assert_eq!(result.unwrap(), Some(text("1")));
}

#[tokio::test]
async fn get_and_delete_is_unavailable_when_its_reply_is_lost() {
    let server = RedisServer::start();
    let way = LossyProxy::in_front_of(&server).await;
    let store = open_with_entry(&way.url).await;
    way.drop_next_reply.store(true, SeqCst);
    let result = store.get_and_delete(&idempotency_key("x")).await;
    assert!(
        matches!(result, Err(StoreError::Unavailable(_))),
        "{result:?}"
    );
    wait_for_connection(&store, true).await;
    assert_eq!(store.get(&idempotency_key("x")).await.unwrap(), None);
    assert_eq!(store.failure_counts().len(), 1);
}

#[tokio::test]
async fn closed_idle_connection_is_replaced_without_error() {
    let server = RedisServer::start();
    let store = open_with_entry(&server.url()).await;
    for _ in 0..3 {
        server.say("CLIENT KILL TYPE normal");
        // Nothing is sent on a connection that is known to be closed.
        tokio::task::yield_now().await;
        assert_eq!(
            store.get(&idempotency_key("x")).await.unwrap(),
            Some(text("1"))
        );
    }
}

// BC-61
#[tokio::test]
async fn script_that_redis_forgot_is_sent_again() {
    let server = RedisServer::start();
    let store = open_with_entry(&server.url()).await;
    server.say("SCRIPT FLUSH");
    let result = store.get_and_delete(&idempotency_key("x")).await;
    assert_eq!(result.unwrap(), Some(text("1")));
    assert!(store.failure_counts().is_empty());
}

// BC-62
#[tokio::test]
async fn demoted_master_is_left_for_the_one_at_its_address_now() {
    let [old, new] = [(); 2].map(|()| RedisServer::start());
    let way = LossyProxy::in_front_of(&old).await;
    let store = open_with_entry(&way.url).await;
    // It has no connection to its master, keeps ours open, and rejects writes.
    old.say("REPLICAOF 127.0.0.1 1");
    way.port.store(new.port, SeqCst);
    let put = async || {
        let key = idempotency_key("y");
        store.put_if_absent(&key, text("2"), HOUR).await
    };
    let Err(StoreError::Unavailable(error)) = put().await else {
        panic!("a replica made a write");
    };
    assert!(error.to_string().contains("READONLY"), "{error}");
    wait_for_connection(&store, true).await;
    assert_eq!(put().await.unwrap(), None);
    let direct = open(in_redis(&new.url()));
    let found = direct.get(&idempotency_key("y")).await;
    assert_eq!(found.unwrap(), Some(text("2")));
}

#[tokio::test]
async fn unreachable_redis_fails_writes_until_it_returns() {
    let mut server = RedisServer::start();
    let store = open_with_entry(&server.url()).await;
    server.kill();
    for _ in 0..3 {
        let begun = Instant::now();
        let result = store
            .put_if_absent(&idempotency_key("y"), text("1"), HOUR)
            .await;
        let Err(StoreError::Unavailable(error)) = result else {
            panic!("{result:?}");
        };
        assert!(error.to_string().starts_with("redis: "), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(4));
    }
    assert!(store.check_available().await.is_err());
    server.restart();
    wait_for_connection(&store, true).await;
    assert_eq!(store.check_available().await, Ok(()));
    let result = store
        .put_if_absent(&idempotency_key("y"), text("1"), HOUR)
        .await;
    assert_eq!(result.unwrap(), None);
}

#[tokio::test]
async fn hanging_redis_times_out_after_two_seconds() {
    let server = RedisServer::start();
    let store = open_with_entry(&server.url()).await;
    server.stall();
    let begun = Instant::now();
    let result = store
        .put_if_absent(&idempotency_key("y"), text("1"), HOUR)
        .await;
    let took = begun.elapsed();
    assert!(
        matches!(result, Err(StoreError::Unavailable(_))),
        "{result:?}"
    );
    let patience = Duration::from_secs(2)..Duration::from_secs(4);
    assert!(patience.contains(&took), "{took:?}");
    server.resume();
    let result = store
        .put_if_absent(&idempotency_key("z"), text("1"), HOUR)
        .await;
    assert_eq!(result.unwrap(), None);
}

/// The rights that `docs/configuration.md` names.
const RIGHTS: &str = "+evalsha +script|load +time +get +set +del +strlen +getrange +hmget +hget \
                      +hset +hincrby +hdel +zadd +zrem +zscore +zrange +zrangebyscore";

/// The store as a Redis user of this name, which is created with these rights.
fn as_user(server: &RedisServer, user: &str, rights: &str, max_bytes: u64) -> StoreLocation {
    server.say(&format!("ACL SETUSER {user} on >hunter2 ~test:* {rights}"));
    let url = server
        .url()
        .replace("redis://", &format!("redis://{user}@"));
    let StoreLocation::Redis { mut settings, .. } = in_redis(&url) else {
        panic!("{url}");
    };
    settings.password = Some(RedisPassword::new("hunter2"));
    StoreLocation::Redis {
        settings,
        max_bytes,
    }
}

#[tokio::test]
async fn documented_rights_are_enough_also_when_the_store_is_full() {
    let server = RedisServer::start();
    let location = || as_user(&server, "enough", RIGHTS, 20_000);
    assert_eq!(
        StateStore::check_location(location()).await.unwrap(),
        StoreHealth::Usable
    );
    let store = open(location());
    let key = idempotency_key("x").owned_by(&["ada"]);
    let undo = |name: String, caller| StoreKey::undo(&[&name]).owned_by(&[caller]);
    for _ in 0..2 {
        let ttl = Duration::from_millis(1);
        store.put(&key, text("1"), ttl).await.unwrap();
        while store.get(&key).await.unwrap().is_some() {}
    }
    let claimed = store.put_if_absent(&key, text("begun"), HOUR).await;
    assert_eq!(claimed.unwrap(), None);
    let few = undo("bob".to_owned(), "bob");
    store.put(&few, text("1"), HOUR).await.unwrap();
    // Evicts what this caller has; then what is in flight ends.
    for number in 0..50 {
        let key = undo(number.to_string(), "eve");
        store.put(&key, text(&"x".repeat(500)), HOUR).await.unwrap();
    }
    let ended = store.compare_and_swap(&key, b"begun", text("done"), HOUR);
    assert!(ended.await.unwrap());
    assert_eq!(store.get(&key).await.unwrap(), Some(text("done")));
    let first = undo("0".to_owned(), "eve");
    assert_eq!(store.get(&first).await.unwrap(), None);
    let kept = store.get_and_delete(&few).await;
    assert_eq!(kept.unwrap(), Some(text("1")));
}

#[tokio::test]
async fn redis_user_who_lacks_any_of_the_rights_is_found_by_the_check() {
    let server = RedisServer::start();
    for (number, right) in RIGHTS.split_whitespace().enumerate() {
        let others = RIGHTS.split_whitespace().filter(|other| *other != right);
        let rights = others.collect::<Vec<_>>().join(" ");
        let weak = as_user(&server, &format!("weak{number}"), &rights, 1 << 20);
        let weak = StateStore::check_location(weak).await;
        assert!(
            matches!(
                weak,
                Err(StoreUnhealthy::RedisUnavailable(RedisUnavailable::Refused(
                    _
                )))
            ),
            "{right}: {weak:?}"
        );
    }
}

/// A Redis whose clock a test sets.
fn start_with_clock(folder: &tempfile::TempDir) -> (RedisServer, impl Fn(i64)) {
    let clock = folder.path().join("clock");
    let set = {
        let clock = clock.clone();
        move |seconds: i64| {
            let next = clock.with_extension("next");
            std::fs::write(&next, format!("{seconds:+}")).unwrap();
            std::fs::rename(&next, &clock).unwrap();
        }
    };
    set(0);
    let environment = [
        (
            "LD_PRELOAD",
            "/usr/$LIB/faketime/libfaketimeMT.so.1:libc.so.6",
        ),
        ("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("NO_FAKE_STAT", "1"),
    ];
    (RedisServer::start_with("--port", &[], &environment), set)
}

#[tokio::test]
async fn clock_of_redis_that_jumps_expires_nothing_and_ages_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (server, set_clock) = start_with_clock(&folder);
    let store = open(in_redis(&server.url()));
    let key = idempotency_key("x");
    store.put(&key, text("1"), HOUR).await.unwrap();
    let begun = Instant::now();
    let mut last = store.now().await.unwrap();
    for seconds in [200, 90_000, -90_000, 400 * 86_400, -10, 0] {
        set_clock(seconds);
        let now = store.now().await.unwrap();
        // The jump counts as ten seconds at most.
        let step = now.saturating_since(last);
        let most = Duration::from_secs(10) + begun.elapsed() + Duration::from_millis(2);
        assert!(now >= last && step <= most, "{seconds}: {step:?}");
        last = now;
        assert_eq!(store.get(&key).await.unwrap(), Some(text("1")), "{seconds}");
        let claimed = store.put_if_absent(&key, text("2"), HOUR).await;
        assert_eq!(claimed.unwrap(), Some(text("1")), "{seconds}");
    }
}

#[tokio::test]
async fn clock_of_an_idle_store_keeps_pace() {
    let server = RedisServer::start();
    let store = open(in_redis(&server.url()));
    let first = store.now().await.unwrap();
    // Without commands, as long as two steps of the clock.
    let reading = || {
        let said = server.say("HGET test:changes:state clock");
        let clock = said.lines().nth(1).unwrap();
        crate::store::StoreTime::from_millis(clock.trim().parse().unwrap())
    };
    let begun = Instant::now();
    while reading().saturating_since(first) < Duration::from_secs(12) {
        assert!(begun.elapsed() < Duration::from_mins(2));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn redis_with_an_eviction_policy_is_reported() {
    let server = RedisServer::start();
    let examine = async || {
        StateStore::check_location(in_redis(&server.url()))
            .await
            .unwrap()
    };
    assert_eq!(examine().await, StoreHealth::Usable);
    server.say("CONFIG SET maxmemory-policy allkeys-lru");
    // Without a limit it is never full.
    assert_eq!(examine().await, StoreHealth::Usable);
    server.say("CONFIG SET maxmemory 100mb");
    assert_eq!(examine().await, StoreHealth::MayEvict);
    server.say("CONFIG SET maxmemory-policy noeviction");
    assert_eq!(examine().await, StoreHealth::Usable);
}

#[tokio::test]
async fn full_redis_fails_writes_until_memory_is_available() {
    let server = RedisServer::start();
    let store = open_with_entry(&server.url()).await;
    server.say("CONFIG SET maxmemory 1");
    let result = store
        .put_if_absent(&idempotency_key("y"), Bytes::new(), HOUR)
        .await;
    assert!(
        matches!(result, Err(StoreError::Unavailable(_))),
        "{result:?}"
    );
    server.say("CONFIG SET maxmemory 0");
    wait_for_connection(&store, true).await;
    let result = store
        .put_if_absent(&idempotency_key("y"), Bytes::new(), HOUR)
        .await;
    assert_eq!(result.unwrap(), None);
}

#[tokio::test]
async fn redis_keys_are_hashed_and_deleted_after_their_time() {
    let server = RedisServer::start();
    let store = open(in_redis(&server.url()));
    let key = StoreKey::new(StoreKeyKind::Approval, &[b"mara@example.com", b"hunter2"]);
    let ttl = Duration::from_millis(20);
    store.put(&key, text("1"), ttl).await.unwrap();
    let keys = server.say("KEYS *");
    assert!(keys.contains("test:approval:"), "{keys}");
    assert!(!keys.contains("mara") && !keys.contains("hunter"), "{keys}");
    while store.get(&key).await.unwrap().is_some() {}
    // Any other change deletes it.
    store
        .put(&idempotency_key("x"), text("1"), HOUR)
        .await
        .unwrap();
    let keys = server.say("KEYS *");
    assert!(!keys.contains("test:approval:"), "{keys}");
}
