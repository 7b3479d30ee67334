//! One identity provider, with what is remembered of its tokens.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{self, BoxFuture, Shared},
};
use reqwest::Url;
use rustls::ClientConfig;
use tracing::{error, warn};

use super::{
    Bearer, ClientAuth, Metadata, NotAccepted, Now, Principal, Trouble, Unavailable,
    breaker::{Breaker, Leave, Resting},
    claims::{Origin, Terms},
    discovery::Discovery,
    introspection::{CREDENTIALS_REST, Question, Told},
    jwks::{self, KeyCache, KeySet, KeyUnknown, KeysUnavailable},
    jwt::{self, Recipe, Unverified},
    lanes::Lanes,
    members::Members,
    memory::{Known, Memory, Recalled, TokenKey, Trust},
    outbound::{self, Outbound, Reach},
    unavailable::LastTrouble,
};
use gatepost_base::ProviderName;

/// Where every Zitadel is asked about tokens.
const OF_ZITADEL: &str = "/oauth/v2/introspect";

/// Nobody gives shorter tokens: RFC 6749 section 10.10 wants them not to be
/// guessed, and 16 letters of base 64 are 96 bits.
const SHORTEST: usize = 16;

/// A token that nobody gave: asking about it shows whether we may ask.
pub(super) const NOBODYS: &str = "gatepost-check-is-not-a-token";

/// The longest set of keys that is read, in bytes.
const MAX_KEYS_BYTES: usize = 256 << 10;

/// How tokens are proved to be good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Validation {
    /// By asking the provider (RFC 7662).
    Introspection,
    /// By the signature of the provider, here.
    Jwt,
    /// By the signature, and then by asking, so that one that was revoked is
    /// refused; tokens that are no JWT by asking alone.
    JwtThenIntrospection,
}

/// What a provider is made of.
#[derive(Debug)]
pub struct ProviderSettings {
    /// Our name for it.
    pub name: ProviderName,
    /// Its own name, compared byte for byte.
    pub issuer: Arc<str>,
    /// Whether it is a Zitadel: there an audience proves nothing, and grants
    /// ask for roles.
    pub zitadel: bool,
    /// How tokens are proved to be good.
    pub validation: Validation,
    /// How we prove who we are; none only where nobody is asked.
    pub auth: Option<Arc<ClientAuth>>,
    /// Where to ask, if not where its metadata says.
    pub introspection_url: Option<String>,
    /// Where its keys are, if not where its metadata says.
    pub jwks_url: Option<String>,
    /// Whether it signs its answers (RFC 9701).
    pub signed_introspection: bool,
    /// Signature algorithms that are accepted, such as `RS256`.
    pub algorithms: Vec<String>,
    /// Whether a JWT must call itself an access token (RFC 9068).
    pub require_at_jwt: bool,
    /// Audiences of all instances that ask this provider.
    pub audiences: Vec<String>,
    /// JSON pointers to roles or groups.
    pub role_claims: Vec<String>,
    /// JSON pointers to scopes.
    pub scope_claims: Vec<String>,
    /// Claims that name the client a token was issued to.
    pub client_claims: &'static [&'static str],
    /// Whether a token may be without an end.
    pub allow_no_exp: bool,
    /// Whether an answer may leave the token's type out.
    pub allow_missing_token_type: bool,
    /// Whether a token may be without a client.
    pub allow_no_client: bool,
    /// Whether another login can give a token more scopes.
    pub step_up: bool,
    /// Hosts of its endpoints besides the issuer's own.
    pub endpoint_hosts: Vec<String>,
    /// Networks that are not public and where it may be all the same.
    pub private_networks: Vec<ipnet::IpNet>,
    /// Whom to believe to be it.
    pub tls: ClientConfig,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long one question may take in all.
    pub timeout: Duration,
    /// Questions at once.
    pub max_in_flight: usize,
    /// How long a question waits for its place.
    pub max_wait: Duration,
    /// How long it is believed that a token is good.
    pub cache_ttl: Duration,
    /// How long it is believed that it is not.
    pub negative_ttl: Duration,
    /// How old an answer may be for a call that changes something.
    pub write_max_age: Duration,
    /// How much longer a good token counts while the provider does not answer.
    pub stale_if_error: Duration,
    /// How far its clock may be from ours.
    pub clock_skew: Duration,
}

