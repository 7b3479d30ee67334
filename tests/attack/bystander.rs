//! Whoever is not part of the attack, and must not feel it.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    thread,
    time::Instant,
};

use crate::{
    client::Client,
    process::{GatewayProcess, TEST_TIMEOUT},
};

/// A caller with its own key at its own address, and a health check.
pub(super) struct Bystander<'a> {
    gateway: &'a GatewayProcess,
    client: Client,
}

impl<'a> Bystander<'a> {
    pub(super) fn new(gateway: &'a GatewayProcess, client: Client) -> Self {
        Self { gateway, client }
    }

    /// Asserts that a ping, a read and `/livez` are answered, this many times.
    #[track_caller]
    pub(super) fn assert_served(&mut self, times: usize) {
        for time in 0..times {
            let ping = self.client.ping();
            assert_eq!(ping.status, 200, "ping {time}: {}", ping.body);
            let read = self.client.count();
            assert_eq!(read.status, 200, "read {time}: {}", read.body);
            let (text, failed) = read.tool_result();
            assert!(!failed, "read {time}: {text}");
            self.assert_alive();
        }
    }

    /// Asserts that `/livez` is answered.
    #[track_caller]
    pub(super) fn assert_alive(&self) {
        assert_eq!(self.gateway.get_admin("/livez").status, 200);
    }

    /// Asserts that it is served this many times before the attack ends: each of
    /// the attackers repeats its step until then, at least as often as `steps`
    /// says in sum. Returns the number of steps.
    pub(super) fn assert_served_during(
        &mut self,
        times: usize,
        steps: usize,
        attackers: Vec<Box<dyn FnMut() + Send + '_>>,
    ) -> usize {
        let (done, count) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|threads| {
            for mut attack in attackers {
                let (done, count) = (&done, &count);
                threads.spawn(move || {
                    let begun = Instant::now();
                    // The limit is for a bystander that fails.
                    while !done.load(SeqCst) || count.load(SeqCst) < steps {
                        assert!(begun.elapsed() < TEST_TIMEOUT, "the attack takes too long");
                        attack();
                        count.fetch_add(1, SeqCst);
                    }
                });
            }
            self.assert_served(times);
            done.store(true, SeqCst);
        });
        count.load(SeqCst)
    }
}
