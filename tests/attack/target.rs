//! The gateway under attack, in front of the simulated Odoo.

use std::{process::Command, sync::Arc};

use odoo_sim::{ADMIN_KEY, DATABASE, FakeOdoo};
use rustls::ClientConfig;
use tempfile::TempDir;

use crate::{
    bystander::Bystander,
    client::Client,
    footprint::Footprint,
    process::{GatewayProcess, new_key, serve_command, verify_journal, write_configuration},
    test_gateway::start_fake_odoo,
};

/// Where attackers are.
pub(super) const ATTACKER: &str = "127.0.0.1";
/// Where the bystander is.
pub(super) const BYSTANDER: &str = "127.0.0.2";

/// Limits that stop nobody, so that attacks reach what is behind them.
pub(super) const NO_LIMITS: &str = r"
address_per_minute = 1_000_000
address_burst = 1_000_000
instance_per_minute = 1_000_000
instance_burst = 1_000_000
caller_per_minute = 1_000_000
caller_burst = 1_000_000
read_per_minute = 1_000_000
read_burst = 1_000_000
write_per_minute = 1_000_000
write_burst = 1_000_000
rows_per_minute = 1_000_000_000
bytes_per_minute = 4_000_000_000
";

/// The parts of a configuration that differ between scenes.
#[derive(Clone, Copy, Default)]
pub(super) struct Setup<'a> {
    /// Lines in `[server]`.
    pub(super) server: &'a str,
    /// Lines in `[instances.demo]`.
    pub(super) instance: &'a str,
    /// Lines in `[limits]` instead of [`NO_LIMITS`].
    pub(super) limits: Option<&'a str>,
    /// Lines at the end.
    pub(super) more: &'a str,
}

impl Setup<'_> {
    /// The configuration, with Odoo at this URL.
    pub(super) fn text(self, odoo: &str) -> String {
        let Self {
            server,
            instance,
            limits,
            more,
        } = self;
        let limits = limits.unwrap_or(NO_LIMITS);
        format!(
            r#"
[server]
{server}
[instances.demo]
url = "{odoo}"
database = "{DATABASE}"
api_key = "{ADMIN_KEY}"
writes = "direct"
service_key_writes = true
{instance}
[roles.reader]
rules = [{{ models = ["*"] }}]
[roles.writer]
rules = [{{ models = ["*"], operations = ["read", "create", "write", "delete"] }}]
[keys]
file = "keys.toml"
[audit]
file = "audit.jsonl"
[limits]
{limits}
{more}
"#
        )
    }
}

/// A gateway with an instance `demo`, an attacker's key of the role `writer`, and a
/// bystander's of the role `reader`.
pub(super) struct Target {
    pub(super) gateway: GatewayProcess,
    pub(super) odoo: Arc<FakeOdoo>,
    pub(super) folder: TempDir,
    pub(super) attacker: String,
    pub(super) bystander: String,
    /// What its clients trust, if it speaks TLS.
    pub(super) tls: Option<Arc<ClientConfig>>,
    before: Footprint,
}

impl Target {
    pub(super) fn start(setup: Setup<'_>) -> Self {
        let (odoo, url) = start_fake_odoo();
        Self::in_front_of(odoo, &setup.text(&url))
    }

    /// A target with this configuration.
    pub(super) fn in_front_of(odoo: Arc<FakeOdoo>, text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_configuration(folder.path(), text);
        let command = &mut serve_command(folder.path());
        Self::spawn(odoo, folder, command, None)
    }

    /// A target that this command starts in the folder.
    pub(super) fn spawn(
        odoo: Arc<FakeOdoo>,
        folder: TempDir,
        command: &mut Command,
        tls: Option<Arc<ClientConfig>>,
    ) -> Self {
        let [attacker, bystander] =
            ["writer", "reader"].map(|role| new_key(folder.path(), role, None));
        let mut gateway = GatewayProcess::spawn(folder.path(), command);
        for key in [&attacker, &bystander] {
            gateway.forbid_in_log(key);
        }
        let before = Footprint::of(gateway.id());
        let mut target = Self {
            gateway,
            odoo,
            folder,
            attacker,
            bystander,
            tls,
            before,
        };
        // Warm: threads, caches and connections that every caller needs.
        for _ in 0..20 {
            assert_eq!(target.client(BYSTANDER).count().status, 200);
        }
        target.before = Footprint::of(target.gateway.id());
        target
    }

    /// A client at this address, with the attacker's key.
    pub(super) fn client(&self, from: &str) -> Client {
        self.client_with(from, &self.attacker)
    }

    pub(super) fn bystander(&self) -> Bystander<'_> {
        Bystander::new(&self.gateway, self.client_with(BYSTANDER, &self.bystander))
    }

    /// A client at this address, with this key.
    pub(super) fn client_with(&self, from: &str, key: &str) -> Client {
        Client::new(self.gateway.address, from, Some(key)).over(self.tls.clone())
    }

    /// The number of reads of attackers and bystanders that reached Odoo.
    pub(super) fn odoo_calls(&self) -> usize {
        count_reads(&self.odoo)
    }

    /// Asserts that the attack left nothing behind, and stops the gateway.
    pub(super) fn end(self) {
        self.bystander().assert_served(3);
        self.before.wait_until_back(&self.gateway);
        let folder = self.folder;
        assert!(self.gateway.stop().success());
        drop(verify_journal(folder.path()));
    }
}

/// The number of calls of `count_records` that reached Odoo; the gateway has calls of its
/// own.
pub(super) fn count_reads(odoo: &FakeOdoo) -> usize {
    let calls = odoo.calls();
    let is_read = |path: &str| path.ends_with("/search_count");
    calls.iter().filter(|call| is_read(&call.path)).count()
}
