//! Whether a change may be made now, or is shown first.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::{
    Change, Proposal, Told, Wish,
    seal::{By, Opened, Seal, Unsealed},
    wish::digest,
};
use crate::access::{Access, Allowed, Denied, WayToAsk};
use gatepost_base::text::one_line;
use gatepost_identity::Caller;
use gatepost_mcp::elicitation::{Consent, Question};
use gatepost_policy::WriteMode;
use gatepost_state::store::Key;

/// How often a person is asked again because the records changed meanwhile.
const MAX_ASKED: usize = 3;
/// Characters that are shown of a name.
const SHOWN: usize = 80;
/// What stands for an approval that was used.
const USED: &str = "used";

/// What becomes of a proposal.
#[derive(Debug)]
pub(super) enum Approved {
    /// It is shown first.
    NotYet(Told),
    /// It may be made, by this approval.
    Yes(Box<Proposal>, Vec<Allowed>, Approval),
}

/// What is used up for a change; nothing where nobody had to be asked, or was
/// asked on the stream of this very call.
#[derive(Debug, Default)]
pub(super) struct Approval(Option<(Key, Duration)>);

impl Approval {
    /// Takes it as used.
    ///
    /// # Errors
    /// [`Denied::Unapproved`] when it was; [`Denied::Unremembered`].
    pub(super) async fn use_up(&self, access: &Access<'_>) -> Result<(), Denied> {
        let Some((key, ttl)) = &self.0 else {
            return Ok(());
        };
        match access.ledger.claim(key, USED.into(), *ttl).await? {
            None => Ok(()),
            Some(_) => Err(used()),
        }
    }

    /// Nothing was changed: it may be used still. What would be done, and to
    /// what, is compared again then.
    pub(super) async fn give_back(&self, access: &Access<'_>) {
        let Some((key, _)) = &self.0 else {
            return;
        };
        if let Err(error) = access.ledger.remove(key, USED.as_bytes()).await {
            // Then it is asked for once more.
            tracing::warn!(error = %error, "Failed to give back an approval");
        }
    }
}

/// Has the change proposed, allowed, and approved where that is needed.
///
/// # Errors
/// [`Denied`].
pub(super) async fn approve(
    access: &Access<'_>,
    wish: &Wish,
    change: &impl Change,
) -> Result<Approved, Denied> {
    // What a person agreed to on the stream of this call.
    let mut agreed: Option<[u8; 32]> = None;
    for _ in 0..=MAX_ASKED {
        let proposal = change.propose(access).await?;
        let mut allowed = Vec::with_capacity(proposal.calls.len());
        for call in &proposal.calls {
            allowed.push(access.permit_change(call.clone()).await?);
        }
        let mode = allowed.iter().map(Allowed::mode).min();
        let mode = mode.unwrap_or(WriteMode::ReadOnly);
        let yes = |proposal, approval| Ok(Approved::Yes(Box::new(proposal), allowed, approval));
        if !mode.asks() {
            return yes(proposal, Approval::default());
        }
        let content = content_of(&proposal);
        if agreed == Some(content) {
            return yes(proposal, Approval::default());
        }
        let secret = access.ledger.secret("approvals").await?;
        let desk = Desk {
            access,
            seal: Seal {
                secret: &secret,
                caller: access.caller,
                instance: access.instance.name(),
                wish,
                content,
            },
            preview: &proposal.preview,
            now: seconds(Timestamp::now()),
        };
        match access.asks.way() {
            WayToAsk::ByResult => match desk.by_result().await? {
                Brought::Approval(approval) => return yes(proposal, approval),
                Brought::Nothing(told) => return Ok(Approved::NotYet(told)),
            },
            WayToAsk::OnStream => {
                let consent = access.asks.ask(&desk.question("")).await?;
                agreed_to(consent)?;
                agreed = Some(content);
            }
            WayToAsk::ById if mode == WriteMode::ByPerson => {
                return Err(Denied::Unapproved(
                    "a person must approve this change, and this client cannot ask one (it has no elicitation); nothing was changed and retrying will not help: ask the user to do it in Odoo, or to connect with a client that can ask".to_owned(),
                ));
            }
            WayToAsk::ById => match desk.by_id().await? {
                Brought::Approval(approval) => return yes(proposal, approval),
                Brought::Nothing(told) => return Ok(Approved::NotYet(told)),
            },
        }
    }
    Err(Denied::Unapproved(
        "the records changed each time while the user was asked; nothing was changed, try again later".to_owned(),
    ))
}

