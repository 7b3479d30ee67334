//! Approval of a write: whether it may be sent now, or is previewed first.

use std::time::Duration;

use serde_json::Value;

use super::token::{ApprovalToken, ApprovalTokenError, ApproverKind, VerifiedApproval};
use crate::{
    access::{AuthorizedWrite, OdooSession, OperationError},
    elicitation::Elicitation,
    writes::{RequestFingerprint, WriteOperation, WriteOutcome, WritePlan},
};
use gatepost_base::{digest::json_digest, text::visible_text};
use gatepost_identity::Caller;
use gatepost_mcp::elicitation::{ElicitAction, ElicitRequest, InputResponse};
use gatepost_policy::WriteMode;
use gatepost_state::store::{StoreKey, StoreTime};

/// How often a person is asked again because the records have changed meanwhile.
const MAX_APPROVAL_ROUNDS: usize = 3;
/// Characters of a caller's name.
const MAX_NAME_CHARS: usize = 80;
/// The stored value of an approval that was used.
const USED_MARKER: &str = "used";
/// How much longer than its validity the use of an approval is stored, because both
/// are checked one after the other.
const USE_MARGIN: Duration = Duration::from_mins(5);

/// The decision on a plan.
#[derive(Debug)]
pub(crate) enum Approved {
    /// It is previewed first, or changes nothing.
    NeedsApproval(WriteOutcome),
    /// It may be sent with this approval.
    Granted(Box<WritePlan>, Vec<AuthorizedWrite>, ApprovalUse),
}

/// An approval that can be used once; empty if none was needed, or a person was
/// asked on the stream of this very call.
#[derive(Debug, Default)]
pub(crate) struct ApprovalUse(Option<(StoreKey, Duration)>);

impl ApprovalUse {
    /// Marks it as used.
    ///
    /// # Errors
    /// [`OperationError::NotApproved`] if it was used before.
    pub(crate) async fn consume(&self, access: &OdooSession<'_>) -> Result<(), OperationError> {
        let Some((key, ttl)) = &self.0 else {
            return Ok(());
        };
        let marker = USED_MARKER.into();
        match access.store.put_if_absent(key, marker, *ttl).await? {
            None => Ok(()),
            Some(_) => Err(already_used_error()),
        }
    }

    /// Marks the approval as unused, because nothing was changed. When it is used again, the
    /// plan and the records are compared again.
    pub(crate) async fn release(&self, access: &OdooSession<'_>) {
        let Some((key, _)) = &self.0 else {
            return;
        };
        let marker = USED_MARKER.as_bytes();
        if let Err(error) = access.store.compare_and_delete(key, marker).await {
            // The caller then has to ask for approval once more.
            tracing::warn!(error = %error, "Failed to release an approval");
        }
    }
}

