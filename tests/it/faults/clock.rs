//! Clocks that are set forward and back by hours while a process runs.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use odoo_sim::FaultPoint;
use serde_json::json;

use super::{
    configuration, in_parallel,
    process::{
        GatewayProcess, count_call, new_key, read_calls, read_journal, serve_command,
        verify_journal, wait_until, write_configuration,
    },
};
use crate::{
    attacks::{self, ConfigOverrides},
    idp::{Endpoint, Idp},
    redis_server::RedisServer,
    test_gateway::{TestResponse, start_fake_odoo, tool_call},
};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// The wall clock as a process reads it (libfaketime); the monotonic clock is
/// unaffected, as when an administrator sets the time.
struct FakeClock(PathBuf);

impl FakeClock {
    fn accurate(folder: &Path) -> Self {
        let clock = Self(folder.join("clock"));
        clock.set_offset(0);
        clock
    }

    /// Sets the clock wrong by this number of seconds.
    fn set_offset(&self, seconds: i64) {
        let next = self.0.with_extension("next");
        fs::write(&next, format!("{seconds:+}")).unwrap();
        fs::rename(&next, &self.0).unwrap();
    }

    fn environment(&self) -> [(&str, &str); 5] {
        [
            // With the allocator of the C library, because Redis's own reads the
            // clock before libfaketime is ready.
            (
                "LD_PRELOAD",
                "/usr/$LIB/faketime/libfaketimeMT.so.1:libc.so.6",
            ),
            ("FAKETIME_TIMESTAMP_FILE", self.0.to_str().unwrap()),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("NO_FAKE_STAT", "1"),
        ]
    }

    /// A gateway with this clock.
    fn start_gateway(&self, folder: &Path, text: &str) -> GatewayProcess {
        write_configuration(folder, text);
        let mut command: Command = serve_command(folder);
        GatewayProcess::spawn(folder, command.envs(self.environment()))
    }
}

/// The gateway's time minus the real time, in seconds.
fn clock_offset(answer: &TestResponse) -> i64 {
    let date = answer.header("date").unwrap();
    let reported = jiff::fmt::rfc2822::parse(&date).unwrap().timestamp();
    reported.as_second() - jiff::Timestamp::now().as_second()
}

#[track_caller]
fn assert_clock_offset(answer: &TestResponse, seconds: i64) {
    let known = clock_offset(answer);
    assert!((known - seconds).abs() <= 5, "{known} s");
}

/// The seconds that a rejected caller should wait.
fn retry_after_seconds(answer: &TestResponse) -> u64 {
    let (text, failed) = answer.tool_result();
    assert!(failed, "{text}");
    let rest = text.split("try again in ").nth(1).unwrap();
    rest.split(' ').next().unwrap().parse().unwrap()
}

/// A limit of one call in three seconds, with a burst of two.
const LIMITS: &str = "[limits]\ncaller_per_minute = 20\ncaller_burst = 2";

#[test]
fn gateway_clock_jump_does_not_affect_rate_limits() {
    let redis = RedisServer::start();
    let shared = format!("\n[redis]\nurl = \"{}\"\ntimeout_ms = 5_000", redis.url());
    in_parallel(["", shared.as_str()], |store| {
        let (_, odoo) = start_fake_odoo();
        let folder = tempfile::tempdir().unwrap();
        let clock = FakeClock::accurate(folder.path());
        let text = configuration(&odoo, &odoo, &format!("{LIMITS}{store}"));
        let gateway = clock.start_gateway(folder.path(), &text);
        for hours in [0, 6, -6] {
            clock.set_offset(hours * HOUR);
            // Callers are not locked out longer than the limit says.
            gateway.assert_takes_at_most(Duration::from_secs(6), || {
                wait_until("the next call", || !gateway.count().tool_result().1);
            });
            // And they get no calls beyond the limit.
            let mut through = 0;
            let reported = loop {
                let answer = gateway.count();
                assert_clock_offset(&answer, hours * HOUR);
                if answer.tool_result().1 {
                    break answer;
                }
                through += 1;
                assert!(through <= 2, "{hours}");
            };
            assert!(
                (1..=3).contains(&retry_after_seconds(&reported)),
                "{hours}: {reported:?}"
            );
            for later in [6, -6, hours] {
                clock.set_offset(later * HOUR);
                assert!(
                    (1..=3).contains(&retry_after_seconds(&gateway.count())),
                    "{hours}, {later}"
                );
            }
        }
        gateway.stop_and_read_calls();
    });
}

