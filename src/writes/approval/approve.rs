//! Whether a change may be made now, or is shown first.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::token::{ApprovalToken, ApprovalTokenError, ApproverKind, VerifiedApproval};
use crate::writes::{RequestFingerprint, WriteOperation, WriteOutcome, WritePlan};
use crate::{
    access::{AuthorizedWrite, OdooSession, OperationError},
    elicitation::ElicitationMode,
};
use gatepost_base::{digest::json_digest, text::one_line};
use gatepost_identity::Caller;
use gatepost_mcp::elicitation::{ElicitAction, ElicitRequest};
use gatepost_policy::WriteMode;
use gatepost_state::store::StoreKey;

/// How often a person is asked again because the records changed meanwhile.
const MAX_APPROVAL_ROUNDS: usize = 3;
/// Characters that are shown of a name.
const MAX_NAME_CHARS: usize = 80;
/// What stands for an approval that was used.
const USED_MARKER: &str = "used";

/// What becomes of a proposal.
#[derive(Debug)]
pub(crate) enum Approved {
    /// It is shown first.
    NeedsApproval(WriteOutcome),
    /// It may be made, by this approval.
    Granted(Box<WritePlan>, Vec<AuthorizedWrite>, Approval),
}

/// What is used up for a change; nothing where nobody had to be asked, or was
/// asked on the stream of this very call.
#[derive(Debug, Default)]
pub(crate) struct Approval(Option<(StoreKey, Duration)>);

impl Approval {
    /// Takes it as used.
    ///
    /// # Errors
    /// [`Denied::Unapproved`] when it was; [`Denied::Unremembered`].
    pub(crate) async fn consume(&self, access: &OdooSession<'_>) -> Result<(), OperationError> {
        let Some((key, ttl)) = &self.0 else {
            return Ok(());
        };
        match access
            .store
            .put_if_absent(key, USED_MARKER.into(), *ttl)
            .await?
        {
            None => Ok(()),
            Some(_) => Err(already_used_error()),
        }
    }

    /// Nothing was changed: it may be used still. What would be done, and to
    /// what, is compared again then.
    pub(crate) async fn release(&self, access: &OdooSession<'_>) {
        let Some((key, _)) = &self.0 else {
            return;
        };
        if let Err(error) = access
            .store
            .compare_and_delete(key, USED_MARKER.as_bytes())
            .await
        {
            // Then it is asked for once more.
            tracing::warn!(error = %error, "Failed to give back an approval");
        }
    }
}

/// Has the change proposed, allowed, and approved where that is needed.
///
/// # Errors
/// [`Denied`].
pub(crate) async fn approve(
    access: &OdooSession<'_>,
    wish: &RequestFingerprint,
    change: &impl WriteOperation,
) -> Result<Approved, OperationError> {
    // What a person agreed to on the stream of this call.
    let mut agreed: Option<[u8; 32]> = None;
    for _ in 0..=MAX_APPROVAL_ROUNDS {
        let proposal = change.plan(access).await?;
        let mut allowed = Vec::with_capacity(proposal.calls.len());
        for call in &proposal.calls {
            allowed.push(access.permit_write(call.clone()).await?);
        }
        let mode = allowed.iter().map(AuthorizedWrite::mode).min();
        let mode = mode.unwrap_or(WriteMode::ReadOnly);
        let yes = |proposal, approval| Ok(Approved::Granted(Box::new(proposal), allowed, approval));
        if !mode.requires_preview() {
            return yes(proposal, Approval::default());
        }
        let content = content_digest(&proposal);
        if agreed == Some(content) {
            return yes(proposal, Approval::default());
        }
        let secret = access.store.secret("approvals").await?;
        let desk = ApprovalContext {
            access,
            token: ApprovalToken {
                secret: &secret,
                caller: access.caller,
                instance: access.instance.name(),
                fingerprint: wish,
                content_digest: content,
            },
            preview: &proposal.preview,
            now: unix_seconds(Timestamp::now()),
        };
        match access.elicitation.mode() {
            ElicitationMode::InputRequired => match desk.via_input_required().await? {
                PresentedApproval::Valid(approval) => return yes(proposal, approval),
                PresentedApproval::Missing(told) => return Ok(Approved::NeedsApproval(told)),
            },
            ElicitationMode::ServerRequest => {
                let consent = access
                    .elicitation
                    .elicit(&desk.approval_message(""))
                    .await?;
                check_elicit_action(consent)?;
                agreed = Some(content);
            }
            ElicitationMode::ConfirmToken if mode == WriteMode::RequireHuman => {
                return Err(OperationError::NotApproved(
                    "a person must approve this change, and this client cannot ask one (it has no elicitation); nothing was changed and retrying will not help: ask the user to do it in Odoo, or to connect with a client that can ask".to_owned(),
                ));
            }
            ElicitationMode::ConfirmToken => match desk.via_confirm_token().await? {
                PresentedApproval::Valid(approval) => return yes(proposal, approval),
                PresentedApproval::Missing(told) => return Ok(Approved::NeedsApproval(told)),
            },
        }
    }
    Err(OperationError::NotApproved(
        "the records changed each time while the user was asked; nothing was changed, try again later".to_owned(),
    ))
}

