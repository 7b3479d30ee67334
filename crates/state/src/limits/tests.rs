//! Both stores by the same rules, and what happens while Redis is away.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use tokio::{io::AsyncWriteExt as _, net::TcpListener};

use super::{
    Allowance, CallerRates, Counted, Dimension, Limited, Limiter, Outcome, Pool, Rates, Store,
    ToolClass, WhenDown,
    claim::{Claim, Key, Take},
    memory::Memory,
    shared::Shared,
};
use crate::redis::{Away, Password, RedisSettings, RedisUrl, redis_server::RedisServer};
use gatepost_base::{InstanceName, RoleName, Subject};
use gatepost_identity::{Caller, CallerKind};

/// Long, for the tests share two cores; those that are about time say so.
const PATIENT: Duration = Duration::from_secs(5);

fn settings(url: &str, timeout: Duration) -> RedisSettings {
    RedisSettings {
        url: RedisUrl::parse(url).unwrap(),
        password: None,
        tls: Arc::new(gatepost_tls::client(None).unwrap()),
        ca_file: None,
        timeout,
        prefix: "test:".to_owned(),
    }
}

/// A store under test.
enum Under {
    Memory(Memory),
    Shared(Arc<Shared>),
}

impl Under {
    async fn decide(&self, claims: &[Claim]) -> Result<(), (Dimension, Duration)> {
        match self {
            Self::Memory(memory) => memory.decide(claims, Instant::now()),
            Self::Shared(shared) => shared
                .decide(claims)
                .await
                .unwrap()
                .map_err(|(index, wait)| (claims[index].key.dimension, wait)),
        }
    }
}

fn claim(dimension: Dimension, of: &str, per_minute: u32, burst: u32, take: Take) -> Claim {
    Claim {
        key: Key::new(dimension, &[of.as_bytes()]),
        allowance: Allowance::per_minute(per_minute, burst),
        take,
    }
}

fn about(wait: Duration, seconds: u64) -> bool {
    // The clock of the wall went on since.
    (Duration::from_secs(seconds - 1)..=Duration::from_secs(seconds)).contains(&wait)
}

#[tokio::test]
async fn both_stores_decide_alike() {
    let server = RedisServer::start();
    let shared = Shared::new(settings(&server.url(), PATIENT));
    for store in [Under::Memory(Memory::new()), Under::Shared(shared)] {
        a_burst_and_then_one_per_interval(&store).await;
        all_or_nothing(&store).await;
        the_longest_wait_is_told(&store).await;
        a_look_takes_nothing_and_a_charge_is_not_refused(&store).await;
        what_was_spent_comes_back(&store).await;
        an_allowance_that_shrinks_forgives(&store).await;
    }
}

async fn a_burst_and_then_one_per_interval(store: &Under) {
    let one = |of| claim(Dimension::Caller, of, 2, 3, Take::One);
    for _ in 0..3 {
        assert_eq!(store.decide(&[one("a")]).await, Ok(()));
    }
    let (dimension, wait) = store.decide(&[one("a")]).await.unwrap_err();
    assert_eq!(dimension, Dimension::Caller);
    assert!(about(wait, 30), "{wait:?}");
    assert_eq!(store.decide(&[one("b")]).await, Ok(()));
}

async fn all_or_nothing(store: &Under) {
    let free = claim(Dimension::Caller, "all", 1, 1, Take::One);
    let spent = claim(Dimension::Instance, "all", 1, 1, Take::One);
    assert_eq!(store.decide(&[spent]).await, Ok(()));
    for _ in 0..3 {
        let (dimension, _) = store.decide(&[free, spent]).await.unwrap_err();
        assert_eq!(dimension, Dimension::Instance);
    }
    assert_eq!(store.decide(&[free]).await, Ok(()));
    assert!(store.decide(&[free]).await.is_err());
}

async fn the_longest_wait_is_told(store: &Under) {
    let quick = claim(Dimension::Caller, "longest", 4, 1, Take::One);
    let slow = claim(Dimension::Instance, "longest", 1, 1, Take::One);
    let middle = claim(Dimension::Tool(ToolClass::Read), "longest", 2, 1, Take::One);
    let claims = [quick, slow, middle];
    assert_eq!(store.decide(&claims).await, Ok(()));
    let (dimension, wait) = store.decide(&claims).await.unwrap_err();
    assert_eq!(dimension, Dimension::Instance);
    assert!(about(wait, 60), "{wait:?}");
}

