//! What a client sends about calls that wait for a person: the person's answer,
//! and cancellations.

use serde_json::value::RawValue;
use tracing::warn;

use super::{Gateway, RequestError, request_context::RequestContext};
use crate::elicitation::{self, Delivery, ElicitationError, ElicitationOwner};
use gatepost_mcp::{
    Params,
    elicitation::{ElicitAction, ElicitationResponse},
};
use gatepost_odoo::Operation;

impl Gateway {
    /// The caller as the owner of questions, whose answers count.
    pub(super) fn elicitation_owner(&self, context: &RequestContext) -> ElicitationOwner {
        let instance = context.instance().name();
        ElicitationOwner::new(&context.caller, instance, self.generation)
    }

    /// Delivers a person's answer to the call that waits for it. Any other
    /// response is ignored: Gatepost did not ask for it, and it does no harm.
    pub(super) async fn answer_elicitation(
        &self,
        context: &RequestContext,
        response: &ElicitationResponse<'_>,
    ) -> Result<(), RequestError> {
        let mut owner = self.elicitation_owner(context);
        let Some(id) = response.id else {
            return Ok(());
        };
        let is_here = self.pending_elicitations.is_pending(id, &owner);
        if !is_here && !elicitation::is_pending(&self.state_store, id, &owner).await {
            // It is late, or another caller's.
            return Ok(());
        }
        let action = response.result.ok().and_then(ElicitAction::from_result);
        // Approval lets the call write, minutes after its caller was authenticated:
        // that takes the same check as a write that arrives now.
        if action == Some(ElicitAction::Accepted)
            && let Some(current) = self
                .reauthenticate_for_write(context, Operation::Write)
                .await?
        {
            owner = self.elicitation_owner(&current);
        }
        if !is_here {
            let posted = elicitation::post_response(&self.state_store, id, &owner, action).await;
            if let Err(error) = posted {
                warn!(error = %error, "Failed to pass a person's answer to another replica");
            }
            return Ok(());
        }
        let answer = action.ok_or(ElicitationError::InvalidResponse);
        match self.pending_elicitations.deliver(id, &owner, answer) {
            Delivery::Delivered | Delivery::NotPending | Delivery::WrongOwner => Ok(()),
        }
    }

    /// Ends a call that waits for a person, if the client cancels it.
    pub(super) fn cancel_call(&self, context: &RequestContext, params: Option<&RawValue>) {
        let request = Params::parse(params)
            .ok()
            .and_then(|params| params.cancelled_request());
        if let (Some(session), Some(request)) = (&context.session, request) {
            let owner = self.elicitation_owner(context);
            self.pending_elicitations.cancel(&owner, session, &request);
        }
    }
}