/// What a call brought along.
enum PresentedApproval {
    /// An approval that is good, if it was not used before.
    Valid(Approval),
    /// None; this is shown.
    Missing(WriteOutcome),
}

/// One proposal, and how it is shown.
struct ApprovalContext<'a> {
    access: &'a OdooSession<'a>,
    token: ApprovalToken<'a>,
    preview: &'a str,
    now: u64,
}

impl ApprovalContext<'_> {
    /// A client that is asked by a result: what it brought, or the question.
    async fn via_input_required(&self) -> Result<PresentedApproval, OperationError> {
        let mut why = String::new();
        if let Some(given) = self.access.elicitation.input_response() {
            match self
                .token
                .verify(ApproverKind::Person, &given.state, self.now)
            {
                Ok(opened) => {
                    let approval = self.approval(&opened);
                    if let Err(denied) = check_elicit_action(given.action) {
                        // A no is the last word on it, too.
                        if let Err(error) = approval.consume(self.access).await {
                            tracing::debug!(error = %error, "Failed to note a no");
                        }
                        return Err(denied);
                    }
                    return Ok(PresentedApproval::Valid(approval));
                }
                // MCP 2026-07-28, "Multi Round-Trip Requests": a state that was
                // changed on its way is refused.
                Err(ApprovalTokenError::Foreign) => {
                    return Err(OperationError::InvalidRequestState);
                }
                Err(ApprovalTokenError::Changed(opened)) if self.was_used(&opened).await? => {
                    return Err(already_used_error());
                }
                Err(unsealed @ (ApprovalTokenError::Changed(_) | ApprovalTokenError::Expired)) => {
                    why = format!("Asked again, for {unsealed}. ");
                }
            }
        }
        Ok(PresentedApproval::Missing(WriteOutcome::NeedsApproval(
            ElicitRequest {
                message: self.approval_message(&why),
                state: self.signed_token(ApproverKind::Person)?,
            },
        )))
    }

    /// A client that cannot ask: what its model brought, or the preview.
    async fn via_confirm_token(&self) -> Result<PresentedApproval, OperationError> {
        let mut why = String::new();
        if let Some(confirm) = &self.token.fingerprint.confirm_token {
            match self.token.verify(ApproverKind::Model, confirm, self.now) {
                Ok(opened) => return Ok(PresentedApproval::Valid(self.approval(&opened))),
                Err(ApprovalTokenError::Changed(opened)) if self.was_used(&opened).await? => {
                    return Err(already_used_error());
                }
                Err(unsealed) => {
                    why = format!("`confirm` does not fit: {unsealed}. So this is shown anew. ");
                }
            }
        }
        let tool = self.token.fingerprint.tool;
        let minutes = self.access.store.retention().approval_ttl.as_secs() / 60;
        let id = self.signed_token(ApproverKind::Model)?;
        Ok(PresentedApproval::Missing(WriteOutcome::Done(format!(
            "{why}Nothing is changed yet. This would be done:\n{}\n\
             If that is what the user wants, call {tool} again with the same arguments and `confirm`: \"{id}\" (good for {minutes} minutes, once).",
            self.preview
        ))))
    }

    /// What a person reads.
    fn approval_message(&self, why: &str) -> String {
        format!(
            "{why}In Odoo ({}), as {}:\n{}",
            self.access.instance.name(),
            caller_label(self.access.caller),
            self.preview
        )
    }

    fn signed_token(&self, by: ApproverKind) -> Result<String, OperationError> {
        let mut number = [0; 8];
        getrandom::fill(&mut number)?;
        let good_for = self.access.store.retention().approval_ttl.as_secs();
        Ok(self.token.sign(by, number, self.now + good_for))
    }

    async fn was_used(&self, opened: &VerifiedApproval) -> Result<bool, OperationError> {
        let key = StoreKey::approval(&opened.nonce);
        Ok(self.access.store.get(&key).await?.is_some())
    }

    fn approval(&self, opened: &VerifiedApproval) -> Approval {
        // A little longer than it is good: clocks differ.
        let rest = opened.expires.saturating_sub(self.now) + 300;
        Approval(Some((
            StoreKey::approval(&opened.nonce),
            Duration::from_secs(rest),
        )))
    }
}

