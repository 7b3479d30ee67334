//! A name server that never answers.

use std::{net::TcpListener, path::Path, process::Command, thread};

use odoo_sim::{ADMIN_KEY, DATABASE};
use serde_json::json;

use crate::{
    client::Client,
    footprint::Footprint,
    process::{serve_command, write_configuration},
    target::{ATTACKER, Setup, Target},
    test_gateway::start_fake_odoo,
};

/// How often the instance with the hanging name is called.
const CALLS: usize = 40;

/// The command in a mount namespace where looking up any name waits for ever: the
/// file of hosts is a pipe that nobody writes. `None` where that is not allowed.
fn with_hanging_names(folder: &Path) -> Option<Command> {
    let pipe = folder.join("hosts");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let namespaces: [&[&str]; 2] = [&["--user", "--map-root-user", "--mount"], &["--mount"]];
    let mut allowed = namespaces.into_iter().filter(|namespace| {
        let mount = Command::new("unshare")
            .args(*namespace)
            .args(["mount", "--bind"])
            .arg(&pipe)
            .arg("/etc/hosts")
            .output();
        mount.is_ok_and(|output| output.status.success())
    });
    let namespace = allowed.next()?;
    let serve = serve_command(folder);
    let mut command = Command::new("unshare");
    command
        .env_clear()
        .envs(
            serve
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .current_dir(folder)
        .args(namespace)
        .args([
            "sh",
            "-c",
            "mount --bind hosts /etc/hosts && exec \"$0\" \"$@\"",
        ])
        .arg(serve.get_program())
        .args(serve.get_args());
    Some(command)
}

#[test]
fn name_that_is_never_found_stops_only_its_own_instance() {
    let (odoo, url) = start_fake_odoo();
    let folder = tempfile::tempdir().unwrap();
    // Each call gives up soon, and its place is free for the next.
    let hanging = format!(
        r#"
[instances.hanging]
url = "http://odoo.hanging.example:8069"
public_urls = ["https://gw.example.com/hanging/mcp"]
database = "{DATABASE}"
api_key = "{ADMIN_KEY}"
connect_timeout_ms = 100
timeout_ms = 200
max_in_flight = 16
[providers.company]
issuer = "https://id.hanging.example"
client_id = "a"
client_secret = "b"
timeout_ms = 200
connect_timeout_ms = 100
[[grants]]
roles = ["reader"]
provider = "company"
provider_role = "odoo_reader"
"#
    );
    // A provider needs a public URL, and then the gateway answers to configured hosts only.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let setup = Setup {
        server: &format!("allowed_hosts = [\"{address}\"]"),
        instance: "public_urls = [\"https://gw.example.com/demo/mcp\"]",
        more: &hanging,
        ..Setup::default()
    };
    write_configuration(folder.path(), &setup.text(&url));
    let Some(mut command) = with_hanging_names(folder.path()) else {
        println!("no mount namespace is allowed here, so no name server can be made to hang");
        return;
    };
    command.env("GATEPOST_SERVER__LISTEN", address.to_string());
    let target = Target::spawn(odoo, folder, &mut command, None);
    let mut bystander = target.bystander();
    let before = Footprint::of(target.gateway.id());
    thread::scope(|threads| {
        for number in 0..8 {
            let target = &target;
            threads.spawn(move || {
                let host = target.gateway.address.to_string();
                let mut client = target.client(ATTACKER).at("/hanging/mcp", &host);
                for call in 0..CALLS / 8 {
                    let answer = client.count();
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    let kind = target.gateway.error_kind(&answer);
                    assert_eq!(kind.as_deref(), Some("odoo_unreachable"), "{answer:?}");
                    // A login whose provider has a name like that.
                    let mut login = Client::new(
                        target.gateway.address,
                        ATTACKER,
                        Some(&format!("unknown-{number}-{call}-unknown")),
                    );
                    assert_eq!(login.ping().status, 503);
                }
            });
        }
        bystander.assert_served(20);
    });
    // A few lookups of each name wait, not one for each call.
    let now = Footprint::of(target.gateway.id());
    assert!(
        now.threads <= before.threads + 12,
        "{before:?}, then {now:?}"
    );
    // What blocks threads as well goes on: files are read, and the journal is written.
    target.gateway.reload(&setup.text(&url));
    bystander.assert_served(5);
    assert_eq!(
        target
            .client(ATTACKER)
            .call(
                "create_records",
                &json!({"model": "res.partner", "values": [{"name": "a"}]})
            )
            .status,
        200
    );
    target.end();
}