#[test]
fn redis_clock_jump_locks_no_caller_out_and_adds_at_most_one_burst() {
    for hours in [-6, 6] {
        let (_, odoo) = start_fake_odoo();
        let folder = tempfile::tempdir().unwrap();
        let clock = FakeClock::accurate(folder.path());
        let redis = RedisServer::start_with("--port", &[], &clock.environment());
        let shared = format!("\n[redis]\nurl = \"{}\"\ntimeout_ms = 5_000", redis.url());
        // Ten at once, and one in three seconds.
        let limits = LIMITS.replace("burst = 2", "burst = 10");
        let text = configuration(&odoo, &odoo, &format!("{limits}{shared}"));
        let [one, two] = [(); 2].map(|()| {
            let folder = tempfile::tempdir().unwrap();
            let gateway = GatewayProcess::start(folder.path(), &text);
            (gateway, folder)
        });
        let time = || {
            let said = redis.say("TIME");
            let seconds = said.lines().nth(2).unwrap();
            seconds.parse::<i64>().unwrap() - jiff::Timestamp::now().as_second()
        };
        let through = |gateway: &GatewayProcess| {
            let calls = (0..30).take_while(|_| !gateway.count().tool_result().1);
            calls.count()
        };
        assert!(time().abs() <= 5);
        for _ in 0..4 {
            assert!(!one.0.count().tool_result().1);
        }
        clock.set_offset(hours * HOUR);
        assert!((time() - hours * HOUR).abs() <= 5);
        // The rest of the limit remains, and little more.
        let left = through(&one.0);
        assert!((6..=8).contains(&left), "{hours}: {left}");
        let reported = retry_after_seconds(&one.0.count());
        assert!((1..=3).contains(&reported), "{hours}: {reported}");
        // The other one asks Redis, which expired the entry when its clock went
        // forward.
        let other = through(&two.0);
        let most = if hours < 0 { 1 } else { 10 };
        assert!(other <= most, "{hours}: {other}");
        // Afterwards time passes for both.
        one.0.assert_takes_at_most(Duration::from_secs(8), || {
            wait_until("the next call", || !one.0.count().tool_result().1);
        });
    }
}

/// Anonymous callers may create partners in `other`, with these settings.
fn write_configuration_text(odoo: &str, redis: &RedisServer, writes: &str) -> String {
    let shared = format!("[redis]\nurl = \"{}\"\ntimeout_ms = 5_000", redis.url());
    let more = format!("[instances.other]\nwrites = \"{writes}\"\nservice_key_writes = true\n");
    configuration(odoo, odoo, &shared)
        .replacen("[instances.other]\n", &more, 1)
        .replacen(
            r#"[{ models = ["*"] }]"#,
            r#"[{ models = ["*"], operations = ["read", "create"] }]"#,
            1,
        )
}

fn create_partner(gateway: &GatewayProcess, arguments: &serde_json::Value) -> TestResponse {
    let message = tool_call("create_records", arguments);
    gateway.post("/other/mcp", &[], &message)
}

/// The kind of the error of a create, if any.
fn create_error(gateway: &GatewayProcess, arguments: &serde_json::Value) -> Option<String> {
    gateway.error_kind(&create_partner(gateway, arguments))
}

fn partner(name: &str) -> serde_json::Value {
    json!({"model": "res.partner", "values": [{"name": name}], "idempotency_key": name})
}