/// Who asks, for the person who approves: a key by the name that its administrator
/// gave it, in quotes that no name gets out of, with the id that proves it.
fn caller_label(caller: &Caller) -> String {
    let subject = one_line(caller.subject.as_str(), MAX_NAME_CHARS);
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
    format!("\"{}\" ({subject})", one_line(&quoted, MAX_NAME_CHARS))
}

fn already_used_error() -> OperationError {
    OperationError::NotApproved(
        "this approval was used before; nothing was done now. What came of it was told then; look at the records where you did not hear of it. To do it again, call without it".to_owned(),
    )
}

fn check_elicit_action(consent: ElicitAction) -> Result<(), OperationError> {
    match consent {
        ElicitAction::Accepted => Ok(()),
        ElicitAction::Declined => Err(OperationError::NotApproved(
            "the user was asked and said no; nothing was changed. Do not try again unless they ask for it".to_owned(),
        )),
        ElicitAction::Cancelled => Err(OperationError::NotApproved(
            "the user was asked and closed the question without an answer; nothing was changed. Ask them what they want".to_owned(),
        )),
    }
}

/// The hash of what would be done, and of what is there now.
fn content_digest(proposal: &WritePlan) -> [u8; 32] {
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
    json_digest(&Value::Array(vec![
        calls.collect(),
        proposal.before.to_json(),
        proposal.names.lines_to_json(),
    ]))
}

fn unix_seconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_second()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::caller_label;
    use gatepost_base::Subject;
    use gatepost_identity::{Caller, CallerKind};

    fn label_of(name: Option<&str>) -> String {
        caller_label(&Caller {
            issuer: "gatepost".to_owned(),
            kind: CallerKind::ApiKey,
            subject: Subject::verified("qbca75071fzn"),
            name: name.map(Into::into),
            roles: Vec::new(),
            credential: None,
        })
    }

    #[test]
    fn caller_label_shows_api_key_name_and_id() {
        assert_eq!(
            label_of(Some("agent of h")),
            "\"agent of h\" (qbca75071fzn)"
        );
        assert_eq!(label_of(None), "qbca75071fzn");
    }

    #[test]
    fn caller_label_escapes_quotes_and_line_breaks() {
        for (name, shown) in [
            ("a\" (boss):\nGive", r#""a\" (boss):\nGive" (qbca75071fzn)"#),
            ("a\u{201d} (boss)", r#""a\" (boss)" (qbca75071fzn)"#),
            ("a\\", r#""a\\" (qbca75071fzn)"#),
            ("a\u{202e}b", r#""ab" (qbca75071fzn)"#),
        ] {
            assert_eq!(label_of(Some(name)), shown);
        }
        assert!(label_of(Some(&"x".repeat(5_000))).len() < 200);
    }
}