/// Settings that no provider can be made of.
#[derive(Debug, thiserror::Error)]
pub enum InvalidProvider {
    /// A URL that is none.
    #[error("`{0}` is no URL")]
    Url(String),
    /// An algorithm that is none, or none that may be accepted.
    #[error(
        "`{0}` is no algorithm that a token may be signed with; there are RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 and EdDSA"
    )]
    Algorithm(String),
    /// The operating system gives no randomness.
    #[error("the operating system gives no randomness: {0}")]
    NoRandomness(#[from] getrandom::Error),
}

/// One identity provider.
pub struct Provider {
    settings: ProviderSettings,
    outbound: Arc<Outbound>,
    discovery: Arc<Discovery>,
    terms: Terms,
    recipe: Recipe,
    keys: Arc<KeyCache<Unavailable>>,
    memory: Memory,
    breaker: Breaker,
    lanes: Lanes,
    flights: Mutex<HashMap<TokenKey, Flight>>,
    /// How the last question ended, if badly.
    trouble: LastTrouble,
    /// How the last fetch of its keys ended, if badly.
    no_keys: LastTrouble,
}

/// Why a token does not let in.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unproven {
    /// It is not good, or not for us.
    #[error(transparent)]
    NotAccepted(#[from] NotAccepted),
    /// Nobody can say.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// What is known of a token without asking anybody.
#[derive(Debug)]
pub enum Recollection {
    /// It is good, and whose it is.
    Good(Arc<Principal>),
    /// It is not good.
    Refused(NotAccepted),
    /// The provider must be asked ([`Provider::look_up`]).
    Unknown(Unknown),
}

/// What a look-up found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Whose the token is.
    pub principal: Arc<Principal>,
    /// Whether that is an old answer, because there is no new one.
    pub stale: bool,
}

/// A token about which the provider must be asked.
#[derive(Debug)]
pub struct Unknown {
    key: TokenKey,
    once: Option<Known>,
    oldest: Option<Duration>,
}

impl Unknown {
    /// Whether the token was good not long ago.
    pub fn was_good(&self) -> bool {
        self.once.is_some()
    }
}

/// A look-up under way: whoever asks about the same token waits for the same
/// one, and it goes on whoever leaves.
type Flight = Shared<BoxFuture<'static, Result<Arc<Principal>, Unproven>>>;

impl Provider {
    /// A provider with these settings; nobody is asked yet, so that we start
    /// while it is away.
    ///
    /// # Errors
    /// [`InvalidProvider`].
    pub fn new(settings: ProviderSettings) -> Result<Self, InvalidProvider> {
        let issuer = Arc::clone(&settings.issuer);
        let url =
            |text: &str| Url::parse(text).map_err(|_no_url| InvalidProvider::Url(text.to_owned()));
        let own = url(&issuer)?;
        // What the administrator wrote as an address is meant as one.
        let mut networks = settings.private_networks.clone();
        let configured = [&settings.introspection_url, &settings.jwks_url];
        let configured = configured.into_iter().flatten().map(|text| url(text));
        let configured = configured.collect::<Result<Vec<_>, _>>()?;
        for place in configured.iter().chain([&own]) {
            networks.extend(outbound::written_address(place));
        }
        let outbound = Outbound::new(
            own,
            Reach {
                hosts: settings.endpoint_hosts.clone(),
                networks,
                connect_timeout: settings.connect_timeout,
                timeout: settings.timeout,
            },
            settings.tls.clone(),
        );
        let algorithms = settings.algorithms.iter().map(|name| {
            jwt::algorithm(name).ok_or_else(|| InvalidProvider::Algorithm(name.clone()))
        });
        let recipe = Recipe {
            issuer: issuer.to_string(),
            audiences: settings.audiences.iter().cloned().collect(),
            algorithms: algorithms.collect::<Result<_, _>>()?,
            require_at_jwt: settings.require_at_jwt,
            skew: settings.clock_skew,
        };
        Ok(Self {
            outbound: Arc::new(outbound),
            discovery: Arc::new(Discovery::new(Arc::clone(&issuer))),
            terms: Terms {
                issuer,
                skew: settings.clock_skew,
                allow_no_exp: settings.allow_no_exp,
                allow_missing_token_type: settings.allow_missing_token_type,
                allow_no_client: settings.allow_no_client,
                client_claims: settings.client_claims,
                role_claims: settings.role_claims.clone(),
                scope_claims: settings.scope_claims.clone(),
            },
            recipe,
            keys: KeyCache::new(settings.name.as_str()),
            memory: Memory::new(Trust {
                good: settings.cache_ttl,
                refused: settings.negative_ttl,
                in_trouble: settings.stale_if_error,
            })?,
            breaker: Breaker::default(),
            lanes: Lanes::new(settings.max_in_flight, settings.max_wait),
            flights: Mutex::default(),
            trouble: LastTrouble::default(),
            no_keys: LastTrouble::default(),
            settings,
        })
    }

