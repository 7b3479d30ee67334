//! The same tests for both limiters, and behaviour while Redis is unavailable.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use tokio::{io::AsyncWriteExt as _, net::TcpListener};

use super::{
    CallerRates, LimitDecision, LimitOutcome, LimitScope, LimitStore, Limiter, LimiterFailureMode,
    Rate, RateLimited, Rates, SharedLimiter, ToolClass,
    memory::LocalLimiter,
    request::{LimitKey, RateCost, RateRequest},
    shared::RedisLimiter,
};
use crate::redis::{
    RedisPassword, RedisSettings, RedisUnavailable, RedisUrl, redis_server::RedisServer,
};
use gatepost_base::{InstanceName, RoleName, Subject};
use gatepost_identity::{Caller, CallerKind};

/// Long, because the tests share two cores; tests about time use their own.
const PATIENT: Duration = Duration::from_secs(5);

fn settings(url: &str, timeout: Duration) -> RedisSettings {
    RedisSettings {
        url: RedisUrl::parse(url).unwrap(),
        password: None,
        tls: Arc::new(gatepost_tls::client_config(None).unwrap()),
        ca_file: None,
        timeout,
        prefix: "test:".to_owned(),
    }
}

/// A limiter under test.
enum LimiterUnderTest {
    Memory(LocalLimiter),
    Shared(Arc<RedisLimiter>),
}

impl LimiterUnderTest {
    async fn decide(&self, claims: &[RateRequest]) -> Result<(), (LimitScope, Duration)> {
        match self {
            Self::Memory(memory) => memory.decide(claims, Instant::now()),
            Self::Shared(shared) => shared
                .decide(claims)
                .await
                .unwrap()
                .map_err(|(index, wait)| (claims[index].key.scope, wait)),
        }
    }
}

fn rate_request(
    dimension: LimitScope,
    of: &str,
    per_minute: u32,
    burst: u32,
    take: RateCost,
) -> RateRequest {
    RateRequest {
        key: LimitKey::new(dimension, &[of.as_bytes()]),
        rate: Rate::per_minute(per_minute, burst),
        cost: take,
    }
}

fn is_about(wait: Duration, seconds: u64) -> bool {
    // The wall clock has advanced since.
    (Duration::from_secs(seconds - 1)..=Duration::from_secs(seconds)).contains(&wait)
}

#[tokio::test]
async fn local_and_redis_limiters_behave_the_same() {
    let server = RedisServer::start();
    let shared = RedisLimiter::new(settings(&server.url(), PATIENT));
    for store in [
        LimiterUnderTest::Memory(LocalLimiter::new()),
        LimiterUnderTest::Shared(shared),
    ] {
        burst_then_one_per_interval(&store).await;
        rejected_decision_charges_nothing(&store).await;
        longest_wait_is_reported(&store).await;
        check_spends_nothing_and_charge_is_never_rejected(&store).await;
        spent_usage_refills(&store).await;
        lowered_rate_caps_existing_debt(&store).await;
    }
}

async fn burst_then_one_per_interval(store: &LimiterUnderTest) {
    let one = |of| rate_request(LimitScope::Caller, of, 2, 3, RateCost::One);
    for _ in 0..3 {
        assert_eq!(store.decide(&[one("a")]).await, Ok(()));
    }
    let (dimension, wait) = store.decide(&[one("a")]).await.unwrap_err();
    assert_eq!(dimension, LimitScope::Caller);
    assert!(is_about(wait, 30), "{wait:?}");
    assert_eq!(store.decide(&[one("b")]).await, Ok(()));
}

async fn rejected_decision_charges_nothing(store: &LimiterUnderTest) {
    let free = rate_request(LimitScope::Caller, "all", 1, 1, RateCost::One);
    let spent = rate_request(LimitScope::Instance, "all", 1, 1, RateCost::One);
    assert_eq!(store.decide(&[spent]).await, Ok(()));
    for _ in 0..3 {
        let (dimension, _) = store.decide(&[free, spent]).await.unwrap_err();
        assert_eq!(dimension, LimitScope::Instance);
    }
    assert_eq!(store.decide(&[free]).await, Ok(()));
    assert!(store.decide(&[free]).await.is_err());
}