/// Plans a write, checks it against policy, and gets the approval that it needs.
pub(crate) async fn approve(
    access: &OdooSession<'_>,
    request: &RequestFingerprint,
    operation: &impl WriteOperation,
) -> Result<Approved, OperationError> {
    // What a person accepted on the stream of this call.
    let mut accepted: Option<[u8; 32]> = None;
    for _ in 0..=MAX_APPROVAL_ROUNDS {
        let plan = operation.plan(access).await?;
        let mut allowed = Vec::with_capacity(plan.calls.len());
        for call in &plan.calls {
            allowed.push(access.permit_write(call.clone()).await?);
        }
        let mode = allowed.iter().map(AuthorizedWrite::mode).min();
        let mode = mode.unwrap_or(WriteMode::ReadOnly);
        let granted = |plan, approval| Ok(Approved::Granted(Box::new(plan), allowed, approval));
        if !mode.requires_preview() {
            return granted(plan, ApprovalUse::default());
        }
        if let Some(records) = &plan.unchanged
            && !presents_approval(access, request)
        {
            let text = format!(
                "Nothing was changed, because the records have these values already:\n{records}"
            );
            return Ok(Approved::NeedsApproval(WriteOutcome::Unchanged(text)));
        }
        let content = content_digest(&plan);
        if accepted == Some(content) {
            return granted(plan, ApprovalUse::default());
        }
        let secret = access.store.secret("approvals").await?;
        let context = ApprovalContext {
            access,
            token: ApprovalToken {
                secret: &secret,
                caller: access.caller,
                instance: access.instance.name(),
                fingerprint: request,
                content_digest: content,
            },
            preview: &plan.preview,
            now: access.store.now().await?,
        };
        let presented = match &access.elicitation {
            Elicitation::InputRequired(response) => {
                context.via_input_required(response.as_ref()).await?
            }
            Elicitation::ServerRequest(stream) => {
                let message = context.approval_message("");
                check_elicit_action(stream.elicit(&message).await?)?;
                accepted = Some(content);
                continue;
            }
            Elicitation::ConfirmToken if mode == WriteMode::RequireHuman => {
                return Err(OperationError::NotApproved(
                    "a person must approve this change, and this client cannot ask one, because it does not support elicitation. Nothing was changed, and retrying will not help. Ask the user to make the change in Odoo, or to use a client that supports elicitation".to_owned(),
                ));
            }
            Elicitation::ConfirmToken => context.via_confirm_token().await?,
        };
        return match presented {
            Ok(approval) => granted(plan, approval),
            Err(outcome) => Ok(Approved::NeedsApproval(outcome)),
        };
    }
    Err(OperationError::NotApproved(
        "the records changed each time while the user was asked. Nothing was changed; try again later".to_owned(),
    ))
}

/// Whether the call is the second of two: what became of the first matters then.
fn presents_approval(access: &OdooSession<'_>, request: &RequestFingerprint) -> bool {
    request.confirm_token.is_some()
        || matches!(access.elicitation, Elicitation::InputRequired(Some(_)))
}

/// The approval that a call presented, which may have been used before; or what the
/// model or a person gets instead.
type PresentedApproval = Result<ApprovalUse, WriteOutcome>;

/// A plan that needs approval.
struct ApprovalContext<'a> {
    access: &'a OdooSession<'a>,
    token: ApprovalToken<'a>,
    preview: &'a str,
    /// By the clock of the store, which also ends the record of its use: so no clock that
    /// is set makes a used approval valid again.
    now: StoreTime,
}

impl ApprovalContext<'_> {
    /// For a client that is asked by the result of a call: its answer, or the
    /// question.
    async fn via_input_required(
        &self,
        response: Option<&InputResponse>,
    ) -> Result<PresentedApproval, OperationError> {
        let mut why = String::new();
        if let Some(input) = response {
            match self
                .token
                .verify(ApproverKind::Person, &input.state, self.now)
            {
                Ok(verified) => {
                    let approval = self.approval(&verified);
                    if let Err(denied) = check_elicit_action(input.action) {
                        // A denial is final, too.
                        if let Err(error) = approval.consume(self.access).await {
                            tracing::debug!(error = %error, "Failed to store a denial");
                        }
                        return Err(denied);
                    }
                    return Ok(Ok(approval));
                }
                // MCP 2026-07-28, "Multi Round-Trip Requests": a state that was
                // modified on its way is rejected.
                Err(ApprovalTokenError::Foreign) => {
                    return Err(OperationError::InvalidRequestState);
                }
                Err(error) => {
                    self.check_unused(error).await?;
                    why = format!("Asked again, because {error}. ");
                }
            }
        }
        Ok(Err(WriteOutcome::NeedsApproval(ElicitRequest {
            message: self.approval_message(&why),
            state: self.signed_token(ApproverKind::Person)?,
        })))
    }

    /// For a client that cannot ask a person: the token of its model, or the
    /// preview.
    async fn via_confirm_token(&self) -> Result<PresentedApproval, OperationError> {
        let mut why = String::new();
        if let Some(confirm) = &self.token.fingerprint.confirm_token {
            match self.token.verify(ApproverKind::Model, confirm, self.now) {
                Ok(verified) => return Ok(Ok(self.approval(&verified))),
                Err(error) => {
                    self.check_unused(error).await?;
                    why =
                        format!("`confirm` is not valid, because {error}. This is a new preview. ");
                }
            }
        }
        let tool = self.token.fingerprint.tool;
        let minutes = self.access.store.retention().approval_ttl.as_secs() / 60;
        let token = self.signed_token(ApproverKind::Model)?;
        Ok(Err(WriteOutcome::Previewed(format!(
            "{why}Nothing is changed yet. This would be done:\n{}\n\
             If that is what the user wants, call {tool} again with the same arguments and `confirm`: \"{token}\" (valid for {minutes} minutes, once).",
            self.preview
        ))))
    }

    /// Rejects a token whose approval was used: the records differ because of that.
    async fn check_unused(&self, error: ApprovalTokenError) -> Result<(), OperationError> {
        let ApprovalTokenError::Changed(verified) = error else {
            return Ok(());
        };
        match self.access.store.get(&self.use_key(&verified)).await? {
            Some(_) => Err(already_used_error()),
            None => Ok(()),
        }
    }

    /// The question for a person.
    fn approval_message(&self, why: &str) -> String {
        format!(
            "{why}In Odoo ({}), as {}:\n{}",
            self.access.instance.name(),
            caller_label(self.access.caller),
            self.preview
        )
    }

    fn signed_token(&self, by: ApproverKind) -> Result<String, OperationError> {
        let mut nonce = [0; 8];
        getrandom::fill(&mut nonce)?;
        let ttl = self.access.store.retention().approval_ttl;
        Ok(self.token.sign(by, nonce, self.now.saturating_add(ttl)))
    }

    fn approval(&self, verified: &VerifiedApproval) -> ApprovalUse {
        let ttl = verified.expires.saturating_since(self.now) + USE_MARGIN;
        ApprovalUse(Some((self.use_key(verified), ttl)))
    }

    /// The key under which its use is stored.
    fn use_key(&self, verified: &VerifiedApproval) -> StoreKey {
        StoreKey::approval(&verified.nonce).owned_by(&self.access.caller.identity())
    }
}