    /// Our name for it.
    pub fn name(&self) -> &ProviderName {
        &self.settings.name
    }

    /// Its own name.
    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// How old an answer may be for a call that changes something.
    pub fn write_max_age(&self) -> Duration {
        self.settings.write_max_age
    }

    /// Whether another login can give a token more scopes.
    pub fn steps_up(&self) -> bool {
        self.settings.step_up
    }

    /// Whether it can say something of tokens that are no JWT.
    pub fn takes_opaque(&self) -> bool {
        match self.settings.validation {
            Validation::Introspection | Validation::JwtThenIntrospection => true,
            Validation::Jwt => false,
        }
    }

    /// What is known of a token without asking anybody; `oldest` is how old
    /// the answer may be. A good one whose time is nearly over is looked up
    /// again in the background.
    pub fn recall(
        self: &Arc<Self>,
        bearer: Bearer<'_>,
        oldest: Option<Duration>,
        now: Now,
    ) -> Recollection {
        let key = self.memory.key(bearer.reveal());
        match self.memory.recall(&key, oldest, now) {
            Recalled::Good { known, renew } => {
                if renew {
                    drop(self.fly(key, bearer, None, now));
                }
                Recollection::Good(known.principal)
            }
            Recalled::Refused(why) => Recollection::Refused(why),
            Recalled::Nothing { once } => match self.objection(bearer, now) {
                Some(why) => Recollection::Refused(why),
                None => Recollection::Unknown(Unknown { key, once, oldest }),
            },
        }
    }

    /// What is plainly wrong with a token, seen without proof: enough to
    /// refuse it, never to accept it.
    fn objection(&self, bearer: Bearer<'_>, now: Now) -> Option<NotAccepted> {
        if bearer.reveal().len() < SHORTEST {
            return Some(NotAccepted::NotVerified("too_short"));
        }
        match Unverified::read(bearer.reveal()) {
            Some(token) => self
                .recipe
                .rule_out(&token, now.wall)
                .err()
                .map(|why| NotAccepted::NotVerified(why.reason())),
            None if !self.takes_opaque() => Some(NotAccepted::NotVerified("no_jwt")),
            None => None,
        }
    }

    /// Whether a token says that it is this provider's.
    pub fn may_have_issued(&self, bearer: Bearer<'_>) -> bool {
        Unverified::read(bearer.reveal())
            .and_then(|token| token.issuer)
            .is_some_and(|issuer| issuer == self.issuer())
    }

    /// Whether the provider is being asked about the token already, so that one
    /// more who shows it costs no question.
    pub fn is_looking_up(&self, unknown: &Unknown) -> bool {
        self.flights().contains_key(&unknown.key)
    }

