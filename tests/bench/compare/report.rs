//! The results, as JSON and as tables.

use std::fmt::Write as _;

use serde::Serialize;

use crate::{
    plot::BarChart,
    scenario::{CallKind, Scenario},
};

/// What one run measured.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) date: String,
    pub(super) processor: String,
    pub(super) rounds: usize,
    /// The labels of the gateways, in the order of the arguments.
    pub(super) gateways: Vec<String>,
    pub(super) peers: Vec<String>,
    /// Why a peer was not measured, by its name.
    pub(super) absent_peers: Vec<(String, String)>,
    pub(super) scenarios: Vec<ScenarioResult>,
    pub(super) processes: Vec<ProcessResult>,
}

/// The measurements of one scenario.
#[derive(Serialize)]
pub(super) struct ScenarioResult {
    pub(super) scenario: Scenario,
    pub(super) servers: Vec<ServerResult>,
}

/// One server in one scenario.
#[derive(Serialize)]
pub(super) struct ServerResult {
    pub(super) server: String,
    /// The CPU time of the server for one call, in microseconds, in each round; empty
    /// if there is no server.
    pub(super) cpu_us: Vec<f64>,
    /// How long calls took, in microseconds, over all rounds.
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    pub(super) calls: usize,
    pub(super) connections_to_odoo: u64,
    pub(super) answer_bytes: usize,
}

/// Start-up and memory of one server.
#[derive(Serialize)]
pub(super) struct ProcessResult {
    pub(super) server: String,
    /// From the start of the process to its first answer, in milliseconds.
    pub(super) start_up_ms: f64,
    /// The peak of resident memory after small calls, in KiB.
    pub(super) peak_kib: u64,
    /// How much that grew by answers of 1 MB, one at a time, in KiB.
    pub(super) one_mb_kib: u64,
    /// The peak after 64 answers of 1 MB at once, in KiB.
    pub(super) sixty_four_mb_kib: u64,
    /// The resident memory five seconds later, in KiB.
    pub(super) kept_kib: u64,
}

/// The name of Pingora's proxy, which other servers are compared with.
pub(super) const PASS_THROUGH: &str = "Pingora";
pub(super) const NGINX: &str = "nginx";
pub(super) const STRAIGHT: &str = "straight";

/// The median; NaN of nothing.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

impl ScenarioResult {
    pub(super) fn server(&self, name: &str) -> Option<&ServerResult> {
        self.servers.iter().find(|result| result.server == name)
    }
}

impl ServerResult {
    /// The median of the CPU time for one call, in microseconds.
    pub(super) fn cpu(&self) -> f64 {
        median(&self.cpu_us)
    }

    /// The median over the rounds of the ratio of the CPU times.
    pub(super) fn cpu_ratio(&self, base: &Self) -> f64 {
        let ratios: Vec<f64> = self
            .cpu_us
            .iter()
            .zip(&base.cpu_us)
            .map(|(own, base)| own / base)
            .collect();
        median(&ratios)
    }
}

impl Report {
    /// The tables, in Markdown.
    pub(super) fn to_markdown(&self) -> String {
        let mut text = format!(
            "Measured on {}, {}, {} interleaved rounds.\n\n",
            self.date, self.processor, self.rounds
        );
        self.write_calls(&mut text);
        self.write_proxies(&mut text);
        self.write_processes(&mut text);
        text
    }

