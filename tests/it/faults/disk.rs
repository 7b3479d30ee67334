//! A disk that is full, and then has free space again.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;

use super::{
    configuration,
    process::{
        GatewayProcess, count_call, read_calls, read_journal, serve_command, verify_journal,
        wait_until, write_configuration,
    },
};
use crate::test_gateway::{start_fake_odoo, tool_call};

/// The size of the small disk, in KiB.
const DISK_SIZE_KIB: u64 = 8192;

/// The maximum number of queued records in `audit/journal.rs`.
const MAX_QUEUED_RECORDS: usize = 4096;

/// A disk that can be full.
enum Disk {
    /// A separate file system, accessed through the process that mounted it. The
    /// mount needs rights only in a namespace of its own.
    Mounted { ballast: PathBuf, folder: PathBuf },
    /// A file that may not exceed this number of bytes.
    Limited { process: u32 },
}

impl Disk {
    fn fill(&self) {
        match self {
            Self::Mounted { ballast, .. } => {
                let mut file = File::create(ballast).unwrap();
                let part = [0; 4096];
                while file.write_all(&part).is_ok() {}
            }
            Self::Limited { process } => set_file_size_limit(*process, "2048:"),
        }
    }

    fn make_room(&self) {
        match self {
            Self::Mounted { ballast, .. } => fs::remove_file(ballast).unwrap(),
            Self::Limited { process } => set_file_size_limit(*process, "unlimited:"),
        }
    }

    /// The error of the system when it is full.
    fn expected_error(&self) -> &'static str {
        match self {
            Self::Mounted { .. } => "No space left on device",
            Self::Limited { .. } => "File too large",
        }
    }
}

/// Sets the size that no file of this process may exceed, in bytes.
fn set_file_size_limit(process: u32, bytes: &str) {
    let set = Command::new("prlimit")
        .args(["--pid", &process.to_string(), &format!("--fsize={bytes}")])
        .status();
    assert!(set.unwrap().success());
}

/// A gateway whose journal is on a small file system; `None` if none can be
/// mounted.
#[expect(clippy::unwrap_in_result, reason = "`None` has only one reason")]
fn start_on_small_file_system(home: &Path, text: &str) -> Option<(Disk, GatewayProcess)> {
    let small = home.join("small");
    fs::create_dir(&small).unwrap();
    // In its own namespaces, so that it disappears with the process and needs no
    // rights here; as root without them, where they are not allowed.
    let namespaces: [&[&str]; 2] = [&["--user", "--map-root-user", "--mount"], &["--mount"]];
    let can = |namespace: &[&str]| {
        let tried = Command::new("unshare")
            .args(namespace)
            .args(["mount", "-t", "tmpfs", "none"])
            .arg(&small)
            .output();
        tried.is_ok_and(|output| output.status.success())
    };
    let namespace = namespaces.into_iter().find(|one| can(one))?;
    write_configuration(home, text);
    let script = format!(
        "mount -t tmpfs -o size={DISK_SIZE_KIB}k none small && cp gatepost.toml small/ && cd small && exec {} serve --config gatepost.toml",
        env!("CARGO_BIN_EXE_gatepost")
    );
    let mut command = Command::new("unshare");
    for (name, value) in serve_command(home).get_envs() {
        command.env(name, value.unwrap());
    }
    command
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .current_dir(home)
        .args(namespace)
        .args(["sh", "-c", &script]);
    let gateway = GatewayProcess::spawn(home, &mut command);
    let folder = PathBuf::from(format!("/proc/{}/root{}", gateway.id(), small.display()));
    let ballast = folder.join("ballast");
    Some((Disk::Mounted { ballast, folder }, gateway))
}

/// A gateway whose disk can be filled.
fn start_with_file_size_limit(home: &Path, text: &str) -> (Disk, GatewayProcess) {
    write_configuration(home, text);
    let script = format!(
        "trap '' XFSZ; exec {} serve --config gatepost.toml",
        env!("CARGO_BIN_EXE_gatepost")
    );
    let mut command = Command::new("sh");
    for (name, value) in serve_command(home).get_envs() {
        command.env(name, value.unwrap());
    }
    command.current_dir(home).args(["-c", &script]);
    let gateway = GatewayProcess::spawn(home, &mut command);
    let process = gateway.id();
    (Disk::Limited { process }, gateway)
}

