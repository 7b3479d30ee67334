//! B1 and B8: changes repeated at two gateways on one Redis, and Redis away.

use std::{collections::HashMap, sync::Arc, thread};

use odoo_sim::{FakeOdoo, FaultPoint};
use serde_json::json;

use crate::{
    bystander::Bystander,
    client::Client,
    process::wait_until,
    redis_server::RedisServer,
    target::{ATTACKER, BYSTANDER, Setup, Target, count_reads},
    test_gateway::start_fake_odoo,
};

/// Two gateways in front of one Odoo, with the same keys.
fn two_replicas(redis: &RedisServer, more: &str) -> (Arc<FakeOdoo>, [Target; 2]) {
    let (odoo, url) = start_fake_odoo();
    let redis = format!(
        "[redis]\nurl = \"{}\"\nreplicas = 2\ntimeout_ms = 1_000\n{more}",
        redis.url()
    );
    let setup = Setup {
        instance: "max_in_flight = 32",
        more: &redis,
        ..Setup::default()
    };
    let text = setup.text(&url);
    let mut replicas = [(); 2].map(|()| Target::in_front_of(Arc::clone(&odoo), &text));
    let keys = replicas[0].folder.path().join("keys.toml");
    std::fs::copy(keys, replicas[1].folder.path().join("keys.toml")).unwrap();
    replicas[1].gateway.reload(&text);
    let [first, second] = &mut replicas;
    second.attacker.clone_from(&first.attacker);
    second.bystander.clone_from(&first.bystander);
    (odoo, replicas)
}

/// Creates a partner; returns the kind of the error, if any.
fn create(replica: &Target, client: &mut Client, name: &str) -> Option<String> {
    let arguments =
        json!({"model": "res.partner", "values": [{"name": name}], "idempotency_key": name});
    let answer = client.call("create_records", &arguments);
    replica.gateway.error_kind(&answer)
}

#[test]
fn change_repeated_at_once_at_two_replicas_happens_once() {
    let redis = RedisServer::start();
    let (odoo, replicas) = two_replicas(&redis, "");
    let key = replicas[0].attacker.clone();
    let before = odoo.snapshot();
    thread::scope(|threads| {
        for number in 0..8 {
            let (replicas, key) = (&replicas, &key);
            threads.spawn(move || {
                let replica = &replicas[number % 2];
                let mut client = replica.client_with(ATTACKER, key);
                for change in 0..25 {
                    let name = format!("Once {change}");
                    wait_until("an answer", || {
                        let kind = create(replica, &mut client, &name);
                        assert!(
                            matches!(kind.as_deref(), None | Some("outcome_pending")),
                            "{kind:?}"
                        );
                        kind.is_none()
                    });
                }
            });
        }
        for replica in &replicas {
            let client = replica.client_with(BYSTANDER, &replicas[0].bystander);
            Bystander::new(&replica.gateway, client).assert_served(5);
        }
    });
    let changes = before.changes_to(&odoo.snapshot());
    let mut names: HashMap<String, usize> = HashMap::new();
    for change in changes
        .iter()
        .filter(|change| change.model == "res.partner")
    {
        let after = change.after.as_ref().unwrap();
        *names.entry(after["name"].to_string()).or_default() += 1;
    }
    assert_eq!(names.len(), 25, "{names:?}");
    assert!(names.values().all(|times| *times == 1), "{names:?}");
    for replica in replicas {
        assert!(replica.gateway.stop().success());
    }
}

/// Redis loses everything while a change is in flight: its repeats wait for it.
#[test]
fn change_in_flight_is_not_repeated_after_redis_lost_everything() {
    let redis = RedisServer::start();
    let (odoo, replicas) = two_replicas(&redis, "");
    let key = replicas[0].attacker.clone();
    let before = odoo.snapshot().ids("res.partner").len();
    let held = odoo.hold_call("res.partner/create", FaultPoint::AfterCommit);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    thread::scope(|threads| {
        let [replica, _] = &replicas;
        let create_here = |name| create(replica, &mut replica.client_with(ATTACKER, &key), name);
        let first = threads.spawn(move || create_here("Kept"));
        runtime.block_on(held.wait_until_reached());
        redis.say("FLUSHALL");
        let repeat = threads.spawn(move || create_here("Kept"));
        let in_flight = "gatepost_requests_in_flight{instance=\"demo\"}";
        replicas[0].gateway.wait_for_metric(in_flight, 2.0);
        Bystander::new(
            &replicas[0].gateway,
            replicas[0].client_with(BYSTANDER, &replicas[0].bystander),
        )
        .assert_served(20);
        // Another change of the same caller goes on.
        assert_eq!(create_here("Other"), None);
        held.release();
        assert_eq!(first.join().unwrap(), None);
        assert_eq!(repeat.join().unwrap(), None);
    });
    let changes = ["applied", "repeated"].map(|outcome| replicas[0].gateway.changes(outcome));
    assert_eq!(changes, [2, 1]);
    for (replica, repeated) in replicas.iter().zip([2, 1]) {
        let kind = create(replica, &mut replica.client_with(ATTACKER, &key), "Kept");
        assert_eq!(kind, None);
        assert_eq!(replica.gateway.changes("repeated"), repeated);
    }
    assert_eq!(odoo.snapshot().ids("res.partner").len(), before + 2);
    for replica in replicas {
        assert!(replica.gateway.stop().success());
    }
}

#[test]
fn fail_closed_answers_nobody_wrongly_while_redis_is_away() {
    let redis = RedisServer::start();
    let (odoo, replicas) = two_replicas(&redis, "when_down = \"fail_closed\"");
    let key = replicas[0].attacker.clone();
    // Stalled first, so that requests wait, then away.
    redis.stall();
    let [one, _] = &replicas;
    wait_until("refusals", || {
        one.client_with(ATTACKER, &key).count().status == 503
    });
    let calls = || count_reads(&odoo);
    let before = calls();
    let partners = odoo.snapshot().ids("res.partner").len();
    thread::scope(|threads| {
        for number in 0..6 {
            let key = &key;
            threads.spawn(move || {
                let mut client = one.client_with(&format!("127.0.4.{}", number + 1), key);
                for step in 0..30 {
                    let arguments = json!({"model": "res.partner", "values": [{"name": "Closed"}]});
                    let answer = if step % 2 == 0 {
                        client.count()
                    } else {
                        client.call("create_records", &arguments)
                    };
                    assert_eq!(answer.status, 503, "{}", answer.body);
                    assert!(answer.header("retry-after").is_some());
                }
            });
        }
        for _ in 0..20 {
            one.bystander().assert_alive();
            // It asks no limit of Redis.
            let metrics = one.gateway.get_admin("/metrics");
            assert_eq!(metrics.status, 200);
        }
    });
    assert_eq!(one.gateway.readiness().0, 503);
    assert_eq!(calls(), before, "Odoo was asked");
    assert_eq!(odoo.snapshot().ids("res.partner").len(), partners);
    redis.resume();
    wait_until("service", || {
        one.client_with(ATTACKER, &key).count().status == 200
    });
    for replica in replicas {
        replica.end();
    }
}