    /// The charts, by file name.
    pub(super) fn charts(&self) -> [(&'static str, BarChart); 2] {
        let servers = |names: &[&str]| -> Vec<String> {
            let own = self.gateways.iter().map(String::as_str);
            own.chain(names.iter().copied())
                .map(str::to_owned)
                .collect()
        };
        let peers: Vec<&str> = self.peers.iter().map(String::as_str).collect();
        let chart = |title: &str,
                     series: Vec<String>,
                     results: &mut dyn Iterator<Item = &ScenarioResult>| {
            let groups = results.map(|result| {
                let cpu = series
                    .iter()
                    .map(|name| result.server(name).map(ServerResult::cpu));
                (result.scenario.name.to_owned(), cpu.collect())
            });
            BarChart {
                title: title.to_owned(),
                unit: "µs of CPU time a call",
                groups: groups.collect(),
                series: series.clone(),
            }
        };
        [
            (
                "calls.svg",
                chart("Tool calls", servers(&peers), &mut self.reach()),
            ),
            (
                "proxies.svg",
                chart(
                    "The same answers through proxies",
                    servers(&[PASS_THROUGH, NGINX]),
                    &mut self
                        .scenarios
                        .iter()
                        .filter(|result| !result.scenario.reach),
                ),
            ),
        ]
    }

    fn reach(&self) -> impl Iterator<Item = &ScenarioResult> {
        self.scenarios.iter().filter(|result| result.scenario.reach)
    }

    /// CPU time by call.
    fn write_calls(&self, text: &mut String) {
        let mut head = vec!["CPU time a call".to_owned()];
        for gateway in &self.gateways {
            head.extend([gateway.clone(), "to `ping`".to_owned()]);
        }
        if let [first, .., last] = &*self.gateways {
            head.push(format!("{last} / {first}"));
        }
        for peer in &self.peers {
            head.extend([peer.clone(), "to Gatepost".to_owned()]);
        }
        write_row(text, &head);
        write_row(text, &vec!["---".to_owned(); head.len()]);
        let pings = self
            .reach()
            .find(|result| result.scenario.call == CallKind::Ping);
        for result in self.reach() {
            let mut row = vec![result.scenario.name.to_owned()];
            for gateway in &self.gateways {
                let Some(own) = result.server(gateway) else {
                    continue;
                };
                row.push(microseconds(own.cpu()));
                row.push(times(
                    pings
                        .and_then(|pings| pings.server(gateway))
                        .map(|ping| own.cpu_ratio(ping)),
                ));
            }
            let last = self.gateways.last().and_then(|name| result.server(name));
            if let [first, _, ..] = &*self.gateways {
                row.push(times(
                    last.zip(result.server(first))
                        .map(|(last, first)| last.cpu_ratio(first)),
                ));
            }
            for peer in &self.peers {
                let peer = result.server(peer);
                row.push(peer.map_or_else(|| "–".to_owned(), |peer| microseconds(peer.cpu())));
                row.push(times(
                    peer.zip(last).map(|(peer, last)| peer.cpu_ratio(last)),
                ));
            }
            write_row(text, &row);
        }
        for (peer, reason) in &self.absent_peers {
            writeln!(text, "\n{peer} was not measured: {reason}").unwrap();
        }
        text.push('\n');
    }

    /// Gateways and proxies in front of the same answers.
    fn write_proxies(&self, text: &mut String) {
        let mut head = vec![
            "compared with Pingora".to_owned(),
            "Pingora, CPU".to_owned(),
            "nginx".to_owned(),
        ];
        for gateway in &self.gateways {
            head.extend([
                gateway.clone(),
                "p50".to_owned(),
                "p99".to_owned(),
                "connections".to_owned(),
            ]);
        }
        head.push("straight, p50".to_owned());
        write_row(text, &head);
        write_row(text, &vec!["---".to_owned(); head.len()]);
        // What has no pass-through of its own is compared with that of the same answer.
        let base_of = |result: &ScenarioResult| {
            let same = |other: &&ScenarioResult| {
                other.scenario.call == result.scenario.call
                    && other.scenario.transport == result.scenario.transport
                    && other.scenario.clients == result.scenario.clients
            };
            self.scenarios
                .iter()
                .filter(same)
                .find_map(|other| other.server(PASS_THROUGH))
        };
        for result in &self.scenarios {
            let Some(base) = base_of(result) else {
                continue;
            };
            let mut row = vec![
                result.scenario.name.to_owned(),
                microseconds(base.cpu()),
                times(result.server(NGINX).map(|nginx| nginx.cpu_ratio(base))),
            ];
            for gateway in &self.gateways {
                let Some(own) = result.server(gateway) else {
                    continue;
                };
                row.push(times(Some(own.cpu_ratio(base))));
                row.push(times(Some(own.p50_us / base.p50_us)));
                row.push(times(Some(own.p99_us / base.p99_us)));
                row.push(format!(
                    "{:.1}",
                    own.connections_to_odoo as f64 * 100.0 / own.calls as f64
                ));
            }
            row.push(times(
                result
                    .server(STRAIGHT)
                    .map(|straight| straight.p50_us / base.p50_us),
            ));
            write_row(text, &row);
        }
        text.push_str("\n`connections`: opened to Odoo for 100 calls.\n\n");
    }

    fn write_processes(&self, text: &mut String) {
        let head = [
            "process",
            "start-up",
            "peak memory",
            "more for 1 MB",
            "64 times 1 MB at once",
            "5 s later",
        ];
        write_row(text, &head.map(str::to_owned));
        write_row(text, &vec!["---".to_owned(); head.len()]);
        let mib = |kib: u64| format!("{:.1} MiB", kib as f64 / 1024.0);
        for process in &self.processes {
            let row = [
                process.server.clone(),
                format!("{:.0} ms", process.start_up_ms),
                mib(process.peak_kib),
                mib(process.one_mb_kib),
                mib(process.sixty_four_mb_kib),
                mib(process.kept_kib),
            ];
            write_row(text, &row);
        }
    }
}

fn write_row(text: &mut String, cells: &[String]) {
    writeln!(text, "| {} |", cells.join(" | ")).unwrap();
}

fn microseconds(value: f64) -> String {
    format!("{value:.0} µs")
}

fn times(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}×"))
}
