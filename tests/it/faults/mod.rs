//! What happens when services fail, seen from outside: the real program as a
//! process, real services beside it, and a proxy between them that injects the
//! faults.
//!
//! | | gone | closes | hangs | slow | drips | cut | nonsense | and more |
//! |---|---|---|---|---|---|---|---|---|
//! | Redis | `redis` | `redis` | `redis` | `redis` | `redis` | `redis` | `redis` | full, a replica, killed: `redis`; its clock jumps: `clock` |
//! | provider | `provider` | `provider` | `provider` | `provider` | `provider` | `provider` | `provider` | 46 ways in process: `attacks::outage` |
//! | Odoo | `odoo` | `odoo` | `odoo` | `odoo` | `odoo` | `odoo` | `odoo` | all turns taken: `odoo` |
//! | disk | | | | | | | | full, on a file system that is full and by a limit: `disk`; not writable: `audit` |
//! | clock | | | | | | | | forward and back: `clock` |
//! | clients | | | | | | | | too many connections, bodies held back, a log that is not read: `edge` |
//! | Gatepost | | | | | | | | killed while writing, two on one Redis: `processes`; killed in the middle of a change: `killed`; under load: `tests/bench/load` |
//!
//! Each scenario checks what the model reads, the HTTP status, `/readyz`, the
//! metrics and the journal, that the gateway recovers by itself, and at its end
//! that the log contains neither a secret nor a panic.

mod clock;
mod disk;
mod edge;
mod killed;
mod odoo;
mod process;
mod processes;
mod provider;
mod proxy;
mod redis;

use std::thread;

use odoo_sim::{ADMIN_KEY, DATABASE};

/// Two instances: `demo` at the first URL, and `other` at the second. Anonymous
/// callers may read in both.
fn configuration(demo: &str, other: &str, more: &str) -> String {
    format!(
        r#"
[server]
anonymous_role = "reader"
[instances.demo]
url = "{demo}"
database = "{DATABASE}"
api_key = "{ADMIN_KEY}"
[instances.other]
url = "{other}"
database = "{DATABASE}"
api_key = "{ADMIN_KEY}"
[roles.reader]
rules = [{{ models = ["*"] }}]
[keys]
file = "keys.toml"
[audit]
file = "audit.jsonl"
{more}
"#
    )
}

/// Runs a scenario for each of these concurrently, because they mostly wait.
fn in_parallel<T: Send>(all: impl IntoIterator<Item = T>, scene: impl Fn(T) + Sync) {
    thread::scope(|threads| {
        for one in all {
            let scene = &scene;
            threads.spawn(move || scene(one));
        }
    });
}