async fn longest_wait_is_reported(store: &LimiterUnderTest) {
    let quick = rate_request(LimitScope::Caller, "longest", 4, 1, RateCost::One);
    let slow = rate_request(LimitScope::Instance, "longest", 1, 1, RateCost::One);
    let middle = rate_request(
        LimitScope::Tool(ToolClass::Read),
        "longest",
        2,
        1,
        RateCost::One,
    );
    let claims = [quick, slow, middle];
    assert_eq!(store.decide(&claims).await, Ok(()));
    let (dimension, wait) = store.decide(&claims).await.unwrap_err();
    assert_eq!(dimension, LimitScope::Instance);
    assert!(is_about(wait, 60), "{wait:?}");
}

async fn check_spends_nothing_and_charge_is_never_rejected(store: &LimiterUnderTest) {
    let rows = |take| rate_request(LimitScope::Rows, "rows", 60, 60, take);
    for _ in 0..100 {
        assert_eq!(store.decide(&[rows(RateCost::CheckOnly)]).await, Ok(()));
    }
    for _ in 0..2 {
        assert_eq!(
            store.decide(&[rows(RateCost::AlreadyUsed(45))]).await,
            Ok(())
        );
    }
    let (_, wait) = store
        .decide(&[rows(RateCost::CheckOnly)])
        .await
        .unwrap_err();
    assert!(is_about(wait, 31), "{wait:?}");
    assert_eq!(
        store.decide(&[rows(RateCost::AlreadyUsed(u64::MAX))]).await,
        Ok(())
    );
    let (_, wait) = store
        .decide(&[rows(RateCost::CheckOnly)])
        .await
        .unwrap_err();
    assert!(is_about(wait, 541), "{wait:?}");
}

async fn spent_usage_refills(store: &LimiterUnderTest) {
    let one = rate_request(LimitScope::Caller, "back", 600, 1, RateCost::One);
    for _ in 0..3 {
        let (_, wait) = loop {
            if let Err(result) = store.decide(&[one]).await {
                break result;
            }
        };
        assert!(wait <= Duration::from_millis(100), "{wait:?}");
        tokio::time::sleep(wait).await;
        assert_eq!(store.decide(&[one]).await, Ok(()));
    }
}

async fn lowered_rate_caps_existing_debt(store: &LimiterUnderTest) {
    let before = rate_request(
        LimitScope::Caller,
        "shrinks",
        1,
        60,
        RateCost::AlreadyUsed(60),
    );
    assert_eq!(store.decide(&[before]).await, Ok(()));
    let after = rate_request(LimitScope::Caller, "shrinks", 60, 1, RateCost::One);
    let (_, wait) = store.decide(&[after]).await.unwrap_err();
    assert!(is_about(wait, 10), "{wait:?}");
}

// For a clock that jumps at run time see `tests/it/faults/clock.rs`.
#[tokio::test]
async fn redis_clock_set_back_neither_blocks_nor_resets_usage() {
    let server = RedisServer::start();
    let store = LimiterUnderTest::Shared(RedisLimiter::new(settings(&server.url(), PATIENT)));
    let one = rate_request(LimitScope::Caller, "clock", 60, 2, RateCost::One);
    // Stored in the year 5138 with this much debt.
    let noted = 99_999_999_999_000_000_u64;
    let set_back = |owed: u64| {
        let paid = noted + owed * 1_000_000;
        server.say(&format!(
            "SET {} \"{paid} {noted}\"",
            one.key.redis_name("test:")
        ));
    };
    set_back(2);
    let (_, wait) = store.decide(&[one]).await.unwrap_err();
    assert!(wait <= Duration::from_secs(1), "{wait:?}");
    // And it is refilled from now on.
    tokio::time::sleep(wait).await;
    assert_eq!(store.decide(&[one]).await, Ok(()));
    set_back(1);
    assert_eq!(store.decide(&[one]).await, Ok(()));
    assert!(store.decide(&[one]).await.is_err());
    // Never more than the largest possible debt.
    set_back(1 << 20);
    let (_, wait) = store.decide(&[one]).await.unwrap_err();
    assert!(is_about(wait, 19), "{wait:?}");
}