    /// Asks the provider, or waits for who asked already.
    ///
    /// # Errors
    /// [`Unproven`].
    pub async fn look_up(
        self: &Arc<Self>,
        bearer: Bearer<'_>,
        unknown: &Unknown,
        now: Now,
    ) -> Result<Found, Unproven> {
        let flight = self.fly(unknown.key, bearer, Some(unknown), now);
        match (flight.await, &unknown.once) {
            // Only where nothing is changed: then `oldest` is not said.
            (Err(Unproven::Unavailable(why)), Some(known))
                if unknown.oldest.is_none() && self.memory.holds_in_trouble(known, now) =>
            {
                warn!(
                    provider.name = %self.name(),
                    error = %why.why,
                    "Let a caller in on an old answer of the identity provider"
                );
                Ok(Found {
                    principal: Arc::clone(&known.principal),
                    stale: true,
                })
            }
            (told, _) => Ok(Found {
                principal: told?,
                stale: false,
            }),
        }
    }

    /// The look-up of a token, begun if nobody has. It is a task of its own: a
    /// caller who leaves takes nobody else's answer away. Without an `unknown`
    /// it is a token that is good and looked up again.
    fn fly(
        self: &Arc<Self>,
        key: TokenKey,
        bearer: Bearer<'_>,
        unknown: Option<&Unknown>,
        now: Now,
    ) -> Flight {
        let mut flights = self.flights();
        if let Some(flight) = flights.get(&key) {
            return flight.clone();
        }
        // It may have landed since the caller looked: an answer is in the
        // memory before its flight is gone from here.
        let landed = unknown.and_then(|unknown| self.landed(unknown, now));
        if let Some(told) = landed {
            return future::ready(told).boxed().shared();
        }
        let known = unknown.is_none_or(Unknown::was_good);
        let provider = Arc::clone(self);
        let token = bearer.keep();
        let task = tokio::spawn(async move {
            let landing = Landing {
                provider: &provider,
                key,
            };
            let told = provider
                .decide(token.as_bearer().reveal(), known, now)
                .await;
            match &told {
                Ok(principal) => provider.memory.good(key, principal, now),
                Err(Unproven::NotAccepted(why)) => provider.memory.refused(key, *why, now),
                // Nothing is known of the token then.
                Err(Unproven::Unavailable(_)) => {}
            }
            drop(landing);
            told
        });
        let flight = async {
            task.await.unwrap_or_else(|panicked| {
                error!(error = %panicked, "Failed to look a token up");
                Err(Trouble::BadAnswer("the look-up broke off".into())
                    .after(1)
                    .into())
            })
        };
        let flight = flight.boxed().shared();
        flights.insert(key, flight.clone());
        flight
    }

