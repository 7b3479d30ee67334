//! `gatepost check --live`: the world around, asked for the administrator.

use std::{
    collections::BTreeSet,
    io::{self, BufRead as _, IsTerminal as _, Read as _},
};

use super::{CliError, terminal};
use crate::{
    config::{LocatedRules, Sources, ValidConfig, load_rules},
    diagnostics::{CredentialCheck, PolicyFinding},
};
use gatepost_base::text::pluralize;
use gatepost_identity::{CheckResult, CheckStatus};
use gatepost_state::store::{StateStore, StoreHealth, StoreUnhealthy};

/// Asks every Odoo whether it is there and whether it takes each of its keys,
/// and every identity provider and Redis whether it does what we need of it; then
/// what a token would open, if one is given.
///
/// # Errors
/// When anybody does not answer as they must.
pub(super) fn run_live_checks(
    sources: &Sources,
    checked: &ValidConfig,
    with_token: bool,
) -> Result<(), CliError> {
    let token = with_token.then(read_token).transpose()?;
    let gateway = checked
        .build_for_diagnostics()
        .map_err(|error| CliError::UnusableConfig(error.to_string()))?;
    let ledger_settings = checked
        .store_settings()
        .map_err(|error| CliError::UnusableConfig(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::Failed(format!("no runtime can be started: {error}")))?;
    let failed = report_instances(runtime.block_on(gateway.check_credentials()))?;
    let mut wrong = Vec::new();
    if failed > 0 {
        wrong.push(pluralize(failed, "instance"));
    }
    let failed = report_rules(
        &load_rules(sources)?,
        runtime.block_on(gateway.check_rules()),
    );
    if failed > 0 {
        wrong.push(pluralize(failed, "rule"));
    }
    let providers = runtime.block_on(gateway.check_providers());
    let failed = report_findings("identity provider", &providers)?;
    if failed > 0 {
        wrong.push(pluralize(failed, "identity provider"));
    }
    match runtime.block_on(gateway.limits.check_redis()) {
        Some(Ok(())) => terminal::print("  redis: answers, and does what limits need")?,
        Some(Err(away)) => {
            terminal::print_stderr(&format!("error: redis: {away}"));
            wrong.push("redis".to_owned());
        }
        None => {}
    }
    if checked.config.allows_writes()
        && !report_store(runtime.block_on(StateStore::check_location(ledger_settings.location)))?
    {
        wrong.push("what is remembered of changes".to_owned());
    }
    if let Some(token) = token {
        let told = runtime.block_on(gateway.check_token(&token));
        if report_findings("with the token,", &told)? == told.len() {
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

/// Prints what is wrong with rules; gives the number of those that leave
/// something open, or close something.
fn report_rules(rules: &LocatedRules, findings: Vec<PolicyFinding>) -> usize {
    let mut failed = BTreeSet::new();
    for PolicyFinding {
        rule: at,
        path,
        severity: verdict,
        text,
        remedy,
    } in findings
    {
        let mistake = rules.error_at(
            &at,
            &path,
            strip_control_characters(&text),
            Some(strip_control_characters(&remedy)),
        );
        if verdict == CheckStatus::Fail {
            failed.insert(at);
            terminal::print_stderr(&format!("error: {mistake}\n"));
        } else {
            terminal::print_stderr(&format!("warning: {mistake}\n"));
        }
    }
    failed.len()
}

/// Prints whether changes can be remembered; says whether they can.
fn report_store(examined: Result<StoreHealth, StoreUnhealthy>) -> Result<bool, CliError> {
    match examined {
        Ok(StoreHealth::Usable) => terminal::print("  changes: can be remembered")?,
        Ok(StoreHealth::InUse) => {
            terminal::print("  changes: `changes.file` is in use by another process")?;
        }
        Ok(StoreHealth::MayEvict) => terminal::print_stderr(
            "warning: changes: this redis drops keys when it is full, and a change that it forgot may be made twice\n  help: set `maxmemory-policy noeviction` there",
        ),
        Err(error) => {
            terminal::print_stderr(&format!("error: changes: {error}"));
            return Ok(false);
        }
    }
    Ok(true)
}

/// Prints what was found, by name; gives the number of those with which
/// something is wrong.
fn report_findings<N: std::fmt::Display>(
    what: &str,
    all: &[(N, Vec<CheckResult>)],
) -> Result<usize, CliError> {
    let mut failed = 0;
    for (name, findings) in all {
        for CheckResult {
            status: verdict,
            message: text,
            remedy,
        } in findings
        {
            // They hold what a token or a provider says.
            let (text, remedy) = (
                strip_control_characters(text),
                remedy.as_deref().map(strip_control_characters),
            );
            let remedy = remedy
                .as_ref()
                .map_or_else(String::new, |remedy| format!("\n  help: {remedy}"));
            match verdict {
                CheckStatus::Pass => terminal::print(&format!("  {name}: {text}"))?,
                CheckStatus::Warn => {
                    terminal::print_stderr(&format!("warning: {what} `{name}`: {text}{remedy}"));
                }
                CheckStatus::Fail => {
                    terminal::print_stderr(&format!("error: {what} `{name}`: {text}{remedy}"));
                }
            }
        }
        failed += usize::from(findings.iter().any(|one| one.status == CheckStatus::Fail));
    }
    Ok(failed)
}

/// A text without anything that moves a terminal's cursor.
fn strip_control_characters(text: &str) -> String {
    let shown = |char: char| if char.is_control() { ' ' } else { char };
    text.chars().map(shown).collect()
}

/// The longest token that is read, in bytes.
const MAX_TOKEN_BYTES: u64 = 16 << 10;

/// Reads the token: one line, so that it can be pasted.
fn read_token() -> Result<String, CliError> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        terminal::print_stderr("Paste the access token and press Enter:");
    }
    let mut line = String::new();
    let failed = |error: io::Error| {
        CliError::Failed(format!("no token can be read from standard input: {error}"))
    };
    stdin
        .lock()
        .take(MAX_TOKEN_BYTES)
        .read_line(&mut line)
        .map_err(failed)?;
    let token = line.trim();
    // As people copy it.
    let token = token.strip_prefix("Bearer ").unwrap_or(token);
    Ok(token.to_owned())
}

/// Prints what the instances said; gives the number of those that did not pass.
fn report_instances(answers: Vec<CredentialCheck>) -> Result<usize, CliError> {
    let mut failed = BTreeSet::new();
    for CredentialCheck {
        instance,
        credential,
        user,
    } in answers
    {
        match (user, credential) {
            (Ok(id), None) => terminal::print(&format!(
                "  {instance}: answers, and takes the API key of the Odoo user with id {id}"
            ))?,
            (Ok(id), Some(name)) => terminal::print(&format!(
                "  {instance}: takes the credential `{name}` of the Odoo user with id {id}"
            ))?,
            (Err(error), None) => {
                terminal::print_stderr(&format!("error: `{instance}`: {error}"));
                failed.insert(instance);
            }
            (Err(error), Some(name)) => {
                terminal::print_stderr(&format!(
                    "error: `{instance}`, credential `{name}`: {error}"
                ));
                failed.insert(instance);
            }
        }
    }
    Ok(failed.len())
}