#[tokio::test]
async fn redis_keys_expire_when_the_rate_is_refilled() {
    let server = RedisServer::start();
    let store = LimiterUnderTest::Shared(RedisLimiter::new(settings(&server.url(), PATIENT)));
    let quick = rate_request(LimitScope::Address, "x", 60_000, 1_000, RateCost::One);
    let slow = rate_request(LimitScope::Caller, "x", 1, 1, RateCost::One);
    assert_eq!(store.decide(&[quick, slow]).await, Ok(()));
    let left = |key: &LimitKey| -> i64 {
        let said = server.say(&format!("PTTL {}", key.redis_name("test:")));
        let number = said.trim_start_matches(':').split('\r').next().unwrap();
        number.parse().unwrap()
    };
    // -2: the key does not exist.
    assert!((-2..=1).contains(&left(&quick.key)));
    assert!((1..=60_000).contains(&left(&slow.key)));
}

#[tokio::test]
async fn flushed_script_is_sent_again() {
    let server = RedisServer::start();
    let store = LimiterUnderTest::Shared(RedisLimiter::new(settings(&server.url(), PATIENT)));
    let one = rate_request(LimitScope::Caller, "script", 60, 9, RateCost::One);
    assert_eq!(store.decide(&[one]).await, Ok(()));
    server.say("SCRIPT FLUSH");
    assert_eq!(store.decide(&[one]).await, Ok(()));
}

#[tokio::test]
async fn closed_connection_is_replaced_without_error() {
    let server = RedisServer::start();
    let pool = pool(&server.url(), PATIENT, LimiterFailureMode::FailClosed);
    let limiter = limiter(Some(pool));
    for subject in ["mara", "lena", "nora"] {
        let result = check_call(&limiter, &caller(subject, &[])).await;
        assert_eq!(result, (Ok(()), LimitStore::Redis));
        server.say("CLIENT KILL TYPE normal");
    }
}

#[tokio::test]
async fn redis_works_over_socket_and_tls_and_with_a_restricted_user() {
    let server = RedisServer::start();
    let socket = format!("unix://{}", server.socket().display());
    RedisLimiter::new(settings(&socket, PATIENT))
        .redis
        .probe_new_connection()
        .await
        .unwrap();

    server.say("ACL SETUSER gatepost on >hunter2 ~test:* +evalsha +script|load +time +get +set");
    server.say("ACL SETUSER default off");
    let url = server.url().replace("redis://", "redis://gatepost@");
    let with = |password: &str| RedisSettings {
        password: Some(RedisPassword::new(password)),
        ..settings(&url, PATIENT)
    };
    RedisLimiter::new(with("hunter2"))
        .redis
        .probe_new_connection()
        .await
        .unwrap();
    let rejected = RedisLimiter::new(with("*******"))
        .redis
        .probe_new_connection()
        .await
        .unwrap_err();
    assert!(
        matches!(rejected, RedisUnavailable::Refused(_)),
        "{rejected}"
    );
    let shown = format!("{:?} {rejected}", RedisLimiter::new(with("hunter2")));
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
        tls: Arc::new(gatepost_tls::client_config(Some(cert.as_ref())).unwrap()),
        ..settings(&url, PATIENT)
    };
    assert!(CertificateDer::from_pem_file(&cert).is_ok());
    RedisLimiter::new(trusting)
        .redis
        .probe_new_connection()
        .await
        .unwrap();
    let stranger = RedisLimiter::new(settings(&url, PATIENT))
        .redis
        .probe_new_connection()
        .await;
    assert!(
        matches!(stranger, Err(RedisUnavailable::Handshake(_))),
        "{stranger:?}"
    );
}

#[test]
fn address_flood_is_bounded_and_evicts_no_caller() {
    let (memory, now) = (LocalLimiter::new(), Instant::now());
    let caller = rate_request(LimitScope::Caller, "mara", 1, 1, RateCost::One);
    memory.decide(&[caller], now).unwrap();
    for number in 0..200_000_u32 {
        let claim = RateRequest {
            key: LimitKey::new(LimitScope::Address, &[&number.to_be_bytes()]),
            ..caller
        };
        assert!(memory.decide(&[claim], now).is_ok());
    }
    assert!(
        memory.address_count() <= 50_000,
        "{}",
        memory.address_count()
    );
    assert!(memory.decide(&[caller], now).is_err());
}

