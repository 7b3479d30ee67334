//! `gatepost check --live`: checks of the services around the gateway.

use std::{
    collections::BTreeSet,
    io::{self, BufRead as _, IsTerminal as _, Read as _},
};

use jiff::Timestamp;

use super::{
    CliError,
    terminal::{self, printable},
};
use crate::{
    access::{key_holder, renewal_help},
    config::{ConfigError, ValidConfig},
    diagnostics::{CredentialCheck, PolicyFinding},
};
use gatepost_base::{CredentialName, Diagnosis, InstanceName, ProviderName, text::pluralize};
use gatepost_identity::{CheckResult, CheckStatus};
use gatepost_state::store::{StateStore, StoreHealth, StoreUnhealthy};

/// What the live checks found.
#[derive(Debug, Default)]
pub(super) struct LiveFindings {
    /// What did not pass, such as `2 rules`.
    pub(super) failed: Vec<String>,
    /// The number of warnings.
    pub(super) warnings: usize,
}

/// Checks every Odoo and its API keys, the rules, every identity provider, Redis
/// and the change store; then what a token gives access to, if one is given.
///
/// # Errors
/// If the checks cannot run.
pub(super) fn run_live_checks(
    checked: &ValidConfig,
    with_token: bool,
) -> Result<LiveFindings, CliError> {
    let token = with_token.then(read_token).transpose()?;
    let gateway = checked.build_for_diagnostics()?;
    let store = checked.store_settings()?.location;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            CliError::Failed(format!("the async runtime could not be started: {error}"))
        })?;
    let mut report = LiveReport {
        checked,
        findings: LiveFindings::default(),
    };
    report.instances(runtime.block_on(gateway.check_credentials()))?;
    report.rules(runtime.block_on(gateway.check_rules()));
    report.providers(&runtime.block_on(gateway.check_providers()))?;
    match runtime.block_on(gateway.limits.check_redis()) {
        Some(Ok(())) => terminal::print("  redis: answers, and supports what the limits need")?,
        Some(Err(error)) => {
            report.error(&["redis"], &error.diagnose());
            report.findings.failed.push("redis".to_owned());
        }
        None => {}
    }
    if checked.config.allows_writes() {
        report.store(runtime.block_on(StateStore::check_location(store)))?;
    }
    if let Some(token) = token {
        report.token(&runtime.block_on(gateway.check_token(&token)))?;
    }
    Ok(report.findings)
}

/// Prints findings, and counts them.
struct LiveReport<'a> {
    checked: &'a ValidConfig,
    findings: LiveFindings,
}