/// The caller, for the person who approves. An API key is shown by the name that
/// its administrator gave it, in quotes that no name can close, and its id.
fn caller_label(caller: &Caller) -> String {
    let subject = bounded(visible_text(caller.subject.as_str(), MAX_NAME_CHARS));
    let Some(name) = &caller.name else {
        return subject;
    };
    let shown = bounded(visible_text(name, MAX_NAME_CHARS));
    let quoted = shown.chars().fold(String::new(), |mut quoted, char| {
        match char {
            // Characters that look like the closing quote.
            '"' | '\u{201c}'..='\u{201f}' | '\u{2033}' | '\u{2036}' | '\u{ff02}' => {
                quoted.push_str("\\\"");
            }
            plain => quoted.push(plain),
        }
        quoted
    });
    format!("\"{quoted}\" ({subject})")
}

/// A text with the number of characters that are left out.
fn bounded((text, left_out): (String, usize)) -> String {
    if left_out == 0 {
        text
    } else {
        format!("{text}…(+{left_out} chars)")
    }
}

fn already_used_error() -> OperationError {
    OperationError::NotApproved(
        "this approval was used before. Nothing was done now. The first response says what was done; if you did not get it, read the records. To do it again, call without the approval".to_owned(),
    )
}

fn check_elicit_action(action: ElicitAction) -> Result<(), OperationError> {
    let why = match action {
        ElicitAction::Accepted => return Ok(()),
        ElicitAction::Declined => {
            "the user was asked and declined. Nothing was changed. Do not try again unless they ask for it"
        }
        ElicitAction::Cancelled => {
            "the user was asked and closed the question without an answer. Nothing was changed. Ask them what they want"
        }
    };
    Err(OperationError::NotApproved(why.to_owned()))
}

/// The digest of what would be done, and of the records as they are now.
fn content_digest(plan: &WritePlan) -> [u8; 32] {
    let calls = plan.calls.iter().map(|call| {
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
        plan.before.to_json(),
        plan.names.lines_to_json(),
    ]))
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
            ("a\u{202e}b", r#""a\u{202e}b" (qbca75071fzn)"#),
        ] {
            assert_eq!(label_of(Some(name)), shown);
        }
        assert!(label_of(Some(&"x".repeat(5_000))).len() < 200);
    }
}