fn caller(subject: &str, roles: &[&str]) -> Caller {
    Caller {
        issuer: "https://id.example.com".to_owned(),
        kind: CallerKind::User,
        subject: Subject::verified(subject),
        name: None,
        roles: roles
            .iter()
            .map(|role| RoleName::try_from(*role).unwrap())
            .collect(),
        credential: None,
    }
}

/// A limiter that limits only the calls of a caller, to a burst of six.
fn limiter(pool: Option<SharedLimiter>) -> Limiter {
    let plenty = Rates::default();
    let rates = Rates {
        caller: CallerRates {
            calls: Rate::per_minute(1, 6),
            ..plenty.caller
        },
        ..plenty
    };
    Limiter::new(rates, pool)
}

async fn check_call(limiter: &Limiter, caller: &Caller) -> (Result<(), RateLimited>, LimitStore) {
    let mut counted: Vec<LimitDecision> = Vec::new();
    let instance = InstanceName::try_from("production").unwrap();
    let now = Instant::now();
    let result = limiter
        .check_call(caller, &instance, ToolClass::Read, true, now, &mut counted)
        .await;
    let words: Vec<LimitOutcome> = counted.iter().map(|one| one.outcome).collect();
    match result {
        Ok(()) => assert_eq!(words, [LimitOutcome::Allowed; 5]),
        Err(RateLimited::Exceeded { .. }) => assert_eq!(words, [LimitOutcome::Limited]),
        Err(RateLimited::LimiterUnavailable { .. }) => {
            assert_eq!(words, [LimitOutcome::Unavailable; 5]);
        }
    }
    (result, counted[0].store)
}

/// The number of calls that pass before one is rejected.
async fn allowed_calls(limiter: &Limiter, caller: &Caller) -> usize {
    let mut through = 0;
    while check_call(limiter, caller).await.0.is_ok() {
        through += 1;
    }
    through
}

fn pool(url: &str, timeout: Duration, when_down: LimiterFailureMode) -> SharedLimiter {
    SharedLimiter::new(settings(url, timeout), when_down, 2)
}

#[tokio::test]
async fn replicas_share_one_rate_and_split_it_without_redis() {
    let mut server = RedisServer::start();
    let pools = [(); 2].map(|()| pool(&server.url(), PATIENT, LimiterFailureMode::LocalShare));
    let [one, two] = pools.clone().map(|pool| limiter(Some(pool)));
    let mara = caller("mara", &[]);
    for limiter in [&one, &two, &one] {
        assert_eq!(
            check_call(limiter, &mara).await,
            (Ok(()), LimitStore::Redis)
        );
    }
    assert_eq!(allowed_calls(&two, &mara).await, 3);
    // Each replica counts only its own two.
    let (result, store) = check_call(&one, &mara).await;
    assert!(
        matches!(result, Err(RateLimited::Exceeded { .. })),
        "{result:?}"
    );
    assert_eq!(store, LimitStore::Redis);
    assert_eq!(check_call(&one, &mara).await.1, LimitStore::Memory);

    server.kill();
    let lena = caller("lena", &[]);
    for limiter in [&one, &two] {
        assert_eq!(allowed_calls(limiter, &lena).await, 3);
    }
    for pool in &pools {
        pool.redis_limiter.redis.wait_until_connected(false).await;
    }
    server.restart();
    for pool in &pools {
        pool.redis_limiter.redis.wait_until_connected(true).await;
    }
    let nora = caller("nora", &[]);
    assert_eq!(check_call(&one, &nora).await, (Ok(()), LimitStore::Redis));
    assert_eq!(allowed_calls(&two, &nora).await, 5);
}

#[tokio::test]
async fn hanging_redis_costs_its_timeout_and_is_then_skipped() {
    let server = RedisServer::start();
    let limit = Duration::from_millis(500);
    let pool = pool(&server.url(), limit, LimiterFailureMode::LocalShare);
    let limiter = limiter(Some(pool.clone()));
    assert_eq!(
        check_call(&limiter, &caller("0", &[])).await.1,
        LimitStore::Redis
    );
    server.stall();
    for number in 1..=6 {
        let begun = Instant::now();
        let result = check_call(&limiter, &caller(&number.to_string(), &[])).await;
        assert_eq!(result, (Ok(()), LimitStore::LocalShare));
        let most = if number > 3 { limit } else { limit * 3 };
        assert!(begun.elapsed() < most, "{number}: {:?}", begun.elapsed());
    }
    assert_eq!(pool.redis_limiter.redis.is_connected(), Some(false));
    server.resume();
    pool.redis_limiter.redis.wait_until_connected(true).await;
    assert_eq!(
        check_call(&limiter, &caller("7", &[])).await.1,
        LimitStore::Redis
    );
}

