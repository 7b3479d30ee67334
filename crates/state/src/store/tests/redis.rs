//! What may happen to a Redis, and on the way to it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::{HOUR, RedisServer, in_redis, once, open, text};
use crate::{
    redis::{Away, Password},
    store::{Key, Kind, Ledger, LedgerError, LedgerPlace, Store, Unusable, Usable},
};

/// A way to a Redis that swallows answers when it is told to.
struct Way {
    url: String,
    swallows: Arc<AtomicBool>,
}

impl Way {
    async fn to(server: &RedisServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let swallows = Arc::new(AtomicBool::new(false));
        let (port, lost) = (server.port, Arc::clone(&swallows));
        drop(tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let redis = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                drop(tokio::spawn(pass_on(client, redis, Arc::clone(&lost))));
            }
        }));
        Self { url, swallows }
    }
}

/// Passes on what both say, until an answer is to be swallowed.
async fn pass_on(mut client: TcpStream, mut redis: TcpStream, swallows: Arc<AtomicBool>) {
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

async fn until(ledger: &Ledger, is_here: bool) {
    let Store::Redis(shared) = &ledger.store else {
        panic!("{ledger:?}");
    };
    shared.redis.until(is_here).await;
}

#[tokio::test]
async fn two_replicas_know_the_same_and_see_each_others_claims() {
    let server = RedisServer::start();
    let [one, two] = [(); 2].map(|()| open(in_redis(&server.url())));
    assert_eq!(one.claim(&once("x"), text("1"), HOUR).await.unwrap(), None);
    let told = two.claim(&once("x"), text("2"), HOUR).await;
    assert_eq!(told.unwrap(), Some(text("1")));
    assert_eq!(
        one.secret("approvals").await.unwrap(),
        two.secret("approvals").await.unwrap()
    );
    assert!(one.is_shared() && one.outlives_restart());
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_knows_itself() {
    let server = RedisServer::start();
    let way = Way::to(&server).await;
    let ledger = open(in_redis(&way.url));
    assert_eq!(ledger.get(&once("x")).await.unwrap(), None);
    way.swallows.store(true, SeqCst);
    let told = ledger.claim(&once("x"), text("1"), HOUR).await;
    assert_eq!(told.unwrap(), None);
    assert!(!way.swallows.load(SeqCst), "no answer was swallowed");
    let told = ledger.claim(&once("x"), text("1"), HOUR).await;
    assert_eq!(told.unwrap(), Some(text("1")));
}

#[tokio::test]
async fn what_cannot_be_done_twice_is_told_as_unknown_when_its_answer_is_lost() {
    let server = RedisServer::start();
    let way = Way::to(&server).await;
    let ledger = open(in_redis(&way.url));
    ledger.put(&once("x"), text("1"), HOUR).await.unwrap();
    way.swallows.store(true, SeqCst);
    let told = ledger.take(&once("x")).await;
    assert!(matches!(told, Err(LedgerError::Unavailable(_))), "{told:?}");
    until(&ledger, true).await;
    assert_eq!(ledger.get(&once("x")).await.unwrap(), None);
    assert_eq!(ledger.failures().len(), 1);
}

#[tokio::test]
async fn a_connection_that_idled_and_was_closed_costs_nobody_anything() {
    let server = RedisServer::start();
    let ledger = open(in_redis(&server.url()));
    ledger.put(&once("x"), text("1"), HOUR).await.unwrap();
    for _ in 0..3 {
        server.say("CLIENT KILL TYPE normal");
        // Where the end is known already, nothing is sent on it.
        tokio::task::yield_now().await;
        assert_eq!(ledger.get(&once("x")).await.unwrap(), Some(text("1")));
    }
}

#[tokio::test]
async fn without_redis_nothing_is_promised_until_it_is_back() {
    let mut server = RedisServer::start();
    let ledger = open(in_redis(&server.url()));
    ledger.put(&once("x"), text("1"), HOUR).await.unwrap();
    server.kill();
    for _ in 0..3 {
        let begun = Instant::now();
        let told = ledger.claim(&once("y"), text("1"), HOUR).await;
        let Err(LedgerError::Unavailable(trouble)) = told else {
            panic!("{told:?}");
        };
        assert!(trouble.to_string().starts_with("redis: "), "{trouble}");
        assert!(begun.elapsed() < Duration::from_secs(4));
    }
    assert!(ledger.state().await.is_err());
    server.restart();
    until(&ledger, true).await;
    assert_eq!(ledger.state().await, Ok(()));
    let told = ledger.claim(&once("y"), text("1"), HOUR).await;
    assert_eq!(told.unwrap(), None);
}

#[tokio::test]
async fn a_redis_that_hangs_is_given_up_after_two_seconds() {
    let server = RedisServer::start();
    let ledger = open(in_redis(&server.url()));
    ledger.put(&once("x"), text("1"), HOUR).await.unwrap();
    server.stall();
    let begun = Instant::now();
    let told = ledger.claim(&once("y"), text("1"), HOUR).await;
    let took = begun.elapsed();
    assert!(matches!(told, Err(LedgerError::Unavailable(_))), "{told:?}");
    let patience = Duration::from_secs(2)..Duration::from_secs(4);
    assert!(patience.contains(&took), "{took:?}");
    server.resume();
    let told = ledger.claim(&once("z"), text("1"), HOUR).await;
    assert_eq!(told.unwrap(), None);
}

#[tokio::test]
async fn a_redis_in_which_it_may_not_delete_is_none() {
    let server = RedisServer::start();
    let rights = "on >hunter2 ~test:* +evalsha +script|load +get +set";
    server.say(&format!("ACL SETUSER weak {rights}"));
    server.say(&format!("ACL SETUSER enough {rights} +del"));
    let of = |user: &str| {
        let url = server
            .url()
            .replace("redis://", &format!("redis://{user}@"));
        let LedgerPlace::Redis(settings) = in_redis(&url) else {
            panic!("{url}");
        };
        LedgerPlace::Redis(crate::redis::RedisSettings {
            password: Some(Password::new("hunter2")),
            ..settings
        })
    };
    assert_eq!(Ledger::examine(of("enough")).await.unwrap(), Usable::Yes);
    let told = open(of("enough")).take(&once("x")).await;
    assert_eq!(told.unwrap(), None);
    let weak = Ledger::examine(of("weak")).await;
    assert!(
        matches!(weak, Err(Unusable::Away(Away::Refused(_)))),
        "{weak:?}"
    );
}

#[tokio::test]
async fn a_redis_that_drops_keys_when_it_is_full_is_told_of() {
    let server = RedisServer::start();
    let examine = async || Ledger::examine(in_redis(&server.url())).await.unwrap();
    assert_eq!(examine().await, Usable::Yes);
    server.say("CONFIG SET maxmemory-policy allkeys-lru");
    // Without a bound it is never full.
    assert_eq!(examine().await, Usable::Yes);
    server.say("CONFIG SET maxmemory 100mb");
    assert_eq!(examine().await, Usable::Forgetful);
    server.say("CONFIG SET maxmemory-policy noeviction");
    assert_eq!(examine().await, Usable::Yes);
}

#[tokio::test]
async fn a_full_redis_is_no_place_to_remember_anything() {
    let server = RedisServer::start();
    let ledger = open(in_redis(&server.url()));
    ledger.put(&once("x"), text("1"), HOUR).await.unwrap();
    server.say("CONFIG SET maxmemory 1");
    let told = ledger.claim(&once("y"), Bytes::new(), HOUR).await;
    assert!(matches!(told, Err(LedgerError::Unavailable(_))), "{told:?}");
    server.say("CONFIG SET maxmemory 0");
    until(&ledger, true).await;
    let told = ledger.claim(&once("y"), Bytes::new(), HOUR).await;
    assert_eq!(told.unwrap(), None);
}

#[tokio::test]
async fn redis_holds_no_name_and_every_key_ends() {
    let server = RedisServer::start();
    let ledger = open(in_redis(&server.url()));
    let key = Key::new(Kind::Approval, &[b"mara@example.com", b"hunter2"]);
    ledger.put(&key, text("1"), HOUR).await.unwrap();
    let keys = server.say("KEYS *");
    assert!(keys.contains("test:approval:"), "{keys}");
    assert!(!keys.contains("mara") && !keys.contains("hunter"), "{keys}");
    let left = server.say(&format!("PTTL {}", key.name("test:")));
    let left = left.trim_start_matches(':').split('\r').next().unwrap();
    let left: u64 = left.parse().unwrap();
    assert!((3_590_000..=3_600_000).contains(&left), "{left}");
}
