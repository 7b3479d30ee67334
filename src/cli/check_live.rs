//! `gatepost check --live`: the world around, asked for the administrator.

use std::{
    collections::BTreeSet,
    io::{self, BufRead as _, IsTerminal as _, Read as _},
};

use super::{Failure, terminal};
use crate::{
    config::{Checked, Rules, Sources, load_rules},
    gateway::{Examined, RuleFinding},
};
use gatepost_base::text::counted;
use gatepost_identity::{Finding, Verdict};
use gatepost_state::store::{Ledger, Unusable, Usable};

/// Asks every Odoo whether it is there and whether it takes each of its keys,
/// and every identity provider and Redis whether it does what we need of it; then
/// what a token would open, if one is given.
///
/// # Errors
/// When anybody does not answer as they must.
pub(super) fn ask(sources: &Sources, checked: &Checked, with_token: bool) -> Result<(), Failure> {
    let token = with_token.then(read_token).transpose()?;
    let gateway = checked
        .assemble_unaudited()
        .map_err(|error| Failure::Unfit(error.to_string()))?;
    let ledger_settings = checked
        .ledger_settings()
        .map_err(|error| Failure::Unfit(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("no runtime can be started: {error}")))?;
    let failed = odoo(runtime.block_on(gateway.examine()))?;
    let mut wrong = Vec::new();
    if failed > 0 {
        wrong.push(counted(failed, "instance"));
    }
    let failed = rules(
        &load_rules(sources)?,
        runtime.block_on(gateway.examine_rules()),
    );
    if failed > 0 {
        wrong.push(counted(failed, "rule"));
    }
    let providers = runtime.block_on(gateway.examine_providers());
    let failed = report("identity provider", &providers)?;
    if failed > 0 {
        wrong.push(counted(failed, "identity provider"));
    }
    match runtime.block_on(gateway.limits.examine()) {
        Some(Ok(())) => terminal::print("  redis: answers, and does what limits need")?,
        Some(Err(away)) => {
            terminal::explain(&format!("error: redis: {away}"));
            wrong.push("redis".to_owned());
        }
        None => {}
    }
    if checked.config.may_change()
        && !ledger(runtime.block_on(Ledger::examine(ledger_settings.place)))?
    {
        wrong.push("what is remembered of changes".to_owned());
    }
    if let Some(token) = token {
        let told = runtime.block_on(gateway.examine_token(&token));
        if report("with the token,", &told)? == told.len() {
            wrong.push("the token".to_owned());
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(Failure::Unreachable(format!(
            "{} did not pass",
            wrong.join(" and ")
        )))
    }
}

/// Prints what is wrong with rules; gives the number of those that leave
/// something open, or close something.
fn rules(rules: &Rules, findings: Vec<RuleFinding>) -> usize {
    let mut failed = BTreeSet::new();
    for RuleFinding {
        at,
        path,
        verdict,
        text,
        remedy,
    } in findings
    {
        let mistake = rules.mistake(&at, &path, plain(&text), Some(plain(&remedy)));
        if verdict == Verdict::Bad {
            failed.insert(at);
            terminal::explain(&format!("error: {mistake}\n"));
        } else {
            terminal::explain(&format!("warning: {mistake}\n"));
        }
    }
    failed.len()
}

/// Prints whether changes can be remembered; says whether they can.
fn ledger(examined: Result<Usable, Unusable>) -> Result<bool, Failure> {
    match examined {
        Ok(Usable::Yes) => terminal::print("  changes: can be remembered")?,
        Ok(Usable::InUse) => {
            terminal::print("  changes: `changes.file` is in use by another process")?;
        }
        Ok(Usable::Forgetful) => terminal::explain(
            "warning: changes: this redis drops keys when it is full, and a change that it forgot may be made twice\n  help: set `maxmemory-policy noeviction` there",
        ),
        Err(error) => {
            terminal::explain(&format!("error: changes: {error}"));
            return Ok(false);
        }
    }
    Ok(true)
}

/// Prints what was found, by name; gives the number of those with which
/// something is wrong.
fn report<N: std::fmt::Display>(what: &str, all: &[(N, Vec<Finding>)]) -> Result<usize, Failure> {
    let mut failed = 0;
    for (name, findings) in all {
        for Finding {
            verdict,
            text,
            remedy,
        } in findings
        {
            // They hold what a token or a provider says.
            let (text, remedy) = (plain(text), remedy.as_deref().map(plain));
            let remedy = remedy
                .as_ref()
                .map_or_else(String::new, |remedy| format!("\n  help: {remedy}"));
            match verdict {
                Verdict::Good => terminal::print(&format!("  {name}: {text}"))?,
                Verdict::Doubtful => {
                    terminal::explain(&format!("warning: {what} `{name}`: {text}{remedy}"));
                }
                Verdict::Bad => {
                    terminal::explain(&format!("error: {what} `{name}`: {text}{remedy}"));
                }
            }
        }
        failed += usize::from(findings.iter().any(|one| one.verdict == Verdict::Bad));
    }
    Ok(failed)
}

/// A text without anything that moves a terminal's cursor.
fn plain(text: &str) -> String {
    let shown = |char: char| if char.is_control() { ' ' } else { char };
    text.chars().map(shown).collect()
}

/// The longest token that is read, in bytes.
const MAX_TOKEN_BYTES: u64 = 16 << 10;

/// Reads the token: one line, so that it can be pasted.
fn read_token() -> Result<String, Failure> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        terminal::explain("Paste the access token and press Enter:");
    }
    let mut line = String::new();
    let failed = |error: io::Error| {
        Failure::Failed(format!("no token can be read from standard input: {error}"))
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
fn odoo(answers: Vec<Examined>) -> Result<usize, Failure> {
    let mut failed = BTreeSet::new();
    for Examined {
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
                terminal::explain(&format!("error: `{instance}`: {error}"));
                failed.insert(instance);
            }
            (Err(error), Some(name)) => {
                terminal::explain(&format!(
                    "error: `{instance}`, credential `{name}`: {error}"
                ));
                failed.insert(instance);
            }
        }
    }
    Ok(failed.len())
}
