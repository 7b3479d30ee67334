//! The gateway in front of canned answers, compared in one interleaved run with
//! Pingora's proxy, nginx, no proxy at all, other builds of itself, and peers.
//!
//! `scripts/bench` runs it; docs/performance.md says what it measures. It prints the
//! tables, and writes results, tables and plots to a folder. It asserts nothing about
//! time.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a benchmark fails like a test, and prints what it measured"
)]

#[path = "../canned_odoo.rs"]
mod canned_odoo;
mod client;
mod measure;
mod pass_through;
mod peers;
mod plot;
mod process;
#[path = "../reader_key.rs"]
mod reader_key;
mod report;
mod scenario;
mod servers;

#[expect(
    dead_code,
    unused_imports,
    reason = "the tests need more of the provider than this does"
)]
#[path = "../../it/idp/mod.rs"]
mod idp;
#[expect(dead_code, reason = "the tests need more of it")]
#[path = "../../it/redis_server.rs"]
mod redis_server;

use std::{fs, path::PathBuf};

use clap::Parser;

use measure::Comparison;
use pass_through::PassThroughArguments;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// A build of Gatepost, as `LABEL=PATH`; may be repeated. Default: this build.
    #[arg(long = "binary", value_parser = parse_binary)]
    binaries: Vec<(String, PathBuf)>,
    /// The folder with the programs of the peers, which are not measured without it.
    #[arg(long, value_parser = absolute_path)]
    peers: Option<PathBuf>,
    /// Fewer rounds and calls.
    #[arg(long)]
    quick: bool,
    /// Only scenarios whose name contains this text.
    #[arg(long, default_value = "")]
    only: String,
    /// The folder for the results.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/target/performance"))]
    out: PathBuf,
    /// Cargo passes it to benchmarks.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Runs the Odoo with canned answers until it is stopped, for experiments by hand.
    Odoo,
    /// Runs Pingora's proxy; the comparison starts it.
    PassThrough(PassThroughArguments),
}

fn parse_binary(text: &str) -> Result<(String, PathBuf), String> {
    let (label, path) = text.split_once('=').ok_or("write LABEL=PATH")?;
    Ok((label.to_owned(), absolute_path(path)?))
}

/// Servers run in folders of their own, where a relative path leads nowhere.
fn absolute_path(path: &str) -> Result<PathBuf, String> {
    fs::canonicalize(path).map_err(|error| format!("{path}: {error}"))
}

fn main() {
    rustls::crypto::ring::default_provider()
        .install_default()
        .unwrap();
    let mut arguments = Arguments::parse();
    match &arguments.command {
        Some(Command::Odoo) => {
            let odoo = canned_odoo::CannedOdoo::start();
            println!("{}", odoo.listen().url());
            loop {
                std::thread::park();
            }
        }
        Some(Command::PassThrough(arguments)) => return pass_through::serve(arguments),
        None => {}
    }
    // `cargo test --benches` only checks that it starts.
    if !arguments.bench {
        return;
    }
    if arguments.binaries.is_empty() {
        let own = PathBuf::from(env!("CARGO_BIN_EXE_gatepost"));
        arguments.binaries.push(("Gatepost".to_owned(), own));
    }
    let report = Comparison::start(
        &arguments.binaries,
        arguments.peers.as_deref(),
        arguments.quick,
    )
    .run(&arguments.only);
    fs::create_dir_all(&arguments.out).unwrap();
    let write = |name: &str, text: &str| fs::write(arguments.out.join(name), text).unwrap();
    let tables = report.to_markdown();
    print!("{tables}");
    write("tables.md", &tables);
    write(
        "results.json",
        &serde_json::to_string_pretty(&report).unwrap(),
    );
    for (name, chart) in report.charts() {
        write(name, &chart.to_svg());
    }
}