#[test]
fn change_happens_once_whatever_the_clocks_of_gateways_and_redis_say() {
    // Of the second gateway, and of Redis once the changes are in flight.
    in_parallel(
        [(200, 0), (-200, 0), (0, 400), (0, 100_000)],
        |(ahead, jump)| {
            let (company, odoo) = start_fake_odoo();
            let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
            let clock = FakeClock::accurate(folders[0].path());
            let other_clock = FakeClock::accurate(folders[1].path());
            let redis_clock = FakeClock::accurate(folders[2].path());
            let redis = RedisServer::start_with("--port", &[], &redis_clock.environment());
            let text = write_configuration_text(&odoo, &redis, "direct");
            let one = clock.start_gateway(folders[0].path(), &text);
            let other = other_clock.start_gateway(folders[1].path(), &text);
            other_clock.set_offset(ahead);
            let lost: Vec<String> = (0..6).map(|number| format!("lost {number}")).collect();
            for name in &lost {
                company.inject_disconnect("res.partner/create", FaultPoint::BeforeCall);
                let kind = create_error(&one, &partner(name));
                assert_eq!(kind.as_deref(), Some("outcome_unknown"));
            }
            let slow: Vec<String> = (0..3).map(|number| format!("slow {number}")).collect();
            let held: Vec<_> = slow
                .iter()
                .map(|_| company.hold_call("res.partner/create", FaultPoint::BeforeCall))
                .collect();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            std::thread::scope(|threads| {
                let first: Vec<_> = slow
                    .iter()
                    .map(|name| threads.spawn(|| create_error(&one, &partner(name))))
                    .collect();
                for call in &held {
                    runtime.block_on(call.wait_until_reached());
                }
                redis_clock.set_offset(jump);
                // Both gateways are asked for what may still be carried out.
                for name in &lost {
                    for gateway in [&one, &other] {
                        let kind = create_error(gateway, &partner(name));
                        let pending = Some("outcome_pending");
                        assert_eq!(kind.as_deref(), pending, "{ahead}, {jump}");
                    }
                }
                let second: Vec<_> = slow
                    .iter()
                    .map(|name| threads.spawn(|| create_error(&other, &partner(name))))
                    .collect();
                for call in second {
                    let kind = call.join().unwrap();
                    let pending = Some("outcome_pending");
                    assert_eq!(kind.as_deref(), pending, "{ahead}, {jump}");
                }
                drop(held);
                for call in first {
                    assert_eq!(call.join().unwrap(), None, "{ahead}, {jump}");
                }
            });
            assert_eq!(one.changes("applied"), 3);
            for name in &slow {
                assert_eq!(create_error(&other, &partner(name)), None);
            }
            assert_eq!(other.changes("repeated"), 3);
            let calls = company.calls();
            let created = calls
                .iter()
                .filter(|call| call.path.ends_with("res.partner/create"));
            assert_eq!(created.count(), slow.len(), "{ahead}, {jump}");
            for gateway in [one, other] {
                gateway.stop_and_read_calls();
            }
        },
    );
}

#[test]
fn change_that_ends_after_redis_lost_it_is_stored_anew() {
    let (company, odoo) = start_fake_odoo();
    let redis = RedisServer::start();
    let folder = tempfile::tempdir().unwrap();
    let text = write_configuration_text(&odoo, &redis, "direct");
    let gateway = GatewayProcess::start(folder.path(), &text);
    let held = company.hold_call("res.partner/create", FaultPoint::AfterCommit);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    std::thread::scope(|threads| {
        let first = threads.spawn(|| create_error(&gateway, &partner("Kept")));
        runtime.block_on(held.wait_until_reached());
        redis.say("FLUSHALL");
        drop(held);
        assert_eq!(first.join().unwrap(), None);
    });
    assert_eq!(gateway.changes("applied"), 1);
    assert_eq!(create_error(&gateway, &partner("Kept")), None);
    assert_eq!(gateway.changes("repeated"), 1);
    gateway.wait_for_log("Stored the outcome of a change again", 1);
    let count = "gatepost_ledger_failures_total{operation=\"replace\",reason=\"forgotten\"";
    assert_eq!(gateway.metric(count), Some(1.0));
    gateway.stop_and_read_calls();
}

#[test]
fn used_approval_stays_used_when_clocks_are_set() {
    let (_, odoo) = start_fake_odoo();
    let [folder, redis_folder] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let clock = FakeClock::accurate(folder.path());
    let redis_clock = FakeClock::accurate(redis_folder.path());
    let redis = RedisServer::start_with("--port", &[], &redis_clock.environment());
    let text = write_configuration_text(&odoo, &redis, "confirm");
    let gateway = clock.start_gateway(folder.path(), &text);
    let mut create = json!({"model": "res.partner", "values": [{"name": "Once"}]});
    let (preview, _) = create_partner(&gateway, &create).tool_result();
    create["confirm"] = json!(crate::writes::confirm_id(&preview));
    assert_eq!(create_error(&gateway, &create), None);
    assert_eq!(gateway.changes("applied"), 1);
    for hours in [-6, 6, 30 * 24, -30 * 24, 0] {
        for clock in [&clock, &redis_clock] {
            clock.set_offset(hours * HOUR);
            let kind = create_error(&gateway, &create);
            assert_eq!(kind.as_deref(), Some("unapproved"), "{hours}");
        }
    }
    gateway.stop_and_read_calls();
}

