//! The interleaved run.

use std::{
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crate::{
    client::Clients,
    peers::PEERS,
    report::{
        NGINX, PASS_THROUGH, ProcessResult, Report, STRAIGHT, ScenarioResult, ServerResult, median,
    },
    scenario::{CallKind, Credential, SCENARIOS, Scenario, Setup, Transport},
    servers::{Environment, Server, ServerKind},
};

/// How long a server may work after an answer (its log, its audit record) before its
/// CPU time is read.
const SETTLE: Duration = Duration::from_millis(5);

/// The servers of a run.
pub(super) struct Comparison {
    environment: Environment,
    gateways: Vec<(String, PathBuf)>,
    servers: Vec<Server>,
    /// Why a peer is not measured.
    absent_peers: Vec<(String, String)>,
    rounds: usize,
    /// What the number of calls of a batch is divided by.
    shorten: usize,
}

/// One server while a scenario runs.
struct Contender<'a> {
    server: &'a Server,
    /// The calls of each client in a round.
    batch: usize,
    clients: Clients,
    cpu_us: Vec<f64>,
    took_us: Vec<f64>,
    connections_before: u64,
    answer_bytes: usize,
}

impl Comparison {
    /// Starts all servers: each build in each setup that a scenario needs.
    pub(super) fn start(gateways: &[(String, PathBuf)], peers: Option<&Path>, quick: bool) -> Self {
        let environment = Environment::new();
        let mut setups: Vec<Setup> = Vec::new();
        for setup in SCENARIOS.iter().map(Scenario::setup) {
            if !setups.contains(&setup) {
                setups.push(setup);
            }
        }
        let mut servers = Vec::new();
        for (label, binary) in gateways {
            for &setup in &setups {
                let binary = binary.clone();
                servers.push(environment.start(label, &ServerKind::Gateway { binary, setup }));
            }
        }
        for (name, kind) in [
            (PASS_THROUGH, ServerKind::PassThrough),
            (NGINX, ServerKind::Nginx),
            (STRAIGHT, ServerKind::Straight),
        ] {
            servers.push(environment.start(name, &kind));
        }
        let mut absent_peers = Vec::new();
        for peer in PEERS {
            let program = peers.map(|folder| folder.join(peer.name()));
            match program.filter(|program| program.exists()) {
                Some(program) => servers
                    .push(environment.start(peer.name(), &ServerKind::Peer { peer, program })),
                None => {
                    absent_peers.push((peer.name().to_owned(), "it is not installed".to_owned()));
                }
            }
        }
        Self {
            absent_peers,
            environment,
            gateways: gateways.to_vec(),
            servers,
            rounds: if quick { 5 } else { 15 },
            shorten: if quick { 4 } else { 1 },
        }
    }

    /// Runs the scenarios whose name contains `only`.
    pub(super) fn run(&self, only: &str) -> Report {
        let chosen = SCENARIOS
            .iter()
            .filter(|scenario| scenario.name.contains(only));
        let scenarios = chosen.map(|scenario| self.run_scenario(scenario)).collect();
        Report {
            date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
            processor: processor(),
            rounds: self.rounds,
            gateways: self
                .gateways
                .iter()
                .map(|(label, _)| label.clone())
                .collect(),
            peers: self
                .servers
                .iter()
                .filter(|server| server.is_peer())
                .map(|server| server.name.clone())
                .collect(),
            absent_peers: self.absent_peers.clone(),
            scenarios,
            processes: self.measure_processes(),
        }
    }

    fn run_scenario(&self, scenario: &Scenario) -> ScenarioResult {
        // Many clients share eight times as many calls.
        let calls = scenario.call.batch() * if scenario.clients > 1 { 8 } else { 1 };
        let batch = (calls / scenario.clients / self.shorten).max(1);
        // Gateways come first, and their warm-up makes the request that proxies repeat.
        let mut contenders: Vec<Contender<'_>> = Vec::new();
        for server in self.servers.iter().filter(|server| server.serves(scenario)) {
            // A peer takes so long that fewer calls are as exact.
            let batch = if server.is_peer() {
                batch.div_ceil(16).max(4)
            } else {
                batch
            };
            let mut contender = self.connect(server, scenario, batch);
            contender.run(&self.environment);
            contender.run(&self.environment);
            contender.begin();
            contenders.push(contender);
        }
        let count = contenders.len();
        for round in 0..self.rounds {
            // Each round begins with another one.
            for turn in 0..count {
                contenders[(round + turn) % count].run(&self.environment);
            }
        }
        let result = ScenarioResult {
            scenario: *scenario,
            servers: contenders.into_iter().map(Contender::finish).collect(),
        };
        for server in &result.servers {
            println!(
                "{:28} {:12} {:8.1} µs",
                scenario.name,
                server.server,
                server.cpu()
            );
        }
        result
    }