async fn a_look_takes_nothing_and_a_charge_is_not_refused(store: &Under) {
    let rows = |take| claim(Dimension::Rows, "rows", 60, 60, take);
    for _ in 0..100 {
        assert_eq!(store.decide(&[rows(Take::Look)]).await, Ok(()));
    }
    for _ in 0..2 {
        assert_eq!(store.decide(&[rows(Take::Charge(45))]).await, Ok(()));
    }
    let (_, wait) = store.decide(&[rows(Take::Look)]).await.unwrap_err();
    assert!(about(wait, 31), "{wait:?}");
    assert_eq!(store.decide(&[rows(Take::Charge(u64::MAX))]).await, Ok(()));
    let (_, wait) = store.decide(&[rows(Take::Look)]).await.unwrap_err();
    assert!(about(wait, 541), "{wait:?}");
}

async fn what_was_spent_comes_back(store: &Under) {
    let one = claim(Dimension::Caller, "back", 600, 1, Take::One);
    for _ in 0..3 {
        let (_, wait) = loop {
            if let Err(told) = store.decide(&[one]).await {
                break told;
            }
        };
        assert!(wait <= Duration::from_millis(100), "{wait:?}");
        tokio::time::sleep(wait).await;
        assert_eq!(store.decide(&[one]).await, Ok(()));
    }
}

async fn an_allowance_that_shrinks_forgives(store: &Under) {
    let before = claim(Dimension::Caller, "shrinks", 1, 60, Take::Charge(60));
    assert_eq!(store.decide(&[before]).await, Ok(()));
    let after = claim(Dimension::Caller, "shrinks", 60, 1, Take::One);
    let (_, wait) = store.decide(&[after]).await.unwrap_err();
    assert!(about(wait, 10), "{wait:?}");
}

// With a clock that jumps while it runs: `tests/it/faults/clock.rs`.
#[tokio::test]
async fn a_clock_of_redis_that_was_set_back_neither_locks_out_nor_forgives() {
    let server = RedisServer::start();
    let store = Under::Shared(Shared::new(settings(&server.url(), PATIENT)));
    let one = claim(Dimension::Caller, "clock", 60, 2, Take::One);
    // Noted in the year 5138, when so many seconds were owed.
    let noted = 99_999_999_999_000_000_u64;
    let set_back = |owed: u64| {
        let paid = noted + owed * 1_000_000;
        server.say(&format!("SET {} \"{paid} {noted}\"", one.key.name("test:")));
    };
    set_back(2);
    let (_, wait) = store.decide(&[one]).await.unwrap_err();
    assert!(wait <= Duration::from_secs(1), "{wait:?}");
    // And it is paid back from now on.
    tokio::time::sleep(wait).await;
    assert_eq!(store.decide(&[one]).await, Ok(()));
    set_back(1);
    assert_eq!(store.decide(&[one]).await, Ok(()));
    assert!(store.decide(&[one]).await.is_err());
    // Never more than what could have been used up.
    set_back(1 << 20);
    let (_, wait) = store.decide(&[one]).await.unwrap_err();
    assert!(about(wait, 19), "{wait:?}");
}

#[tokio::test]
async fn keys_are_gone_when_the_allowance_is_whole() {
    let server = RedisServer::start();
    let store = Under::Shared(Shared::new(settings(&server.url(), PATIENT)));
    let quick = claim(Dimension::Address, "x", 60_000, 1_000, Take::One);
    let slow = claim(Dimension::Caller, "x", 1, 1, Take::One);
    assert_eq!(store.decide(&[quick, slow]).await, Ok(()));
    let left = |key: &Key| -> i64 {
        let said = server.say(&format!("PTTL {}", key.name("test:")));
        let number = said.trim_start_matches(':').split('\r').next().unwrap();
        number.parse().unwrap()
    };
    // -2: it is gone.
    assert!((-2..=1).contains(&left(&quick.key)));
    assert!((1..=60_000).contains(&left(&slow.key)));
}