#[test]
fn cached_token_and_api_key_expire_by_the_current_clock() {
    in_parallel(
        ["validation = \"introspection\"", attacks::VALIDATE_JWT],
        |validation| {
            let (_, odoo) = start_fake_odoo();
            let idp = Idp::start();
            let provider = format!("{validation}\ncache_ttl_s = 300\nnegative_ttl_s = 0");
            let text = attacks::configuration(
                &idp,
                ConfigOverrides {
                    provider: &provider,
                    more: "[keys]\nfile = \"keys.toml\"\n[audit]\nfile = \"audit.jsonl\"",
                    ..ConfigOverrides::default()
                },
            );
            let folder = tempfile::tempdir().unwrap();
            let clock = FakeClock::accurate(folder.path());
            let key = new_key(folder.path(), "reader", Some(Duration::from_hours(1)));
            let mut gateway = clock.start_gateway(folder.path(), &text.replace("ODOO", &odoo));
            let now = jiff::Timestamp::now().as_second();
            let claims = json!({
                "iss": idp.issuer(), "aud": attacks::PRODUCTION, "sub": "ada", "exp": now + 600,
                "iat": now, "nbf": now, "scope": "openid odoo:read", "client_id": "mcp-client",
                "token_type": "Bearer", "roles": ["odoo_reader"], "jti": "1",
            });
            let token = idp.issue_jwt(&json!({}), &claims);
            idp.set_token(&token, claims);
            gateway.forbid_in_log(&key);
            gateway.forbid_in_log(&token);
            let status = |proof: &str, hours: i64| {
                clock.set_offset(hours * HOUR);
                let bearer = format!("Authorization: Bearer {proof}");
                let host = "Host: gw.example.com";
                let answer = gateway.post("/production/mcp", &[host, &bearer], &count_call());
                assert_clock_offset(&answer, hours * HOUR);
                answer.status
            };
            for proof in [&token, &key] {
                assert_eq!(status(proof, 0), 200, "{validation}");
                assert_eq!(status(proof, 2), 401, "{validation}: it has expired");
                assert_eq!(status(proof, 0), 200, "{validation}: it is not");
                // A cached result or a key needs no check of its start.
                assert_eq!(status(proof, -2), 200, "{validation}");
                assert_eq!(status(proof, 0), 200, "{validation}");
            }
            gateway.stop_and_read_calls();
        },
    );
}

#[test]
fn clock_set_back_does_not_prolong_cached_token() {
    let (_, odoo) = start_fake_odoo();
    let idp = Idp::start();
    let text = attacks::configuration(
        &idp,
        ConfigOverrides {
            provider: "cache_ttl_s = 2",
            ..ConfigOverrides::default()
        },
    );
    let folder = tempfile::tempdir().unwrap();
    let clock = FakeClock::accurate(folder.path());
    let gateway = clock.start_gateway(folder.path(), &text.replace("ODOO", &odoo));
    let now = jiff::Timestamp::now().as_second();
    let token = idp.issue_opaque(json!({
        "iss": idp.issuer(), "aud": attacks::PRODUCTION, "sub": "ada", "exp": now + 600,
        "client_id": "mcp-client", "token_type": "Bearer", "roles": ["odoo_reader"],
    }));
    let bearer = format!("Authorization: Bearer {token}");
    let call = || {
        gateway.post(
            "/production/mcp",
            &["Host: gw.example.com", &bearer],
            &count_call(),
        )
    };
    assert_eq!(call().status, 200);
    clock.set_offset(-6 * HOUR);
    idp.revoke(&token);
    gateway.assert_takes_at_most(Duration::from_secs(5), || {
        wait_until("that it is asked about again", || call().status == 401);
    });
    assert_eq!(idp.request_count(Endpoint::Introspection), 2);
}

