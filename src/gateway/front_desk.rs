//! What anybody may ask before they are somebody: where to log in.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::json;
use tracing::warn;

use super::{Head, Refusal, Reply, routes::plain_host};
use gatepost_identity::{
    AUTHORIZATION_SERVER, Facade, Finding, Metadata, Now, ProtectedResource, Provider, REGISTER,
    Unavailable,
};
use gatepost_state::limits::PerAddress;

/// The optional facade, with the provider behind it.
#[derive(Debug)]
pub struct FacadeDesk {
    facade: Facade,
    provider: Arc<Provider>,
    registrations: PerAddress,
    /// Whether it was said that the facade is off.
    told: AtomicBool,
}

/// What a request without a caller asks for.
#[derive(Debug)]
pub(super) enum Errand<'a> {
    /// The metadata of a protected resource.
    Resource(&'a ProtectedResource),
    /// The facade's metadata.
    AuthorizationServer(&'a FacadeDesk),
    /// To be registered by the facade.
    Register(&'a FacadeDesk),
}

impl FacadeDesk {
    /// A facade in front of this provider, with an allowance of registrations.
    pub fn new(facade: Facade, provider: Arc<Provider>, registrations: PerAddress) -> Self {
        Self {
            facade,
            provider,
            registrations,
            told: AtomicBool::new(false),
        }
    }

    /// What the facade has at this host and path.
    pub(super) fn errand(&self, head: &Head) -> Option<Errand<'_>> {
        let host = self.facade.issuer.split_once("://")?.1;
        let here = head.host.as_deref().map(plain_host) == Some(plain_host(host));
        match head.path.as_str() {
            AUTHORIZATION_SERVER if here => Some(Errand::AuthorizationServer(self)),
            REGISTER if here => Some(Errand::Register(self)),
            _ => None,
        }
    }

    /// The metadata to show; none where the provider must be shown itself.
    ///
    /// # Errors
    /// [`Unavailable`].
    async fn shown(&self, now: Now) -> Result<Option<serde_json::Value>, Unavailable> {
        let metadata: Arc<Metadata> = self.provider.metadata(now).await?;
        match self.facade.metadata(&metadata) {
            Ok(shown) => {
                self.told.store(false, Ordering::Relaxed);
                Ok(Some(shown))
            }
            Err(why) => {
                if !self.told.swap(true, Ordering::Relaxed) {
                    warn!(error = %why, "Switched the facade off");
                }
                Ok(None)
            }
        }
    }

    /// Whether clients see the facade, for the administrator.
    pub(super) async fn examine(&self, provider: &Provider, now: Now) -> Vec<Finding> {
        if provider.name() != self.provider.name() {
            return Vec::new();
        }
        let Ok(metadata) = self.provider.metadata(now).await else {
            return Vec::new();
        };
        vec![match self.facade.metadata(&metadata) {
            Ok(_) => Finding::doubtful(
                format!(
                    "clients are sent to the facade at `{}`, as far as its metadata tell",
                    self.facade.issuer
                ),
                "log in once and look whether `iss` comes back with the code: then clients refuse it, and the facade must be removed",
            ),
            Err(why) => Finding::bad(
                format!("the facade is off: {why}"),
                "remove `[facade]`, and paste a client id or have clients register at the provider",
            ),
        }]
    }

    /// Answers a registration.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(super) async fn register(&self, body: &[u8], now: Now) -> Result<Reply, Refusal> {
        if self.shown(now).await?.is_none() {
            return Err(Refusal::NoRoute);
        }
        Ok(match self.facade.register(body) {
            Ok(client) => document(StatusCode::CREATED, client.to_string()).with_no_store(),
            Err(refused) => {
                let told =
                    json!({"error": refused.error(), "error_description": refused.to_string()});
                document(StatusCode::BAD_REQUEST, told.to_string()).with_no_store()
            }
        })
    }

    /// Whether one more may register from there.
    ///
    /// # Errors
    /// [`Refusal::Exhausted`].
    pub(super) fn admit(&self, client: Option<std::net::IpAddr>, now: Now) -> Result<(), Refusal> {
        self.registrations
            .spend(client, now.steady)
            .map_err(Refusal::Exhausted)
    }
}

/// Answers a question for metadata: every page may read it.
///
/// # Errors
/// [`Refusal`].
pub(super) async fn metadata(
    errand: &Errand<'_>,
    facade: Option<&FacadeDesk>,
    head: &Head,
    now: Now,
) -> Result<Reply, Refusal> {
    let methods = match errand {
        Errand::AuthorizationServer(_) | Errand::Resource(_) => "GET, HEAD, OPTIONS",
        Errand::Register(_) => "POST, OPTIONS",
    };
    if head.method == Method::OPTIONS {
        return Ok(Reply::empty(StatusCode::NO_CONTENT)
            .with(
                header::ACCESS_CONTROL_ALLOW_METHODS,
                HeaderValue::from_static(methods),
            )
            .with(
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                HeaderValue::from_static("mcp-protocol-version, content-type, accept"),
            ));
    }
    if !matches!(head.method, Method::GET | Method::HEAD) {
        return Err(Refusal::MethodNotAllowed(methods));
    }
    let text = match errand {
        Errand::Resource(resource) => {
            let facade = match facade {
                Some(desk) => desk.shown(now).await?.is_some(),
                None => false,
            };
            resource.document(facade).to_owned()
        }
        Errand::AuthorizationServer(desk) => {
            let shown = desk.shown(now).await?.ok_or(Refusal::NoRoute)?;
            shown.to_string()
        }
        Errand::Register(_) => return Err(Refusal::MethodNotAllowed(methods)),
    };
    let keep = HeaderValue::from_static("public, max-age=300");
    Ok(document(StatusCode::OK, text).with(header::CACHE_CONTROL, keep))
}

fn document(status: StatusCode, text: String) -> Reply {
    Reply::json(status, Bytes::from(text))
}