#[tokio::test]
async fn a_script_that_redis_forgot_is_sent_again() {
    let server = RedisServer::start();
    let store = Under::Shared(Shared::new(settings(&server.url(), PATIENT)));
    let one = claim(Dimension::Caller, "script", 60, 9, Take::One);
    assert_eq!(store.decide(&[one]).await, Ok(()));
    server.say("SCRIPT FLUSH");
    assert_eq!(store.decide(&[one]).await, Ok(()));
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_not_noticed() {
    let server = RedisServer::start();
    let pool = pool(&server.url(), PATIENT, WhenDown::FailClosed);
    let limiter = limiter(Some(pool));
    for subject in ["mara", "lena", "nora"] {
        let told = call(&limiter, &caller(subject, &[])).await;
        assert_eq!(told, (Ok(()), Store::Redis));
        server.say("CLIENT KILL TYPE normal");
    }
}

#[tokio::test]
async fn redis_is_reached_by_socket_by_tls_and_with_a_user_who_may_little() {
    let server = RedisServer::start();
    let socket = format!("unix://{}", server.socket().display());
    Shared::new(settings(&socket, PATIENT))
        .redis
        .examine()
        .await
        .unwrap();

    server.say("ACL SETUSER gatepost on >hunter2 ~test:* +evalsha +script|load +time +get +set");
    server.say("ACL SETUSER default off");
    let url = server.url().replace("redis://", "redis://gatepost@");
    let with = |password: &str| RedisSettings {
        password: Some(Password::new(password)),
        ..settings(&url, PATIENT)
    };
    Shared::new(with("hunter2")).redis.examine().await.unwrap();
    let refused = Shared::new(with("*******"))
        .redis
        .examine()
        .await
        .unwrap_err();
    assert!(matches!(refused, Away::Refused(_)), "{refused}");
    let shown = format!("{:?} {refused}", Shared::new(with("hunter2")));
    assert!(!shown.contains("hunter2"), "{shown}");

    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(file("cert.pem"), certified.cert.pem()).unwrap();
    std::fs::write(file("key.pem"), certified.signing_key.serialize_pem()).unwrap();
    let (cert, key) = (file("cert.pem"), file("key.pem"));
    let options = [
        "--port",
        "0",
        "--tls-auth-clients",
        "no",
        "--tls-ca-cert-file",
        &cert,
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
    ];
    let secure = RedisServer::start_with("--tls-port", &options, &[]);
    let url = format!("rediss://localhost:{}", secure.port);
    let trusting = RedisSettings {
        tls: Arc::new(gatepost_tls::client(Some(cert.as_ref())).unwrap()),
        ..settings(&url, PATIENT)
    };
    assert!(CertificateDer::from_pem_file(&cert).is_ok());
    Shared::new(trusting).redis.examine().await.unwrap();
    let stranger = Shared::new(settings(&url, PATIENT)).redis.examine().await;
    assert!(matches!(stranger, Err(Away::Gone(_))), "{stranger:?}");
}

#[test]
fn a_flood_of_addresses_stays_bounded_and_pushes_out_no_caller() {
    let (memory, now) = (Memory::new(), Instant::now());
    let caller = claim(Dimension::Caller, "mara", 1, 1, Take::One);
    memory.decide(&[caller], now).unwrap();
    for number in 0..200_000_u32 {
        let claim = Claim {
            key: Key::new(Dimension::Address, &[&number.to_be_bytes()]),
            ..caller
        };
        assert!(memory.decide(&[claim], now).is_ok());
    }
    assert!(memory.addresses() <= 50_000, "{}", memory.addresses());
    assert!(memory.decide(&[caller], now).is_err());
}

fn caller(subject: &str, roles: &[&str]) -> Caller {
    Caller {
        issuer: "https://id.example.com".to_owned(),
        kind: CallerKind::User,
        subject: Subject::proved(subject),
        name: None,
        roles: roles
            .iter()
            .map(|role| RoleName::try_from(*role).unwrap())
            .collect(),
        credential: None,
    }
}

/// A limiter in which only calls of one caller are bounded: six at once.
fn limiter(pool: Option<Pool>) -> Limiter {
    let plenty = Rates::default();
    let rates = Rates {
        caller: CallerRates {
            calls: Allowance::per_minute(1, 6),
            ..plenty.caller
        },
        ..plenty
    };
    Limiter::new(rates, pool)
}

async fn call(limiter: &Limiter, caller: &Caller) -> (Result<(), Limited>, Store) {
    let mut counted: Vec<Counted> = Vec::new();
    let instance = InstanceName::try_from("production").unwrap();
    let now = Instant::now();
    let told = limiter
        .call(caller, &instance, ToolClass::Read, true, now, &mut counted)
        .await;
    let words: Vec<Outcome> = counted.iter().map(|one| one.outcome).collect();
    match told {
        Ok(()) => assert_eq!(words, [Outcome::Allowed; 5]),
        Err(Limited::Exceeded { .. }) => assert_eq!(words, [Outcome::Limited]),
        Err(Limited::Uncounted { .. }) => assert_eq!(words, [Outcome::Uncounted; 5]),
    }
    (told, counted[0].store)
}

/// How many calls go through before one does not.
async fn calls(limiter: &Limiter, caller: &Caller) -> usize {
    let mut through = 0;
    while call(limiter, caller).await.0.is_ok() {
        through += 1;
    }
    through
}

fn pool(url: &str, timeout: Duration, when_down: WhenDown) -> Pool {
    Pool::new(settings(url, timeout), when_down, 2)
}

#[tokio::test]
async fn two_replicas_hold_one_allowance_and_without_redis_a_share_each() {
    let mut server = RedisServer::start();
    let pools = [(); 2].map(|()| pool(&server.url(), PATIENT, WhenDown::Local));
    let [one, two] = pools.clone().map(|pool| limiter(Some(pool)));
    let mara = caller("mara", &[]);
    for limiter in [&one, &two, &one] {
        assert_eq!(call(limiter, &mara).await, (Ok(()), Store::Redis));
    }
    assert_eq!(calls(&two, &mara).await, 3);
    // One knows only of its own two.
    let (told, store) = call(&one, &mara).await;
    assert!(matches!(told, Err(Limited::Exceeded { .. })), "{told:?}");
    assert_eq!(store, Store::Redis);
    assert_eq!(call(&one, &mara).await.1, Store::Memory);

    server.kill();
    let lena = caller("lena", &[]);
    for limiter in [&one, &two] {
        assert_eq!(calls(limiter, &lena).await, 3);
    }
    for pool in &pools {
        pool.shared.redis.until(false).await;
    }
    server.restart();
    for pool in &pools {
        pool.shared.redis.until(true).await;
    }
    let nora = caller("nora", &[]);
    assert_eq!(call(&one, &nora).await, (Ok(()), Store::Redis));
    assert_eq!(calls(&two, &nora).await, 5);
}

#[tokio::test]
async fn a_redis_that_hangs_costs_nobody_more_than_its_time_and_soon_nothing() {
    let server = RedisServer::start();
    let limit = Duration::from_millis(500);
    let pool = pool(&server.url(), limit, WhenDown::Local);
    let limiter = limiter(Some(pool.clone()));
    assert_eq!(call(&limiter, &caller("0", &[])).await.1, Store::Redis);
    server.stall();
    for number in 1..=6 {
        let begun = Instant::now();
        let told = call(&limiter, &caller(&number.to_string(), &[])).await;
        assert_eq!(told, (Ok(()), Store::Share));
        let most = if number > 3 { limit } else { limit * 3 };
        assert!(begun.elapsed() < most, "{number}: {:?}", begun.elapsed());
    }
    assert_eq!(pool.shared.redis.is_here(), Some(false));
    server.resume();
    pool.shared.redis.until(true).await;
    assert_eq!(call(&limiter, &caller("7", &[])).await.1, Store::Redis);
}

#[tokio::test]
async fn where_nothing_may_go_uncounted_nothing_goes_on_without_redis() {
    let mut server = RedisServer::start();
    let pool = pool(&server.url(), PATIENT, WhenDown::FailClosed);
    let limiter = limiter(Some(pool.clone()));
    let mara = caller("mara", &[]);
    assert!(call(&limiter, &mara).await.0.is_ok());
    server.kill();
    let (told, _) = call(&limiter, &mara).await;
    assert!(matches!(told, Err(Limited::Uncounted { .. })), "{told:?}");
    server.restart();
    pool.shared.redis.until(true).await;
    assert!(call(&limiter, &mara).await.0.is_ok());
}

#[tokio::test]
async fn answers_without_sense_are_no_answers() {
    for nonsense in [
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "+OK\r\n+OK\r\n+OK\r\n",
        "*2\r\n:9\r\n:1\r\n*2\r\n:9\r\n:1\r\n",
        ":-1\r\n:-1\r\n",
        "*99999999\r\n",
        "$99999999999\r\n",
        "*1\r\n*1\r\n*1\r\n",
        "\0\0\0\0",
        "",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let talking = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                drop(stream.write_all(nonsense.as_bytes()).await);
            }
        });
        let pool = pool(&url, Duration::from_millis(200), WhenDown::Local);
        let told = call(&limiter(Some(pool)), &caller("mara", &[])).await;
        assert_eq!(told, (Ok(()), Store::Share), "{nonsense:?}");
        talking.abort();
    }
}

