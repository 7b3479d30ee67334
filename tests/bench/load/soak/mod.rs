//! Mixed load with faults, for an hour: whether the gateway needs more and more of
//! anything, loses audit records, or makes a change twice.
//!
//! Callers with keys and with tokens read, write and confirm, over HTTP/1.1 and
//! HTTP/2; some disconnect in the middle of a call, some send slowly.
//! Meanwhile the configuration is reloaded, and Odoo and Redis are restarted.

mod client;
mod journal;
mod setup;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    idp::Idp,
    process::{GatewayProcess, serve_command, verify_journal, wait_until, write_configuration},
    redis_server::RedisServer,
    usage::ResourceUsage,
};
use client::{ClientReport, SoakClient};
use journal::assert_complete;
use setup::{Setup, free_address};

use super::odoo::CountingOdoo;

/// Half of them over HTTP/1.1, half over HTTP/2.
const CLIENTS: usize = 12;

/// How often each fault occurs.
const FAULT_CYCLE: Duration = Duration::from_secs(24);

/// How long Odoo and Redis are gone.
const OUTAGE: Duration = Duration::from_millis(1_200);

/// How many more tasks may be left than before the load: those that first use starts,
/// such as connections to Redis and Odoo. There are many more reloads and calls.
const MAX_TASKS_LEFT: f64 = 16.0;

/// How long after an outage calls may still fail of it.
const RECOVERY: Duration = Duration::from_secs(2);

/// What the clients share.
struct Soak {
    setup: Setup,
    begun: Instant,
    done: AtomicBool,
    idp: Idp,
    /// When Odoo was gone.
    outages: Mutex<Vec<(Duration, Duration)>>,
}

/// Runs for this long.
pub(super) fn run(duration: Duration) {
    let folder = tempfile::tempdir().unwrap();
    let mut odoo = CountingOdoo::start();
    let mut redis = RedisServer::start_with(
        "--port",
        &["--appendonly", "yes", "--appendfsync", "always"],
        &[],
    );
    let idp = Idp::start();
    let address = free_address();
    let setup = Setup::new(folder.path(), address, &odoo.url(), &redis.url(), &idp);
    write_configuration(folder.path(), setup.configuration(false));
    let mut command = serve_command(folder.path());
    command.env("GATEPOST_SERVER__LISTEN", address.to_string());
    let mut gateway = GatewayProcess::spawn(folder.path(), &mut command);
    for key in setup.keys() {
        gateway.forbid_in_log(key);
    }
    let idle_tasks = gateway.metric("gatepost_tasks").unwrap();
    let soak = Arc::new(Soak {
        setup,
        begun: Instant::now(),
        done: AtomicBool::new(false),
        idp,
        outages: Mutex::default(),
    });
    let clients = thread::spawn({
        let soak = Arc::clone(&soak);
        move || run_clients(&soak)
    });

    let mut usage = ResourceUsage::of(gateway.id());
    let (mut reloads, mut cycles) = (0, 0);
    while soak.begun.elapsed() < duration {
        let cycle = soak.begun + FAULT_CYCLE * cycles;
        let mut wait_for = |part: u32| {
            let end = cycle + FAULT_CYCLE * part / 4;
            while Instant::now() < end && !clients.is_finished() {
                thread::park_timeout(Duration::from_secs(1).min(end - Instant::now()));
                // What the first faults need stays.
                if cycles > 0 {
                    usage.sample();
                }
            }
        };
        wait_for(1);
        reloads += 1;
        gateway.reload(soak.setup.configuration(reloads % 2 == 1));
        wait_for(2);
        let from = soak.begun.elapsed();
        odoo.stop();
        thread::park_timeout(OUTAGE);
        odoo.restart();
        let outage = (from, soak.begun.elapsed() + RECOVERY);
        soak.outages.lock().unwrap().push(outage);
        wait_for(3);
        redis.kill();
        thread::park_timeout(OUTAGE);
        redis.restart();
        wait_for(4);
        cycles += 1;
    }
    soak.done.store(true, SeqCst);
    let report = clients.join().unwrap();

    gateway.wait_for_metric("gatepost_requests_in_flight", 0.0);
    wait_until("the end of all connections", || {
        gateway.metric("gatepost_connections_open") == Some(0.0)
    });
    let left_tasks = gateway.metric("gatepost_tasks").unwrap();
    let metrics = gateway.get_admin("/metrics").body;
    println!(
        "{:.1?}: {report}; {reloads} reloads, {cycles} restarts of Odoo and of Redis",
        soak.begun.elapsed()
    );
    usage.assert_flat();
    println!("tasks: {idle_tasks} before the load, {left_tasks} after it");
    assert!(left_tasks <= idle_tasks + MAX_TASKS_LEFT);
    let own_failures = metrics
        .lines()
        .filter(|line| line.starts_with("gatepost_requests_total") && line.contains("blame=\"us\""))
        .collect::<Vec<_>>();
    assert!(own_failures.is_empty(), "{own_failures:?}");
    assert_eq!(gateway.metric("gatepost_audit_failures_total"), Some(0.0));
    assert!(gateway.stop().success());
    println!("{}", verify_journal(folder.path()).trim());
    assert_complete(folder.path(), &odoo, &report, &soak.outages.lock().unwrap());
    report.assert_changed_once(&odoo.changes());
}

fn run_clients(soak: &Arc<Soak>) -> ClientReport {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| tokio::spawn(SoakClient::new(Arc::clone(soak), number).run()))
            .collect();
        let mut total = ClientReport::default();
        for client in clients {
            total.merge(client.await.unwrap());
        }
        total
    })
}