/// What a call brought along.
enum Brought {
    /// An approval that is good, if it was not used before.
    Approval(Approval),
    /// None; this is shown.
    Nothing(Told),
}

/// One proposal, and how it is shown.
struct Desk<'a> {
    access: &'a Access<'a>,
    seal: Seal<'a>,
    preview: &'a str,
    now: u64,
}

impl Desk<'_> {
    /// A client that is asked by a result: what it brought, or the question.
    async fn by_result(&self) -> Result<Brought, Denied> {
        let mut why = String::new();
        if let Some(given) = self.access.asks.given() {
            match self.seal.open(By::Person, &given.state, self.now) {
                Ok(opened) => {
                    let approval = self.approval(&opened);
                    if let Err(denied) = agreed_to(given.consent) {
                        // A no is the last word on it, too.
                        if let Err(error) = approval.use_up(self.access).await {
                            tracing::debug!(error = %error, "Failed to note a no");
                        }
                        return Err(denied);
                    }
                    return Ok(Brought::Approval(approval));
                }
                // MCP 2026-07-28, "Multi Round-Trip Requests": a state that was
                // changed on its way is refused.
                Err(Unsealed::Foreign) => return Err(Denied::ForeignState),
                Err(Unsealed::Changed(opened)) if self.was_used(&opened).await? => {
                    return Err(used());
                }
                Err(unsealed @ (Unsealed::Changed(_) | Unsealed::Expired)) => {
                    why = format!("Asked again, for {unsealed}. ");
                }
            }
        }
        Ok(Brought::Nothing(Told::Asks(Question {
            message: self.question(&why),
            state: self.sealed(By::Person)?,
        })))
    }

    /// A client that cannot ask: what its model brought, or the preview.
    async fn by_id(&self) -> Result<Brought, Denied> {
        let mut why = String::new();
        if let Some(confirm) = &self.seal.wish.confirm {
            match self.seal.open(By::Model, confirm, self.now) {
                Ok(opened) => return Ok(Brought::Approval(self.approval(&opened))),
                Err(Unsealed::Changed(opened)) if self.was_used(&opened).await? => {
                    return Err(used());
                }
                Err(unsealed) => {
                    why = format!("`confirm` does not fit: {unsealed}. So this is shown anew. ");
                }
            }
        }
        let tool = self.seal.wish.tool;
        let minutes = self.access.ledger.settings().approval.as_secs() / 60;
        let id = self.sealed(By::Model)?;
        Ok(Brought::Nothing(Told::Text(format!(
            "{why}Nothing is changed yet. This would be done:\n{}\n\
             If that is what the user wants, call {tool} again with the same arguments and `confirm`: \"{id}\" (good for {minutes} minutes, once).",
            self.preview
        ))))
    }

    /// What a person reads.
    fn question(&self, why: &str) -> String {
        format!(
            "{why}In Odoo ({}), as {}:\n{}",
            self.access.instance.name(),
            who(self.access.caller),
            self.preview
        )
    }

    fn sealed(&self, by: By) -> Result<String, Denied> {
        let mut number = [0; 8];
        getrandom::fill(&mut number)?;
        let good_for = self.access.ledger.settings().approval.as_secs();
        Ok(self.seal.close(by, number, self.now + good_for))
    }

    async fn was_used(&self, opened: &Opened) -> Result<bool, Denied> {
        let key = Key::approval(&opened.number);
        Ok(self.access.ledger.get(&key).await?.is_some())
    }

    fn approval(&self, opened: &Opened) -> Approval {
        // A little longer than it is good: clocks differ.
        let rest = opened.expires.saturating_sub(self.now) + 300;
        Approval(Some((
            Key::approval(&opened.number),
            Duration::from_secs(rest),
        )))
    }
}