#[test]
fn journal_records_clock_jumps_and_its_chain_stays_valid() {
    let (_, odoo) = start_fake_odoo();
    let folder = tempfile::tempdir().unwrap();
    let clock = FakeClock::accurate(folder.path());
    let text =
        configuration(&odoo, &odoo, "").replace("[audit]\n", "[audit]\nmax_file_age_s = 86_400\n");
    let off = [0, 30 * DAY, -30 * DAY];
    // A restart with each of them too: the file then appears to be from another
    // day.
    for begins in off {
        clock.set_offset(begins);
        let gateway = clock.start_gateway(folder.path(), &text);
        for seconds in off {
            clock.set_offset(seconds);
            assert!(!gateway.count().tool_result().1);
        }
        assert!(gateway.stop().success());
        verify_journal(folder.path());
    }
    let now = jiff::Timestamp::now();
    let days: Vec<i64> = read_calls(folder.path())
        .iter()
        .filter(|one| one["method"] == "search_count")
        .map(|one| {
            let time: jiff::Timestamp = one["time"].as_str().unwrap().parse().unwrap();
            (time.duration_since(now).as_secs() + DAY / 2).div_euclid(DAY)
        })
        .collect();
    assert_eq!(days, [0, 30, -30, 0, 30, -30, 0, 30, -30]);
    let numbers = read_journal(folder.path());
    assert!(numbers.is_sorted_by_key(|one| one["seq"].as_u64().unwrap()));
    // No duration is computed from different clocks.
    for one in read_calls(folder.path()) {
        let took = one["duration_ms"].as_f64().unwrap();
        assert!((0.0..20_000.0).contains(&took), "{one}");
    }
}

#[test]
fn odoo_certificate_expiry_follows_the_current_clock() {
    let (_, odoo) = start_fake_odoo();
    let folder = tempfile::tempdir().unwrap();
    let url = start_tls_proxy(&odoo, folder.path());
    let clock = FakeClock::accurate(folder.path());
    let text = configuration(&url, &odoo, "").replace(
        &format!("url = \"{url}\""),
        &format!("url = \"{url}\"\nca_file = \"odoo.pem\""),
    );
    let gateway = clock.start_gateway(folder.path(), &text);
    // Not set back: a resumed session does not check the certificate again.
    for days in [0, 3, 0] {
        clock.set_offset(days * DAY);
        let answer = gateway.count();
        assert_clock_offset(&answer, days * DAY);
        let kind = gateway.error_kind(&answer);
        let unreachable = (days != 0).then_some("odoo_unreachable");
        assert_eq!(kind.as_deref(), unreachable, "{days}: {answer:?}");
        // Operators see that the certificate is the reason.
        if days > 0 {
            gateway.wait_for_log("certificate expired", 1);
        }
        // Callers that do not need Odoo are served.
        assert!(!gateway.count_in("other").tool_result().1);
    }
    gateway.stop_and_read_calls();
}

/// Odoo over TLS with a certificate that is valid from yesterday until tomorrow;
/// returns its URL, and writes the certificate to a file.
fn start_tls_proxy(odoo: &str, folder: &Path) -> String {
    let target = odoo.trim_start_matches("http://").to_owned();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut terms = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let today = jiff::Zoned::now().date();
    let day = |date: jiff::civil::Date| {
        let number = |part: i8| u8::try_from(part).unwrap();
        rcgen::date_time_ymd(
            i32::from(date.year()),
            number(date.month()),
            number(date.day()),
        )
    };
    terms.not_before = day(today.yesterday().unwrap());
    terms.not_after = day(today.tomorrow().unwrap().tomorrow().unwrap());
    let certificate = terms.self_signed(&key).unwrap();
    fs::write(folder.join("odoo.pem"), certificate.pem()).unwrap();
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(vec![certificate.der().clone()], private)
    .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (acceptor, target) = (acceptor.clone(), target.clone());
                tokio::spawn(async move {
                    let Ok(mut client) = acceptor.accept(client).await else {
                        return;
                    };
                    let mut server = tokio::net::TcpStream::connect(target).await.unwrap();
                    // Either side may disconnect first.
                    drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
                });
            }
        });
    });
    url
}