    fn connect<'a>(&self, server: &'a Server, scenario: &Scenario, batch: usize) -> Contender<'a> {
        let target = server.target(
            &self.environment,
            scenario.call,
            scenario.transport,
            scenario.credential,
        );
        Contender {
            server,
            batch,
            clients: self.environment.clients.connect(&target, scenario.clients),
            cpu_us: Vec::new(),
            took_us: Vec::new(),
            connections_before: 0,
            answer_bytes: 0,
        }
    }

    /// Start-up and memory, each in processes of their own.
    fn measure_processes(&self) -> Vec<ProcessResult> {
        let mut kinds: Vec<(String, ServerKind)> = Vec::new();
        for (label, binary) in &self.gateways {
            let (binary, setup) = (binary.clone(), Setup::PLAIN);
            kinds.push((label.clone(), ServerKind::Gateway { binary, setup }));
        }
        kinds.push((PASS_THROUGH.to_owned(), ServerKind::PassThrough));
        kinds.push((NGINX.to_owned(), ServerKind::Nginx));
        let mut start_ups = vec![Vec::new(); kinds.len()];
        for _ in 0..self.rounds.min(7) {
            for ((name, kind), start_ups) in kinds.iter().zip(&mut start_ups) {
                let server = self.environment.start(name, kind);
                start_ups.push(server.start_up.as_secs_f64() * 1e3);
            }
        }
        let results = kinds
            .iter()
            .zip(start_ups)
            .map(|((name, kind), start_ups)| {
                let server = self.environment.start(name, kind);
                let after = |call: CallKind, clients: usize, calls: usize| {
                    let target = server.target(
                        &self.environment,
                        call,
                        Transport::Http1,
                        Credential::ApiKey,
                    );
                    let mut clients = self.environment.clients.connect(&target, clients);
                    self.environment.clients.run(&mut clients, calls);
                    server
                        .process
                        .as_ref()
                        .map_or(0, super::process::ServerProcess::peak_memory_kib)
                };
                after(CallKind::Count280, 1, 100);
                after(CallKind::Partners, 1, 100);
                let small = after(CallKind::Answer4Kb, 1, 100);
                let one = after(CallKind::Answer1Mb, 1, 50);
                let sixty_four = after(CallKind::Answer1Mb, 64, 4);
                thread::sleep(Duration::from_secs(5));
                ProcessResult {
                    server: name.clone(),
                    start_up_ms: median(&start_ups),
                    peak_kib: small,
                    one_mb_kib: one - small,
                    sixty_four_mb_kib: sixty_four,
                    kept_kib: server
                        .process
                        .as_ref()
                        .map_or(0, super::process::ServerProcess::resident_kib),
                }
            });
        results.collect()
    }
}

impl Contender<'_> {
    /// Forgets what the warm-up measured.
    fn begin(&mut self) {
        self.cpu_us.clear();
        self.took_us.clear();
        self.connections_before = self.server.odoo.connections();
    }

    /// Runs a batch of calls of each client.
    fn run(&mut self, environment: &Environment) {
        let cpu = || {
            self.server
                .process
                .as_ref()
                .map(super::process::ServerProcess::cpu_time)
        };
        let before = cpu();
        let (took, answer) = environment.clients.run(&mut self.clients, self.batch);
        thread::sleep(SETTLE);
        if let Some((after, before)) = cpu().zip(before) {
            self.cpu_us
                .push(after.saturating_sub(before).as_secs_f64() * 1e6 / took.len() as f64);
        }
        self.took_us
            .extend(took.iter().map(|took| took.as_secs_f64() * 1e6));
        self.answer_bytes = answer.body.len();
        let text = String::from_utf8_lossy(&answer.body);
        let is_error = self.server.is_gateway()
            && (text.contains("\"isError\":true") || text.contains("\"error\":"));
        assert!(!is_error, "{text}");
    }

    fn finish(mut self) -> ServerResult {
        self.took_us.sort_by(f64::total_cmp);
        ServerResult {
            server: self.server.name.clone(),
            p50_us: self.took_us[self.took_us.len() / 2],
            p99_us: self.took_us[self.took_us.len() * 99 / 100],
            calls: self.took_us.len(),
            connections_to_odoo: self.server.odoo.connections() - self.connections_before,
            cpu_us: self.cpu_us,
            answer_bytes: self.answer_bytes,
        }
    }
}

/// The number and name of the processors.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let names: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("model name"))
        .collect();
    let name = names
        .first()
        .and_then(|line| line.split(": ").nth(1))
        .unwrap_or("unknown");
    format!("{} × {name}", names.len())
}