    /// What was learned of a token after somebody found it unknown.
    fn landed(&self, unknown: &Unknown, now: Now) -> Option<Result<Arc<Principal>, Unproven>> {
        match self.memory.recall(&unknown.key, unknown.oldest, now) {
            Recalled::Good { known, .. } => Some(Ok(known.principal)),
            Recalled::Refused(why) => Some(Err(why.into())),
            Recalled::Nothing { .. } => None,
        }
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<TokenKey, Flight>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn decide(
        self: &Arc<Self>,
        token: &str,
        known: bool,
        now: Now,
    ) -> Result<Arc<Principal>, Unproven> {
        let by_signature = match self.settings.validation {
            Validation::Introspection => false,
            Validation::Jwt => true,
            Validation::JwtThenIntrospection => Unverified::read(token).is_some(),
        };
        let mut signed = None;
        if by_signature {
            let claims = self.verify(token, now).await?;
            if self.settings.validation == Validation::Jwt {
                let principal = self.terms.accept(&claims, Origin::Jwt, now.wall)?;
                return Ok(Arc::new(principal));
            }
            signed = Some(claims.texts("aud").map_err(NotAccepted::from)?);
        }
        let place = self.lanes.enter(known).await;
        let _place = place.ok_or_else(|| Trouble::Busy.after(1))?;
        let claims = self.ask(token, now).await?;
        let claims = claims.ok_or(NotAccepted::Inactive)?;
        let mut principal = self
            .terms
            .accept(&claims, Origin::Introspection, now.wall)?;
        // What was signed is not widened by what is said later.
        if let Some(signed) = signed {
            principal.audiences.retain(|one| signed.contains(one));
        }
        Ok(Arc::new(principal))
    }

    /// The claims of a JWT whose signature holds.
    async fn verify(self: &Arc<Self>, token: &str, now: Now) -> Result<Members, Unproven> {
        let verify = |keys: &KeySet| self.recipe.verify(token, keys, now.wall);
        self.with_keys(verify, now).await?.map_err(not_verified)
    }

    /// What `verify` says with the provider's keys; with newer ones, where it
    /// needs one that is not there.
    async fn with_keys(
        self: &Arc<Self>,
        verify: impl Fn(&KeySet) -> Result<Members, jwt::Unproven>,
        now: Now,
    ) -> Result<Result<Members, jwt::NotAccepted>, Unavailable> {
        let fetch = || {
            let provider = Arc::clone(self);
            move || async move { provider.fetch_keys(now).await }
        };
        let keys = self.keys.keys(fetch(), now.steady).await;
        let needed = match verify(&*keys.map_err(|why| no_keys(&why))?) {
            Ok(payload) => return Ok(Ok(payload)),
            Err(jwt::Unproven::NotAccepted(why)) => return Ok(Err(why)),
            Err(jwt::Unproven::NeedsKey(needed)) => needed,
        };
        let unknown = Ok(Err(jwt::NotAccepted::UnknownKey));
        match self.keys.keys_with(&needed, fetch(), now.steady).await {
            Ok(keys) => match verify(&keys) {
                Ok(payload) => Ok(Ok(payload)),
                Err(jwt::Unproven::NotAccepted(why)) => Ok(Err(why)),
                Err(jwt::Unproven::NeedsKey(_)) => unknown,
            },
            Err(KeyUnknown::NoSuchKey) => unknown,
            Err(KeyUnknown::Unavailable(why)) => Err(no_keys(&why)),
        }
    }

    async fn fetch_keys(&self, now: Now) -> Result<jwks::Fetched, Unavailable> {
        let fetched = self.fetch_keys_once(now).await;
        self.no_keys.note(&fetched);
        fetched
    }

    async fn fetch_keys_once(&self, now: Now) -> Result<jwks::Fetched, Unavailable> {
        let url = self.jwks_endpoint(now).await?;
        let answer = self.outbound.get(&url, MAX_KEYS_BYTES).await;
        let answer =
            answer.map_err(|error| Trouble::Unreachable(error.to_string().into()).after(2))?;
        if answer.status != http::StatusCode::OK {
            let told = format!("its keys: status {}", answer.status.as_u16());
            return Err(Trouble::BadAnswer(told.into()).after(2));
        }
        let max_age = answer.max_age();
        Ok((answer.body, max_age))
    }

    /// Asks about a token, if the provider is not left alone at the moment.
    async fn ask(self: &Arc<Self>, token: &str, now: Now) -> Result<Option<Members>, Unavailable> {
        let leave = self
            .breaker
            .leave(now.steady)
            .map_err(|Resting(rest)| Trouble::Resting.after(rest.as_secs().clamp(1, 5)))?;
        let told = self.introspect(token, now).await;
        let told = match told {
            Err(unavailable) if Self::may_blame_token(&leave, &unavailable) => {
                match self.introspect(NOBODYS, now).await {
                    Ok(_) => Err(Trouble::NoAnswer(unavailable.why.to_string().into()).after(5)),
                    Err(_) => Err(unavailable),
                }
            }
            told => told,
        };
        self.trouble.note(&told);
        match &told {
            Ok(_) => leave.answered(),
            // About this token or this configuration: whoever shows such a
            // token must not keep others out.
            Err(Unavailable {
                why: Trouble::Misconfigured(why) | Trouble::NoAnswer(why),
                ..
            }) => {
                warn!(
                    provider.name = %self.name(),
                    error = %why,
                    "Failed to ask the identity provider"
                );
                leave.answered();
            }
            Err(unavailable) => {
                let rest = match &unavailable.why {
                    Trouble::Credentials(why) => {
                        error!(
                            provider.name = %self.name(),
                            error = %why,
                            "The identity provider refused our own credentials"
                        );
                        Some(CREDENTIALS_REST)
                    }
                    // It said itself when to come again.
                    Trouble::BadAnswer(_) if unavailable.retry_after > Duration::from_secs(2) => {
                        Some(unavailable.retry_after)
                    }
                    Trouble::BadAnswer(why) | Trouble::Unreachable(why) => {
                        warn!(
                            provider.name = %self.name(),
                            error = %why,
                            "Failed to ask the identity provider"
                        );
                        None
                    }
                    Trouble::Busy
                    | Trouble::Misconfigured(_)
                    | Trouble::NoAnswer(_)
                    | Trouble::Resting => None,
                };
                leave.failed(now.steady, rest);
            }
        }
        told
    }

    /// Whether somebody could keep all others out with one token: before the
    /// provider is left alone for a bad answer, it is asked about a token that
    /// nobody gave. If it can answer that, the first token is to blame.
    fn may_blame_token(leave: &Leave<'_>, unavailable: &Unavailable) -> bool {
        match unavailable.why {
            Trouble::Credentials(_) => true,
            Trouble::BadAnswer(_) => {
                unavailable.retry_after <= Duration::from_secs(2) && leave.would_rest()
            }
            Trouble::Busy
            | Trouble::Misconfigured(_)
            | Trouble::NoAnswer(_)
            | Trouble::Resting
            | Trouble::Unreachable(_) => false,
        }
    }

    async fn introspect(
        self: &Arc<Self>,
        token: &str,
        now: Now,
    ) -> Result<Option<Members>, Unavailable> {
        let endpoint = self.introspection_endpoint(now).await?;
        let Some(auth) = &self.settings.auth else {
            let why =
                "we have no credentials for the provider; set `client_id` and a secret or key";
            return Err(Trouble::Misconfigured(why.into()).after(5));
        };
        let question = Question {
            endpoint: &endpoint,
            auth,
            signed: self.settings.signed_introspection,
        };
        let bad = |why: &str| Trouble::BadAnswer(why.into()).after(2);
        let members = match question.ask(token, &self.outbound, now.wall).await? {
            Told::Plain(members) => members,
            Told::Signed(answer) => {
                let verify = |keys: &KeySet| {
                    let client_id = auth.client_id();
                    self.recipe
                        .verify_introspection(&answer, client_id, keys, now.wall)
                };
                let inner = self.with_keys(verify, now).await?;
                inner
                    .map_err(|why| bad(&format!("its signature does not hold: {}", why.reason())))?
            }
        };
        match members.flag("active") {
            Ok(Some(active)) => Ok(active.then_some(members)),
            // Never taken for a "no", nor for a "yes".
            Ok(None) | Err(_) => Err(bad("`active` is not `true` or `false`")),
        }
    }

    async fn introspection_endpoint(&self, now: Now) -> Result<Url, Unavailable> {
        if let Some(url) = configured(self.settings.introspection_url.as_deref()) {
            return Ok(url);
        }
        let metadata = self.metadata(now).await?;
        let told = metadata.introspection_endpoint.as_deref();
        self.endpoint("introspection_endpoint", told, "introspection_url")
    }

    /// The provider's metadata, asked for where it is not known.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn metadata(&self, now: Now) -> Result<Arc<Metadata>, Unavailable> {
        let metadata = self.discovery.metadata(&self.outbound, now.steady).await?;
        let endpoint = metadata.introspection_endpoint.as_deref();
        if endpoint.is_some_and(|url| url.ends_with(OF_ZITADEL)) && !self.settings.zitadel {
            let why = "the provider is a Zitadel, where every user can get a token for every project; set its `kind = \"zitadel\"` and `project`, and grant by `provider_role`";
            return Err(Trouble::Misconfigured(why.into()).after(5));
        }
        Ok(metadata)
    }