#[tokio::test]
async fn what_was_read_is_made_up_for_before_the_next_call() {
    let plenty = Rates::default();
    let rates = Rates {
        caller: CallerRates {
            rows: Allowance::per_minute(60, 60),
            ..plenty.caller
        },
        ..plenty
    };
    let server = RedisServer::start();
    let pool = pool(&server.url(), PATIENT, WhenDown::Local);
    let limiters = [
        Limiter::new(rates.clone(), None),
        Limiter::new(rates, Some(pool)),
    ];
    for limiter in limiters {
        let mara = caller("mara", &[]);
        assert!(call(&limiter, &mara).await.0.is_ok());
        limiter.read(&mara, 70, 1_000, Instant::now());
        let (told, _) = call(&limiter, &mara).await;
        let told = told.unwrap_err();
        let rows = matches!(
            told,
            Limited::Exceeded {
                dimension: Dimension::Rows,
                ..
            }
        );
        assert!(rows && told.retry_after().as_secs() == 11, "{told}");
        assert!(call(&limiter, &caller("lena", &[])).await.0.is_ok());
    }
}

#[tokio::test]
async fn of_several_roles_the_most_generous_counts() {
    let plenty = Rates::default();
    let of = |burst| CallerRates {
        calls: Allowance::per_minute(1, burst),
        ..plenty.caller
    };
    let role = |name: &str| RoleName::try_from(name).unwrap();
    let rates = Rates {
        caller: of(3),
        by_role: [(role("guest"), of(1)), (role("batch"), of(5))].into(),
        ..plenty.clone()
    };
    let limiter = Limiter::new(rates, None);
    for (name, roles, most) in [
        ("a", &["guest"][..], 1),
        ("b", &["batch", "guest"], 5),
        ("c", &["guest", "reader"], 3),
        ("d", &[], 3),
    ] {
        assert_eq!(calls(&limiter, &caller(name, roles)).await, most, "{name}");
    }
}