impl LiveReport<'_> {
    fn instances(&mut self, answers: Vec<CredentialCheck>) -> Result<(), CliError> {
        let now = Timestamp::now();
        let mut failed = BTreeSet::new();
        for check in answers {
            let (instance, credential) = (&check.instance, check.credential.as_ref());
            let named =
                credential.map_or_else(String::new, |name| format!(", credential `{name}`"));
            match &check.user {
                Ok(user) => {
                    let user = format!(
                        "the Odoo user `{}` (id {})",
                        printable(&user.login),
                        user.id
                    );
                    let works = match credential {
                        None => format!("answers, and accepts the API key of {user}"),
                        Some(name) => format!("accepts the credential `{name}` of {user}"),
                    };
                    terminal::print(&format!("  {instance}: {works}"))?;
                    let Some(expiry) = &check.expiry else {
                        continue;
                    };
                    let expires = format!("the API key {}", expiry.describe(now));
                    if expiry.is_near(now) {
                        let holder = key_holder(instance, credential);
                        let path = self.key_path(instance, credential);
                        let path: Vec<&str> = path.iter().map(String::as_str).collect();
                        let help = Some(renewal_help(&holder));
                        self.warning(&self.checked.error_at(&path, expires, help));
                    } else {
                        terminal::print(&format!("  {instance}{named}: {expires}"))?;
                    }
                }
                Err(diagnosis) => {
                    let path = match diagnosis.setting {
                        "api_key" => self.key_path(instance, credential),
                        setting => ["instances", instance.as_str(), setting]
                            .map(str::to_owned)
                            .to_vec(),
                    };
                    let path: Vec<&str> = path.iter().map(String::as_str).collect();
                    self.error_at(&path, diagnosis);
                    failed.insert(instance.clone());
                }
            }
        }
        self.count_failed(failed.len(), "instance");
        Ok(())
    }

    fn rules(&mut self, findings: Vec<PolicyFinding>) {
        let mut failed = BTreeSet::new();
        for finding in findings {
            let (text, remedy) = (printable(&finding.text), printable(&finding.remedy));
            let path = &finding.path;
            let error = self
                .checked
                .error_in_rule(&finding.rule, path, text, Some(remedy));
            match finding.severity {
                CheckStatus::Fail => {
                    terminal::print_stderr(&format!("error: {error}\n"));
                    failed.insert(finding.rule);
                }
                CheckStatus::Pass => terminal::print_stderr(&format!("note: {error}\n")),
                CheckStatus::Warn => self.warning(&error),
            }
        }
        self.count_failed(failed.len(), "rule");
    }

    fn providers(&mut self, all: &[(ProviderName, Vec<CheckResult>)]) -> Result<(), CliError> {
        let mut failed = 0;
        for (name, results) in all {
            for (index, result) in results.iter().enumerate() {
                // Metadata and keys may fail for the same reason.
                if results.iter().take(index).any(|earlier| earlier == result) {
                    continue;
                }
                // Printable because it may contain text from a provider.
                let text = printable(&result.message);
                if result.status == CheckStatus::Pass {
                    terminal::print(&format!("  {name}: {text}"))?;
                    continue;
                }
                let mut path = vec!["providers", name.as_str()];
                path.extend(result.setting);
                let remedy = result.remedy.as_deref().map(printable);
                let error = self.checked.error_at(&path, text, remedy);
                if result.status == CheckStatus::Fail {
                    terminal::print_stderr(&format!("error: {error}\n"));
                } else {
                    self.warning(&error);
                }
            }
            failed += usize::from(has_failed(results));
        }
        self.count_failed(failed, "identity provider");
        Ok(())
    }

    fn store(&mut self, examined: Result<StoreHealth, StoreUnhealthy>) -> Result<(), CliError> {
        match examined {
            Ok(StoreHealth::Usable) => terminal::print("  changes: the store works")?,
            // Reported with what `serve` opens.
            Ok(StoreHealth::InUse) | Err(StoreUnhealthy::OpenFailed(_)) => {}
            Ok(StoreHealth::MayEvict) => self.warning(&self.checked.error_at(
                &["redis"],
                "this Redis evicts keys when it is full, so a repeated change may be made twice",
                Some("set `maxmemory-policy noeviction` there".to_owned()),
            )),
            Err(StoreUnhealthy::RedisUnavailable(error)) => {
                // Of the connection for limits the same was reported.
                if !self.findings.failed.iter().any(|what| what == "redis") {
                    self.error(&["redis"], &error.diagnose());
                }
                self.findings.failed.push("the change store".to_owned());
            }
        }
        Ok(())
    }

    fn token(&mut self, all: &[(InstanceName, Vec<CheckResult>)]) -> Result<(), CliError> {
        for (instance, results) in all {
            for result in results {
                // Printable because it may contain text from the token.
                let text = printable(&result.message);
                let remedy = result.remedy.as_deref().map(printable);
                let help = remedy.map_or_else(String::new, |remedy| format!("\nhelp: {remedy}"));
                let label = match result.status {
                    CheckStatus::Pass => {
                        terminal::print(&format!("  {instance}: {text}"))?;
                        continue;
                    }
                    CheckStatus::Warn => {
                        self.findings.warnings += 1;
                        "warning"
                    }
                    CheckStatus::Fail => "error",
                };
                terminal::print_stderr(&format!(
                    "{label}: with the token, `{instance}`: {text}{help}\n"
                ));
            }
        }
        if all.iter().all(|(_, results)| has_failed(results)) {
            self.findings.failed.push("the token".to_owned());
        }
        Ok(())
    }

    /// The path of the setting that holds an API key, or names its file.
    fn key_path(
        &self,
        instance: &InstanceName,
        credential: Option<&CredentialName>,
    ) -> Vec<String> {
        let holder = self.checked.config.instances.get(instance);
        let file = match credential {
            None => holder.and_then(|one| one.api_key_file.as_ref()),
            Some(name) => holder
                .and_then(|one| one.credentials.get(name))
                .and_then(|one| one.api_key_file.as_ref()),
        };
        let mut path = vec!["instances", instance.as_str()];
        if let Some(credential) = credential {
            path.extend(["credentials", credential.as_str()]);
        }
        path.push(if file.is_some() {
            "api_key_file"
        } else {
            "api_key"
        });
        path.into_iter().map(str::to_owned).collect()
    }

    /// Prints an error about a section, at the setting that has to change.
    fn error(&self, section: &[&str], diagnosis: &Diagnosis) {
        self.error_at(&[section, &[diagnosis.setting]].concat(), diagnosis);
    }

    fn error_at(&self, path: &[&str], diagnosis: &Diagnosis) {
        let (cause, remedy) = (printable(&diagnosis.cause), printable(&diagnosis.remedy));
        let error = self.checked.error_at(path, cause, Some(remedy));
        terminal::print_stderr(&format!("error: {error}\n"));
    }

    fn warning(&mut self, warning: &ConfigError) {
        self.findings.warnings += 1;
        terminal::print_stderr(&format!("warning: {warning}\n"));
    }

    fn count_failed(&mut self, count: usize, what: &str) {
        if count > 0 {
            self.findings.failed.push(pluralize(count, what));
        }
    }
}

fn has_failed(results: &[CheckResult]) -> bool {
    results.iter().any(|one| one.status == CheckStatus::Fail)
}

/// The longest token accepted, in bytes.
const MAX_TOKEN_BYTES: u64 = 16 << 10;

/// Reads the token: one line, so that it can be pasted.
fn read_token() -> Result<String, CliError> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        terminal::print_stderr("Paste the access token and press Enter:");
    }
    let mut line = String::new();
    let failed = |error: io::Error| {
        CliError::Failed(format!(
            "the token cannot be read from standard input: {error}"
        ))
    };
    stdin
        .lock()
        .take(MAX_TOKEN_BYTES)
        .read_line(&mut line)
        .map_err(failed)?;
    let token = line.trim();
    // People copy the whole header value.
    let token = token.strip_prefix("Bearer ").unwrap_or(token);
    Ok(token.to_owned())
}