    async fn jwks_endpoint(&self, now: Now) -> Result<Url, Unavailable> {
        if let Some(url) = configured(self.settings.jwks_url.as_deref()) {
            return Ok(url);
        }
        let metadata = self.metadata(now).await?;
        self.endpoint("jwks_uri", metadata.jwks_uri.as_deref(), "jwks_url")
    }

    fn endpoint(&self, name: &str, told: Option<&str>, key: &str) -> Result<Url, Unavailable> {
        let wrong = |why: String| Trouble::Misconfigured(why.into()).after(5);
        let told = told.ok_or_else(|| {
            wrong(format!(
                "the provider's metadata has no `{name}`; set `{key}`, or another `validation`"
            ))
        })?;
        self.outbound
            .endpoint(name, told)
            .map_err(|error| wrong(format!("the provider's metadata: {error}; or set `{key}`")))
    }
}

/// What only an examination asks.
impl Provider {
    pub(super) async fn keys_known(self: &Arc<Self>, now: Now) -> Result<(), Unavailable> {
        let provider = Arc::clone(self);
        let fetch = move || async move { provider.fetch_keys(now).await };
        let keys = self.keys.keys(fetch, now.steady).await;
        keys.map(|_| ()).map_err(|why| no_keys(&why))
    }

    /// Asks about a text, past the memory.
    pub(super) async fn look_up_once(
        self: &Arc<Self>,
        token: &str,
        now: Now,
    ) -> Result<(), Unproven> {
        let claims = self.ask(token, now).await?;
        let claims = claims.ok_or(NotAccepted::Inactive)?;
        self.terms
            .accept(&claims, Origin::Introspection, now.wall)?;
        Ok(())
    }

