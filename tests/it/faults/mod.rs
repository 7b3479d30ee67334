//! What happens when others fail, seen from outside: the real program as a
//! process, with real parts beside it and a proxy between them that spoils what
//! is said.
//!
//! | | gone | closes | hangs | slow | drips | cut | nonsense | and more |
//! |---|---|---|---|---|---|---|---|---|
//! | Redis | `redis` | `redis` | `redis` | `redis` | `redis` | `redis` | `redis` | full, a replica, killed: `redis`; its clock jumps: `clock` |
//! | provider | `provider` | `provider` | `provider` | `provider` | `provider` | `provider` | `provider` | 46 ways in process: `attacks::outage` |
//! | Odoo | `odoo` | `odoo` | `odoo` | `odoo` | `odoo` | `odoo` | `odoo` | all turns taken: `odoo` |
//! | disk | | | | | | | | full, on a file system that is full and by a limit: `disk`; not writable: `audit` |
//! | clock | | | | | | | | forward and back: `clock` |
//! | we ourselves | | | | | | | | killed while writing, two on one Redis: `processes`; killed in the middle of a change: `killed`; under load: `tests/bench/load` |
//!
//! Each scene looks at what the model reads, the HTTP status, `/readyz`, the
//! metrics and the journal, sees that it comes back by itself, and at its end
//! that neither a secret nor a panic stands in the log.

mod clock;
mod disk;
mod killed;
mod odoo;
mod process;
mod processes;
mod provider;
mod proxy;
mod redis;

use std::thread;

use odoo_sim::{ADMIN_KEY, DATABASE};

/// Two instances: `demo` at this URL, and `other` at that. Who brings no proof
/// reads in both.
fn configuration(demo: &str, other: &str, more: &str) -> String {
    format!(
        r#"
[server]
anonymous_role = "reader"
[instances.demo]
url = "{demo}"
database = "{DATABASE}"
api_key = "{ADMIN_KEY}"
connect_timeout_ms = 1_000
timeout_ms = 1_500
max_in_flight = 2
max_waiting = 2
max_wait_ms = 500
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

/// Plays a scene for each of these at once: they wait most of the time.
fn in_parallel<T: Send>(all: impl IntoIterator<Item = T>, scene: impl Fn(T) + Sync) {
    thread::scope(|threads| {
        for one in all {
            let scene = &scene;
            threads.spawn(move || scene(one));
        }
    });
}
