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
    access::{rejection_cause, renewal_help},
    config::{Config, LocatedRules, Sources, ValidConfig, load_rules},
    diagnostics::{CredentialCheck, CredentialFailure, PolicyFinding},
};
use gatepost_base::text::pluralize;
use gatepost_identity::{CheckResult, CheckStatus};
use gatepost_state::store::{StateStore, StoreHealth, StoreUnhealthy};

/// Checks every Odoo and its API keys, the rules, every identity provider, Redis
/// and the change store; then what a token gives access to, if one is given.
///
/// # Errors
/// If a check fails.
pub(super) fn run_live_checks(
    sources: &Sources,
    checked: &ValidConfig,
    with_token: bool,
) -> Result<(), CliError> {
    let token = with_token.then(read_token).transpose()?;
    let gateway = checked.build_for_diagnostics()?;
    let store = checked.store_settings()?.location;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            CliError::Failed(format!("the async runtime could not be started: {error}"))
        })?;
    let instances = report_instances(
        &checked.config,
        runtime.block_on(gateway.check_credentials()),
    )?;
    let findings = runtime.block_on(gateway.check_rules());
    let rules = report_rules(&load_rules(sources)?, findings);
    let findings = runtime.block_on(gateway.check_providers());
    let providers = report_findings("identity provider", &findings)?;
    let counts = [
        (instances, "instance"),
        (rules, "rule"),
        (providers, "identity provider"),
    ];
    let mut wrong: Vec<String> = counts
        .into_iter()
        .filter(|(failed, _)| *failed > 0)
        .map(|(failed, what)| pluralize(failed, what))
        .collect();
    match runtime.block_on(gateway.limits.check_redis()) {
        Some(Ok(())) => terminal::print("  redis: answers, and supports what the limits need")?,
        Some(Err(error)) => {
            terminal::print_stderr(&format!("error: redis: {error}"));
            wrong.push("redis".to_owned());
        }
        None => {}
    }
    if checked.config.allows_writes()
        && !report_store(runtime.block_on(StateStore::check_location(store)))?
    {
        wrong.push("the change store".to_owned());
    }
    if let Some(token) = token {
        let findings = runtime.block_on(gateway.check_token(&token));
        if report_findings("with the token,", &findings)? == findings.len() {
            wrong.push("the token".to_owned());
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(CliError::Unreachable(format!(
            "{} did not pass",
            wrong.join(" and ")
        )))
    }
}

/// Prints the findings about rules; returns the number of rules with an error.
fn report_rules(rules: &LocatedRules, findings: Vec<PolicyFinding>) -> usize {
    let mut failed = BTreeSet::new();
    for finding in findings {
        let (text, remedy) = (printable(&finding.text), printable(&finding.remedy));
        let error = rules.error_at(&finding.rule, &finding.path, text, Some(remedy));
        let label = match finding.severity {
            CheckStatus::Fail => "error",
            CheckStatus::Pass | CheckStatus::Warn => "warning",
        };
        terminal::print_stderr(&format!("{label}: {error}\n"));
        if finding.severity == CheckStatus::Fail {
            failed.insert(finding.rule);
        }
    }
    failed.len()
}

/// Prints whether the change store works; returns whether it does.
fn report_store(examined: Result<StoreHealth, StoreUnhealthy>) -> Result<bool, CliError> {
    match examined {
        Ok(StoreHealth::Usable) => terminal::print("  changes: the store works")?,
        Ok(StoreHealth::InUse) => {
            terminal::print("  changes: `changes.file` is in use by another process")?;
        }
        Ok(StoreHealth::MayEvict) => terminal::print_stderr(
            "warning: changes: this Redis evicts keys when it is full, so a repeated change may be made twice\n  help: set `maxmemory-policy noeviction` there",
        ),
        Err(error) => {
            terminal::print_stderr(&format!("error: changes: {error}"));
            return Ok(false);
        }
    }
    Ok(true)
}

/// Prints the findings by name; returns the number of names with an error.
fn report_findings<N: std::fmt::Display>(
    what: &str,
    all: &[(N, Vec<CheckResult>)],
) -> Result<usize, CliError> {
    let mut failed = 0;
    for (name, findings) in all {
        for finding in findings {
            // Printable because they may contain text from a token or a provider.
            let text = printable(&finding.message);
            let remedy = finding.remedy.as_deref().map(printable);
            let help = remedy.map_or_else(String::new, |remedy| format!("\n  help: {remedy}"));
            let label = match finding.status {
                CheckStatus::Pass => {
                    terminal::print(&format!("  {name}: {text}"))?;
                    continue;
                }
                CheckStatus::Warn => "warning",
                CheckStatus::Fail => "error",
            };
            terminal::print_stderr(&format!("{label}: {what} `{name}`: {text}{help}"));
        }
        failed += usize::from(findings.iter().any(|one| one.status == CheckStatus::Fail));
    }
    Ok(failed)
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

/// Prints the results of the instances; returns the number with an error.
fn report_instances(config: &Config, answers: Vec<CredentialCheck>) -> Result<usize, CliError> {
    let now = Timestamp::now();
    let mut failed = BTreeSet::new();
    for check in answers {
        let (instance, credential) = (&check.instance, check.credential.as_ref());
        let setting = config.odoo_key_setting(instance, credential);
        let named = credential.map_or_else(String::new, |name| format!(", credential `{name}`"));
        match &check.user {
            Ok(id) => {
                let works = match credential {
                    None => {
                        format!("answers, and accepts the API key of the Odoo user with id {id}")
                    }
                    Some(name) => {
                        format!("accepts the credential `{name}` of the Odoo user with id {id}")
                    }
                };
                terminal::print(&format!("  {instance}: {works}"))?;
                if let Some(expiry) = &check.expiry {
                    let expires = expiry.describe(now);
                    if expiry.is_near(now) {
                        terminal::print_stderr(&format!(
                            "warning: `{instance}`{named}: the API key in `{setting}` {expires}\n  help: {}",
                            renewal_help(&setting)
                        ));
                    } else {
                        terminal::print(&format!("  {instance}{named}: the API key {expires}"))?;
                    }
                }
            }
            Err(CredentialFailure::KeyRejected) => {
                terminal::print_stderr(&format!(
                    "error: `{instance}`{named}: Odoo rejects the API key in `{setting}`: {}\n  help: {}",
                    rejection_cause(None, now),
                    renewal_help(&setting)
                ));
                failed.insert(instance.clone());
            }
            Err(CredentialFailure::Other(error)) => {
                terminal::print_stderr(&format!("error: `{instance}`{named}: {error}"));
                failed.insert(instance.clone());
            }
        }
    }
    Ok(failed.len())
}