    pub(super) fn uses_keys(&self) -> bool {
        self.settings.validation != Validation::Introspection || self.settings.signed_introspection
    }

    pub(super) fn wants_at_jwt(&self) -> bool {
        self.settings.require_at_jwt
    }

    pub(super) fn audiences(&self) -> &[String] {
        &self.settings.audiences
    }

    pub(super) fn auth_method(&self) -> Option<&'static str> {
        self.settings.auth.as_deref().map(ClientAuth::method)
    }

    /// Whether its own host is in the public internet; none if it has no
    /// address.
    pub(super) async fn is_public(&self) -> Option<bool> {
        self.outbound.is_public().await
    }

    /// Whether it can be asked, as far as that is known, for `/readyz`.
    pub async fn state(&self, now: Now) -> Result<(), String> {
        if self.settings.introspection_url.is_none() || self.settings.jwks_url.is_none() {
            let known = self.metadata(now).await;
            known.map_err(|unavailable| unavailable.why.to_string())?;
        }
        let told = self.trouble.told().or_else(|| self.no_keys.told());
        told.map_or(Ok(()), Err)
    }
}

/// A URL of the settings; that it is one was seen at the start.
fn configured(text: Option<&str>) -> Option<Url> {
    text.and_then(|text| Url::parse(text).ok())
}

fn not_verified(why: jwt::NotAccepted) -> Unproven {
    NotAccepted::NotVerified(why.reason()).into()
}

fn no_keys(why: &KeysUnavailable<Unavailable>) -> Unavailable {
    match why {
        KeysUnavailable::Unreachable(unavailable) => unavailable.clone(),
        KeysUnavailable::Abandoned => Trouble::Unreachable(why.to_string().into()).after(2),
        KeysUnavailable::Unusable(_) => Trouble::BadAnswer(why.to_string().into()).after(5),
    }
}

/// Takes a look-up out of those that are under way, however it ends.
struct Landing<'a> {
    provider: &'a Provider,
    key: TokenKey,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        drop(self.provider.flights().remove(&self.key));
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("name", &self.settings.name)
            .field("issuer", &self.issuer())
            .finish_non_exhaustive()
    }
}