#[tokio::test]
async fn a_reload_gives_nothing_back() {
    let server = RedisServer::start();
    let pooled = || Some(pool(&server.url(), PATIENT, WhenDown::Local));
    let mara = caller("mara", &[]);
    for pool in [None, pooled()] {
        let old = limiter(pool.clone());
        assert_eq!(calls(&old, &mara).await, 6);
        let new = limiter(pool.and_then(|_| pooled())).after(&old);
        assert_eq!(calls(&new, &mara).await, 0);
        assert_eq!(new.redis_is_here(), old.redis_is_here());
        server.say("FLUSHALL");
    }
}

#[tokio::test]
async fn an_address_is_counted_by_itself_and_a_network_of_ipv6_as_one() {
    let rates = Rates {
        address: Allowance::per_minute(1, 1),
        ..Rates::default()
    };
    let limiter = Limiter::new(rates, None);
    let arrive = async |text: &str| {
        let address: IpAddr = text.parse().unwrap();
        limiter
            .arrive(Some(address), Instant::now(), &mut Vec::new())
            .await
            .is_ok()
    };
    assert!(arrive("192.0.2.1").await);
    assert!(!arrive("192.0.2.1").await);
    assert!(!arrive("::ffff:192.0.2.1").await);
    assert!(arrive(&Ipv4Addr::new(192, 0, 2, 2).to_string()).await);
    assert!(arrive("2001:db8::1").await);
    assert!(!arrive("2001:db8::2").await);
}
