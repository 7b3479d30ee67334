//! Which roles and which Odoo user a caller has, and how to get more.

use std::collections::BTreeSet;

use super::{
    Gateway, RequestError, Unauthenticated,
    authentication::{Authenticated, AuthenticatedToken},
    endpoint::EndpointRoute,
    request_context::RequestContext,
};
use crate::{access::UnknownCredential, tools::Tool};
use gatepost_base::{CredentialName, InstanceName, RoleName};
use gatepost_identity::{AmbiguousCredential, Caller, Challenge, Now, choose_credential};
use gatepost_odoo::{ModelName, Operation};
use gatepost_policy::WriteMode;

impl Gateway {
    /// Checks that a caller has a role in the instance.
    pub(super) fn authorize_instance(
        &self,
        route: &EndpointRoute,
        authenticated: &Authenticated,
    ) -> Result<(), RequestError> {
        let instance = route.endpoint.instance.name();
        self.policy
            .allow_instance(&authenticated.caller.roles, instance)
            .map_err(|forbidden| {
                self.insufficient_scope(route, authenticated.token.as_ref(), &forbidden, |roles| {
                    self.policy.allow_instance(roles, instance).is_ok()
                })
                .unwrap_or(RequestError::NoRole(forbidden))
            })
    }

    /// The caller with the Odoo user that their calls in the instance act as.
    /// `granted` are the credentials that their grants name there.
    ///
    /// # Errors
    /// [`AmbiguousCredential`] if grants or roles name more than one.
    pub(crate) fn with_odoo_credential(
        &self,
        caller: Caller,
        granted: &[CredentialName],
        instance: &InstanceName,
    ) -> Result<Caller, AmbiguousCredential> {
        let of_roles = self.policy.credentials(&caller.roles, instance);
        let credential = choose_credential(granted, of_roles)?;
        Ok(Caller {
            credential,
            ..caller
        })
    }

    /// Authenticates the caller of a write again, because the result that let
    /// them in may be a minute old. `None` if nothing has to be asked again.
    pub(super) async fn reauthenticate_for_write(
        &self,
        context: &RequestContext,
        operation: Operation,
    ) -> Result<Option<RequestContext>, RequestError> {
        let (Some(token), false) = (&context.token, operation.is_read()) else {
            return Ok(None);
        };
        let endpoint = &context.route.endpoint;
        let current = self
            .authenticator
            .reauthenticate(token, endpoint, Now::read())
            .await
            .map_err(|why| self.unauthenticated(&context.route, why))?;
        let instance = endpoint.instance.name();
        // Issuer, kind and roles are those of the fresh answer; the subject is the same.
        Ok(Some(RequestContext {
            caller: self.with_odoo_credential(current.caller, &current.credentials, instance)?,
            token: current.token,
            ..context.clone()
        }))
    }

    /// Whether the roles of the caller and the Odoo key of their calls permit
    /// the operation on anything.
    pub(super) fn allows(&self, context: &RequestContext, operation: Operation) -> bool {
        let (caller, instance) = (&context.caller, context.instance());
        self.policy
            .allows_any(&caller.roles, instance.name(), operation)
            && (operation.is_read() || instance.write_mode() > WriteMode::ReadOnly)
            && match instance.account(caller.credential.as_ref()) {
                Ok(account) => account.allow(operation).is_ok(),
                // The call itself reports it.
                Err(UnknownCredential { .. }) => true,
            }
    }

    /// Whether the caller can use the tool for anything. One that calls methods needs
    /// one that it is for.
    pub(super) fn allows_tool(&self, context: &RequestContext, tool: &Tool) -> bool {
        let (roles, instance) = (&context.caller.roles, context.instance().name());
        self.allows(context, tool.operation)
            && (tool.operation != Operation::Call
                || self
                    .policy
                    .allows_any_method(roles, instance, |method| tool.calls(method)))
    }

    /// The models for which the tool is open to the caller, if it is for one method and
    /// the roles name all models that have it.
    pub(super) fn models_of_tool(
        &self,
        context: &RequestContext,
        tool: &Tool,
    ) -> Option<BTreeSet<ModelName>> {
        let (roles, instance) = (&context.caller.roles, context.instance().name());
        let method = tool.only_method()?;
        self.policy.models_with_method(roles, instance, &method)
    }

    /// The error that asks the holder of a token to request more scopes; `None` if no
    /// scope would help, so that clients do not ask in a loop. `is_enough`
    /// decides for the roles that a token with those scopes would have.
    pub(super) fn insufficient_scope(
        &self,
        route: &EndpointRoute,
        token: Option<&AuthenticatedToken>,
        why: &dyn std::fmt::Display,
        is_enough: impl Fn(&[RoleName]) -> bool,
    ) -> Option<RequestError> {
        let token = token.filter(|token| token.provider.supports_step_up())?;
        let scopes = self.authenticator.grants.sufficient_scopes(
            &token.principal,
            token.provider.name(),
            route.endpoint.instance.name(),
            is_enough,
        )?;
        let objection = Challenge::InsufficientScope(scopes.into_iter().collect());
        let challenge = self.challenge(route, &objection);
        Some(RequestError::InsufficientScope(why.to_string(), challenge))
    }

    /// The error for a caller who is not authenticated, with its challenge.
    pub(super) fn unauthenticated(
        &self,
        route: &EndpointRoute,
        why: Unauthenticated,
    ) -> RequestError {
        RequestError::from_unauthenticated(why, |objection| self.challenge(route, objection))
    }

    /// The value of `WWW-Authenticate`.
    pub(super) fn challenge(&self, route: &EndpointRoute, objection: &Challenge) -> Box<str> {
        let value = route.resource().map_or_else(
            || objection.without_metadata(),
            |resource| resource.www_authenticate(objection, self.challenge_always_error),
        );
        value.into()
    }
}