#[tokio::test]
async fn fail_closed_limiter_rejects_calls_without_redis() {
    let mut server = RedisServer::start();
    let pool = pool(&server.url(), PATIENT, LimiterFailureMode::FailClosed);
    let limiter = limiter(Some(pool.clone()));
    let mara = caller("mara", &[]);
    assert!(check_call(&limiter, &mara).await.0.is_ok());
    server.kill();
    let (result, _) = check_call(&limiter, &mara).await;
    assert!(
        matches!(result, Err(RateLimited::LimiterUnavailable { .. })),
        "{result:?}"
    );
    server.restart();
    pool.redis_limiter.redis.wait_until_connected(true).await;
    assert!(check_call(&limiter, &mara).await.0.is_ok());
}

#[tokio::test]
async fn malformed_redis_replies_count_as_unavailable() {
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
        let pool = pool(
            &url,
            Duration::from_millis(200),
            LimiterFailureMode::LocalShare,
        );
        let result = check_call(&limiter(Some(pool)), &caller("mara", &[])).await;
        assert_eq!(result, (Ok(()), LimitStore::LocalShare), "{nonsense:?}");
        talking.abort();
    }
}

#[tokio::test]
async fn rows_read_over_the_rate_delay_the_next_call() {
    let plenty = Rates::default();
    let rates = Rates {
        caller: CallerRates {
            rows: Rate::per_minute(60, 60),
            ..plenty.caller
        },
        ..plenty
    };
    let server = RedisServer::start();
    let pool = pool(&server.url(), PATIENT, LimiterFailureMode::LocalShare);
    let limiters = [
        Limiter::new(rates.clone(), None),
        Limiter::new(rates, Some(pool)),
    ];
    for limiter in limiters {
        let mara = caller("mara", &[]);
        assert!(check_call(&limiter, &mara).await.0.is_ok());
        limiter.charge_read(&mara, 70, 1_000, Instant::now());
        let (result, _) = check_call(&limiter, &mara).await;
        let result = result.unwrap_err();
        let rows = matches!(
            result,
            RateLimited::Exceeded {
                scope: LimitScope::Rows,
                ..
            }
        );
        assert!(rows && result.retry_after().as_secs() == 11, "{result}");
        assert!(check_call(&limiter, &caller("lena", &[])).await.0.is_ok());
    }
}

#[tokio::test]
async fn most_generous_role_rate_applies() {
    let plenty = Rates::default();
    let of = |burst| CallerRates {
        calls: Rate::per_minute(1, burst),
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
        assert_eq!(
            allowed_calls(&limiter, &caller(name, roles)).await,
            most,
            "{name}"
        );
    }
}

#[tokio::test]
async fn reload_keeps_spent_usage() {
    let server = RedisServer::start();
    let pooled = || Some(pool(&server.url(), PATIENT, LimiterFailureMode::LocalShare));
    let mara = caller("mara", &[]);
    for pool in [None, pooled()] {
        let old = limiter(pool.clone());
        assert_eq!(allowed_calls(&old, &mara).await, 6);
        let new = limiter(pool.and_then(|_| pooled())).with_state_of(&old);
        assert_eq!(allowed_calls(&new, &mara).await, 0);
        assert_eq!(new.is_redis_connected(), old.is_redis_connected());
        server.say("FLUSHALL");
    }
}

#[tokio::test]
async fn check_address_limits_each_address_and_ipv6_network() {
    let rates = Rates {
        address: Rate::per_minute(1, 1),
        ..Rates::default()
    };
    let limiter = Limiter::new(rates, None);
    let arrive = async |text: &str| {
        let address: IpAddr = text.parse().unwrap();
        limiter
            .check_address(Some(address), Instant::now(), &mut Vec::new())
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
