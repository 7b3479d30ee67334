//! `gatepost check`: whether `serve` can open everything that it needs.

use std::{net::SocketAddr, time::Duration};

use jiff::Timestamp;

use super::{
    CliError,
    admin_client::{AdminUrl, ReadLimits},
};
use crate::{
    audit::{JournalOpenError, check_openable},
    config::{ConfigError, ValidConfig},
    edge::{CannotListen, try_listen},
};
use gatepost_state::store::{StateStore, StoreLocation, StoreOpenError};
use gatepost_tls::{CertificateValidity, ServerCertificate};

/// What `serve` would meet if it was started now.
#[derive(Debug, Default)]
pub(super) struct StartupFindings {
    /// Why it would not start, or no client would connect.
    pub(super) errors: Vec<ConfigError>,
    /// What needs a look.
    pub(super) warnings: Vec<ConfigError>,
    /// What is open in the gateway that is running already.
    pub(super) in_use: Vec<String>,
    /// The validity of the listeners' certificate.
    pub(super) certificate: Option<CertificateValidity>,
}

/// Opens what `serve` opens, and closes it again. Changes nothing.
///
/// # Errors
/// If the gateway itself cannot be built.
pub(super) fn check_startup(
    checked: &ValidConfig,
    now: Timestamp,
) -> Result<StartupFindings, CliError> {
    let mut findings = StartupFindings::default();
    findings.check_certificate(checked, now);
    let is_running = findings.check_ports(checked);
    findings.check_journal(checked, is_running);
    findings.check_store(checked, is_running)?;
    checked.build_for_diagnostics()?;
    Ok(findings)
}

impl StartupFindings {
    fn check_certificate(&mut self, checked: &ValidConfig, now: Timestamp) {
        let Some(tls) = &checked.config.server.tls else {
            return;
        };
        match ServerCertificate::load(&tls.certificate_file, &tls.key_file) {
            Ok(certificate) => {
                self.certificate = Some(certificate.validity);
                self.warn_of_certificate(checked, &certificate);
                if let Some(problem) = certificate.validity.problem(now) {
                    let found = checked.error_at(
                        &["server", "tls", "certificate_file"],
                        problem.to_string(),
                        Some(problem.remedy().to_owned()),
                    );
                    if problem.is_refused() {
                        self.errors.push(found);
                    } else {
                        self.warnings.push(found);
                    }
                }
            }
            // Replaced since the configuration was read.
            Err(invalid) => self.errors.push(checked.error_at(
                &["server", "tls", invalid.setting()],
                invalid.to_string(),
                invalid.remedy().map(str::to_owned),
            )),
        }
    }

    /// Warns of what some clients refuse.
    fn warn_of_certificate(&mut self, checked: &ValidConfig, certificate: &ServerCertificate) {
        let mut warn = |text: String, remedy: &str| {
            let setting = ["server", "tls", "certificate_file"];
            let found = checked.error_at(&setting, text, Some(remedy.to_owned()));
            self.warnings.push(found);
        };
        if certificate.is_authority {
            warn(
                "this is the certificate of an authority (CA:TRUE), which some clients refuse from a server".to_owned(),
                "create it with `openssl req -x509 … -addext basicConstraints=critical,CA:FALSE`, or let the authority sign one for the server",
            );
        }
        // A proxy has a certificate of its own.
        if !checked.config.server.trusted_proxies.is_empty() {
            return;
        }
        for (name, instance) in &checked.config.instances {
            for url in &instance.public_urls {
                let parsed = url.parse::<http::Uri>().ok();
                let host = parsed
                    .as_ref()
                    .and_then(http::Uri::host)
                    .unwrap_or_default();
                let host = host.trim_matches(['[', ']']);
                if let Some(failure) = certificate.wrong_name(host) {
                    let text = format!(
                        "clients that connect to {url} (`instances.{name}.public_urls`) refuse this certificate: {failure}"
                    );
                    warn(
                        text,
                        "issue a certificate for this name (as subjectAltName); if a proxy with its own certificate is in front, name it in `server.trusted_proxies`",
                    );
                }
            }
        }
    }

    /// Opens the ports; returns whether this gateway is running already, so that
    /// what it uses is no error.
    fn check_ports(&mut self, checked: &ValidConfig) -> bool {
        let (server, admin) = (&checked.config.server, &checked.config.admin);
        let is_running = admin.listen.is_some_and(is_gatepost);
        let ports = server
            .listen
            .iter()
            .map(|address| (&["server", "listen"][..], *address))
            .chain(
                admin
                    .listen
                    .map(|address| (&["admin", "listen"][..], address)),
            );
        for (setting, address) in ports {
            match try_listen(setting, address) {
                Ok(()) => {}
                Err(error) if error.is_in_use() && is_running => {
                    self.in_use.push(address.to_string());
                }
                Err(error) => self.errors.push(locate_port(checked, &error)),
            }
        }
        is_running
    }

    fn check_journal(&mut self, checked: &ValidConfig, is_running: bool) {
        let Some(file) = &checked.config.audit.file else {
            return;
        };
        match check_openable(file, checked.secrets.audit_key.as_ref()) {
            Ok(()) => {}
            Err(JournalOpenError::Locked(_)) => {
                self.report_locked(checked, &["audit", "file"], is_running);
            }
            Err(error) => {
                let found = checked.error_at(&["audit", "file"], error.to_string(), None);
                self.errors.push(found);
            }
        }
    }

    fn check_store(&mut self, checked: &ValidConfig, is_running: bool) -> Result<(), CliError> {
        let StoreLocation::File { path, .. } = checked.store_settings()?.location else {
            return Ok(());
        };
        match StateStore::check_file(&path) {
            Ok(()) => {}
            Err(StoreOpenError::Locked(_)) => {
                self.report_locked(checked, &["changes", "file"], is_running);
            }
            Err(error) => {
                let found = checked.error_at(&["changes", "file"], error.to_string(), None);
                self.errors.push(found);
            }
        }
        Ok(())
    }

    /// A warning, not an error, if it is not certain which process it is: the
    /// running gateway may be in another container.
    fn report_locked(&mut self, checked: &ValidConfig, setting: &[&str], is_running: bool) {
        if is_running {
            self.in_use.push(format!("`{}`", setting.join(".")));
            return;
        }
        self.warnings.push(checked.error_at(
            setting,
            "another process uses this file",
            Some("that is right if it is this gateway, running already; any other gateway needs a file of its own".to_owned()),
        ));
    }
}

/// The error about a port, with the setting or option that names it.
pub(super) fn locate_port(checked: &ValidConfig, error: &CannotListen) -> ConfigError {
    let remedy = Some(error.remedy().to_owned());
    checked.error_at(error.setting, error.to_string(), remedy)
}

/// Whether a gateway answers at this address of an admin listener.
fn is_gatepost(admin: SocketAddr) -> bool {
    let limits = ReadLimits {
        bytes: 4096,
        timeout: Duration::from_secs(3),
    };
    let answer = AdminUrl::at(admin, "/livez").send("GET", limits);
    answer.is_ok_and(|answer| answer.is_from_gatepost)
}