/// Fills the disk, checks this number of further calls, makes room, and checks
/// again.
fn run_full_disk_scenario(disk: &Disk, gateway: GatewayProcess, folder: &Path, more: usize) {
    let answered = || {
        let answer = gateway.count();
        assert_eq!(answer.status, 200, "{answer:?}");
        let (text, failed) = answer.tool_result();
        assert!(!failed, "{text}");
    };
    let written = || {
        let (status, report) = gateway.readiness();
        (status, report["audit"].clone())
    };
    answered();
    wait_until("a journal that is written", || {
        written() == (200, json!({ "written": true }))
    });

    disk.fill();
    let mut full = 0;
    // Reads continue; their records fit for a while.
    wait_until("a disk that is full", || {
        answered();
        full += 1;
        let (status, audit) = written();
        status == 503 && audit["why"].to_string().contains(disk.expected_error())
    });
    gateway.wait_for_log("Failed to write the audit journal", 1);

    // A write that could not be recorded is not sent.
    let changed = || {
        let arguments = json!({"model": "res.partner", "ids": [1], "values": {"phone": "1"}});
        let message = tool_call("update_records", &arguments);
        let answer = gateway.post("/demo/mcp", &[], &message);
        gateway.error_kind(&answer)
    };
    assert_eq!(changed().as_deref(), Some("unaudited"));
    let writes = || {
        let records = read_calls(folder);
        let writes = records.iter().filter(|one| one["method"] == "write");
        writes.filter(|one| one["outcome"] == "answered").count()
    };

    // No client notices, not even if more calls are made than records may wait.
    let agents = 4;
    let address = gateway.address;
    std::thread::scope(|threads| {
        for _ in 0..agents {
            threads.spawn(|| {
                let mut agent = JournalLoadClient::new(address);
                for _ in 0..more / agents {
                    agent.count();
                }
            });
        }
    });
    let lost = gateway.metric("gatepost_audit_failures_total").unwrap();

    disk.make_room();
    wait_until("a journal that is written again", || {
        written() == (200, json!({ "written": true }))
    });
    gateway.wait_for_log("Recovered the audit journal", 1);
    answered();
    assert_eq!(writes(), 0);
    assert_eq!(changed(), None);
    wait_until("the record of the change", || writes() == 1);
    // Once, regardless of the number of calls.
    let log = gateway.log();
    assert_eq!(log.matches("Failed to write the audit journal").count(), 1);
    let beyond = more > MAX_QUEUED_RECORDS;
    assert_eq!(
        log.matches("Lost records of the audit journal").count(),
        usize::from(beyond)
    );

    // Every call has its record or is counted, and the chain is valid.
    wait_until("the last record", || {
        count_search_records(folder) + lost_records(folder) == 1 + full + more + 1
    });
    let gone = lost_records(folder);
    assert_eq!(gone > 100, beyond, "{gone}");
    // The rejected write is counted, and its record is not lost.
    assert_eq!(lost.to_string(), (gone + 1).to_string());
    verify_journal(folder);
    let status = gateway.stop();
    assert!(status.success(), "{status}");
}

/// The records of the tool's calls.
fn count_search_records(folder: &Path) -> usize {
    let records = read_calls(folder);
    records
        .iter()
        .filter(|one| one["method"] == "search_count")
        .count()
}

/// The number of lost records that the journal reports.
fn lost_records(folder: &Path) -> usize {
    let lines = read_journal(folder);
    let gaps = lines.iter().filter(|line| line["kind"] == "gap");
    gaps.map(|gap| usize::try_from(gap["lost"].as_u64().unwrap()).unwrap())
        .sum()
}

/// A client that reuses its connection.
struct JournalLoadClient(std::io::BufReader<std::net::TcpStream>, String);

impl JournalLoadClient {
    fn new(address: std::net::SocketAddr) -> Self {
        let body = count_call().to_string();
        let request = format!(
            "POST /demo/mcp HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let stream = std::net::TcpStream::connect(address).unwrap();
        Self(std::io::BufReader::new(stream), request)
    }

    fn count(&mut self) {
        use std::io::{BufRead as _, Read as _};
        self.0.get_mut().write_all(self.1.as_bytes()).unwrap();
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            let line = line.trim_end().to_lowercase();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(answer["result"]["isError"], json!(false), "{answer}");
    }
}

fn gateway_configuration() -> String {
    let (_, odoo) = start_fake_odoo();
    let limits = "[limits]\naddress_burst = 1_000_000\ncaller_burst = 1_000_000\nread_burst = 1_000_000\ninstance_burst = 1_000_000";
    configuration(&odoo, &odoo, limits)
        .replace("max_waiting = 2", "max_waiting = 64")
        .replacen(
            "[instances.demo]\n",
            "[instances.demo]\nwrites = \"direct\"\nservice_key_writes = true\n",
            1,
        )
        .replacen(
            r#"[{ models = ["*"] }]"#,
            r#"[{ models = ["*"], operations = ["read", "write"] }]"#,
            1,
        )
        // Files are rotated while it is full, and after.
        .replace(
            "[audit]\n",
            "[audit]\nmax_file_bytes = 262_144\nkeep_files = 100\n",
        )
}

#[test]
#[expect(clippy::print_stdout, reason = "who runs it should know")]
fn full_file_system_allows_reads_and_every_record_is_written_or_counted() {
    let home = tempfile::tempdir().unwrap();
    let text = gateway_configuration();
    match start_on_small_file_system(home.path(), &text) {
        Some((disk, gateway)) => {
            let Disk::Mounted { folder, .. } = &disk else {
                panic!("another disk");
            };
            let folder = folder.clone();
            run_full_disk_scenario(&disk, gateway, &folder, MAX_QUEUED_RECORDS + 200);
        }
        // Nothing can be mounted here, so a limit on the file size is used.
        None => {
            println!("no file system can be mounted here; a file size limit is used instead");
            let (disk, gateway) = start_with_file_size_limit(home.path(), &text);
            run_full_disk_scenario(&disk, gateway, home.path(), MAX_QUEUED_RECORDS + 200);
        }
    }
}

#[test]
fn file_size_limit_behaves_like_full_file_system() {
    let home = tempfile::tempdir().unwrap();
    let (disk, gateway) = start_with_file_size_limit(home.path(), &gateway_configuration());
    run_full_disk_scenario(&disk, gateway, home.path(), 100);
}