/// Who asks, for the person who approves: a key by the name that its administrator
/// gave it, in quotes that no name gets out of, with the id that proves it.
fn who(caller: &Caller) -> String {
    let subject = one_line(caller.subject.as_str(), SHOWN);
    let Some(name) = &caller.name else {
        return subject;
    };
    let quoted = name.chars().fold(String::new(), |mut quoted, char| {
        match char {
            '\\' => quoted.push_str("\\\\"),
            // What looks like the quote that ends it.
            '"' | '\u{201c}'..='\u{201f}' | '\u{2033}' | '\u{2036}' | '\u{ff02}' => {
                quoted.push_str("\\\"");
            }
            plain => quoted.push(plain),
        }
        quoted
    });
    format!("\"{}\" ({subject})", one_line(&quoted, SHOWN))
}

fn used() -> Denied {
    Denied::Unapproved(
        "this approval was used before; nothing was done now. What came of it was told then; look at the records where you did not hear of it. To do it again, call without it".to_owned(),
    )
}

fn agreed_to(consent: Consent) -> Result<(), Denied> {
    match consent {
        Consent::Accepted => Ok(()),
        Consent::Declined => Err(Denied::Unapproved(
            "the user was asked and said no; nothing was changed. Do not try again unless they ask for it".to_owned(),
        )),
        Consent::Cancelled => Err(Denied::Unapproved(
            "the user was asked and closed the question without an answer; nothing was changed. Ask them what they want".to_owned(),
        )),
    }
}

/// The hash of what would be done, and of what is there now.
fn content_of(proposal: &Proposal) -> [u8; 32] {
    let calls = proposal.calls.iter().map(|call| {
        let ids = call.ids().iter().map(|id| Value::from(id.get())).collect();
        Value::Array(vec![
            Value::from(call.model().as_str()),
            Value::from(call.method().to_string()),
            Value::Array(ids),
            Value::Object(call.arguments()),
            Value::Object(call.context().to_json()),
        ])
    });
    digest(&Value::Array(vec![
        calls.collect(),
        proposal.before.to_json(),
        proposal.beside.clone(),
    ]))
}

fn seconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_second()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::who;
    use gatepost_base::Subject;
    use gatepost_identity::{Caller, CallerKind};

    fn named(name: Option<&str>) -> String {
        who(&Caller {
            issuer: "gatepost".to_owned(),
            kind: CallerKind::ApiKey,
            subject: Subject::proved("qbca75071fzn"),
            name: name.map(Into::into),
            roles: Vec::new(),
            credential: None,
        })
    }

    #[test]
    fn a_person_reads_what_a_key_is_called_and_which_it_is() {
        assert_eq!(named(Some("agent of h")), "\"agent of h\" (qbca75071fzn)");
        assert_eq!(named(None), "qbca75071fzn");
    }

    #[test]
    fn no_name_gets_out_of_its_quotes_or_its_line() {
        for (name, shown) in [
            ("a\" (boss):\nGive", r#""a\" (boss):\nGive" (qbca75071fzn)"#),
            ("a\u{201d} (boss)", r#""a\" (boss)" (qbca75071fzn)"#),
            ("a\\", r#""a\\" (qbca75071fzn)"#),
            ("a\u{202e}b", r#""ab" (qbca75071fzn)"#),
        ] {
            assert_eq!(named(Some(name)), shown);
        }
        assert!(named(Some(&"x".repeat(5_000))).len() < 200);
    }
}
