//! A fake authorization server with discovery, introspection and keys, on a free
//! local port. Each endpoint can be made to fail.
//!
//! Its modes are those of the attack table. It records requests, checks the
//! gateway's client authentication, and can stop and restart.

mod client_auth;
mod http1;
mod keys;
mod mode;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::Read as _,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use jsonwebtoken::Algorithm;
use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivatePkcs8KeyDer};
use serde_json::{Value, json};

pub(crate) use client_auth::ExpectedClientAuth;
use http1::{ByteStream, Connection, IdpResponse, Request, ignore_result};
pub(crate) use keys::{SigningKey, hmac, unsigned};
pub(crate) use mode::Mode;

/// The longest time that a test waits for anything.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(50);

/// An endpoint of the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Endpoint {
    Discovery,
    Introspection,
    Jwks,
    Other,
}

/// How a provider answers questions about tokens that it does not know, or with
/// wrong credentials. Each is that of a real one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Refusals {
    /// Kanidm: looks at no credentials; 401 with an empty body for every unknown
    /// token.
    Kanidm,
    /// Rauthy: reports unknown tokens as inactive before it looks at credentials.
    Rauthy,
    /// RFC 7662: looks at the credentials first.
    #[default]
    Standard,
}

/// A request that was received.
#[derive(Clone, Debug)]
pub(crate) struct RecordedRequest {
    pub(crate) endpoint: Endpoint,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) form: Vec<(String, String)>,
    /// The error in the client authentication, if there was one.
    pub(crate) client_auth_fault: Option<String>,
}

impl RecordedRequest {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.form
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// The settings of a provider.
#[derive(Clone, Debug, Default)]
pub(crate) struct IdpOptions {
    /// The path of the issuer, such as `/realms/acme`.
    pub(crate) path: &'static str,
    /// Whether it uses TLS, with a certificate of its own authority.
    pub(crate) tls: bool,
    /// Whether it is stopped at first.
    pub(crate) down: bool,
}

/// A running provider; dropping it stops it.
pub(crate) struct Idp {
    shared: Arc<Shared>,
    /// The certificate of its authority, as PEM.
    pub(crate) authority: Option<String>,
    address: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    /// Reserves the port while the provider is stopped.
    reserved_port: Mutex<Option<tokio::net::TcpSocket>>,
    runtime: tokio::runtime::Runtime,
}

struct Shared {
    issuer: String,
    path: &'static str,
    state: Mutex<State>,
    changed: Condvar,
    sent: Arc<AtomicU64>,
}

struct State {
    client_auth: ExpectedClientAuth,
    /// The claims of each token.
    tokens: BTreeMap<String, Value>,
    modes: BTreeMap<Endpoint, Mode>,
    /// The modes of introspection requests about single tokens.
    token_modes: BTreeMap<String, Mode>,
    /// The modes of single paths.
    page_modes: BTreeMap<String, Mode>,
    refusals: Refusals,
    /// Members of the metadata that are overridden.
    metadata: Value,
    requests: Vec<RecordedRequest>,
    used_jtis: BTreeSet<String>,
    keys: Vec<SigningKey>,
    sign_responses: bool,
    released: bool,
    /// The audience that a token must have to be reported as active.
    required_audience: Option<String>,
    listening: bool,
    connections: Vec<TcpStream>,
}

impl Idp {
    /// A provider at `http://127.0.0.1:PORT`.
    pub(crate) fn start() -> Self {
        Self::start_with(&IdpOptions::default())
    }

    /// A provider with these settings.
    pub(crate) fn start_with(set_up: &IdpOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tls, authority) = set_up.tls.then(certificate).unzip();
        let scheme = if set_up.tls { "https" } else { "http" };
        let base = format!("{scheme}://{address}");
        // All characters with a meaning in form encoding, Basic or JSON.
        let secret = format!("a b+c%20:/?&=\"é{}", random_hex(8));
        let shared = Arc::new(Shared {
            issuer: format!("{base}{}", set_up.path),
            path: set_up.path,
            state: Mutex::new(State {
                client_auth: ExpectedClientAuth::Basic {
                    id: "gate post".to_owned(),
                    secret,
                },
                tokens: BTreeMap::new(),
                modes: BTreeMap::new(),
                token_modes: BTreeMap::new(),
                page_modes: BTreeMap::new(),
                refusals: Refusals::default(),
                metadata: json!({}),
                requests: Vec::new(),
                used_jtis: BTreeSet::new(),
                keys: vec![
                    SigningKey::rsa(0, &random_hex(4)),
                    SigningKey::p256(&random_hex(4)),
                ],
                sign_responses: false,
                released: false,
                required_audience: None,
                listening: false,
                connections: Vec::new(),
            }),
            changed: Condvar::new(),
            sent: Arc::default(),
        });
        let idp = Self {
            shared,
            authority,
            address,
            tls,
            reserved_port: Mutex::new(None),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
        };
        if set_up.down {
            drop(listener);
            idp.reserve_port();
        } else {
            idp.listen(listener);
        }
        idp
    }

    /// The issuer, byte for byte.
    pub(crate) fn issuer(&self) -> &str {
        &self.shared.issuer
    }

    /// The port, for addresses other than the issuer.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The client authentication that the gateway must use.
    pub(crate) fn client_auth(&self) -> ExpectedClientAuth {
        self.state().client_auth.clone()
    }

    /// Changes the required client authentication.
    pub(crate) fn expect_client_auth(&self, asker: ExpectedClientAuth) {
        self.state().client_auth = asker;
    }

    /// Reports only tokens with this audience as active, as Zitadel does.
    pub(crate) fn require_audience(&self, audience: &str) {
        self.state().required_audience = Some(audience.to_owned());
    }

    /// Signs its introspection responses (RFC 9701).
    pub(crate) fn sign_responses(&self) {
        self.state().sign_responses = true;
    }

    /// Overrides a member of the metadata.
    pub(crate) fn set_metadata(&self, name: &str, value: Value) {
        self.state().metadata[name] = value;
    }

    /// Sets the mode of an endpoint.
    pub(crate) fn set_mode(&self, endpoint: Endpoint, mode: Mode) {
        let mut state = self.state();
        state.released = false;
        state.modes.insert(endpoint, mode);
    }

    /// Sets the mode of introspection requests about one token.
    pub(crate) fn set_token_mode(&self, token: &str, mode: Mode) {
        self.state().token_modes.insert(token.to_owned(), mode);
    }

    /// Sets the mode of one path.
    pub(crate) fn set_page(&self, path: &str, mode: Mode) {
        self.state().page_modes.insert(path.to_owned(), mode);
    }

    /// Answers like this real provider.
    pub(crate) fn refuse_like(&self, refusals: Refusals) {
        self.state().refusals = refusals;
    }

    /// Sends the [held](Mode::Held) responses, and holds no more.
    pub(crate) fn release(&self) {
        self.state().released = true;
        self.shared.changed.notify_all();
    }

    /// An opaque token with these claims.
    pub(crate) fn issue_opaque(&self, claims: Value) -> String {
        let token = format!("tok-{}", random_hex(24));
        self.set_token(&token, claims);
        token
    }

    /// Sets the claims of a token.
    pub(crate) fn set_token(&self, token: &str, claims: Value) {
        self.state().tokens.insert(token.to_owned(), claims);
    }

    /// Removes a token.
    pub(crate) fn revoke(&self, token: &str) {
        self.state().tokens.remove(token);
    }

    /// A signed token with these claims. The members of the header are added to
    /// or replace `alg` (RS256), `typ` (at+jwt) and `kid`; `null` removes a
    /// member.
    pub(crate) fn issue_jwt(&self, header: &Value, claims: &Value) -> String {
        self.issue_jwt_with_payload(header, &claims.to_string())
    }

    /// The same for claims as a text, which may be invalid JSON.
    pub(crate) fn issue_jwt_with_payload(&self, header: &Value, claims: &str) -> String {
        let algorithm: Algorithm = header["alg"].as_str().unwrap_or("RS256").parse().unwrap();
        let key = self.key(algorithm);
        key.sign(&jwt_header(header, &key.id).to_string(), claims, algorithm)
    }

    /// The current signing key.
    pub(crate) fn key(&self, algorithm: Algorithm) -> SigningKey {
        let state = self.state();
        state.keys[usize::from(algorithm == Algorithm::ES256)].clone()
    }

    /// Replaces all signing keys.
    pub(crate) fn rotate_keys(&self) {
        self.state().keys = vec![
            SigningKey::rsa(1, &random_hex(4)),
            SigningKey::p256(&random_hex(4)),
        ];
    }

    /// All requests, the oldest first.
    pub(crate) fn requests(&self) -> Vec<RecordedRequest> {
        self.state().requests.clone()
    }

    /// The number of requests to an endpoint.
    pub(crate) fn request_count(&self, endpoint: Endpoint) -> usize {
        count_requests(&self.state(), endpoint)
    }

    /// Waits until an endpoint has received this number of requests.
    pub(crate) fn wait_for(&self, endpoint: Endpoint, times: usize) {
        let (_state, timeout) = self
            .shared
            .changed
            .wait_timeout_while(self.state(), TEST_TIMEOUT, |state| {
                count_requests(state, endpoint) < times
            })
            .unwrap();
        assert!(
            !timeout.timed_out(),
            "{endpoint:?} was not asked {times} times"
        );
    }

    /// Waits for any request, at most this long.
    pub(crate) fn wait_for_request(&self, at_most: Duration) {
        drop(
            self.shared
                .changed
                .wait_timeout(self.state(), at_most)
                .unwrap(),
        );
    }

    /// The bytes of all responses so far.
    pub(crate) fn bytes_sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Stops: closes connections and accepts no more.
    pub(crate) fn stop(&self) {
        self.shut_down();
        self.reserve_port();
    }

    /// Restarts on its port, with its state.
    pub(crate) fn restart(&self) {
        let place = self.reserved_port.lock().unwrap().take().unwrap();
        let _inside = self.runtime.enter();
        let listener = place.listen(1024).unwrap().into_std().unwrap();
        listener.set_nonblocking(false).unwrap();
        self.listen(listener);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    fn shut_down(&self) {
        let mut state = self.state();
        if !std::mem::take(&mut state.listening) {
            return;
        }
        for connection in state.connections.drain(..) {
            ignore_result(connection.shutdown(Shutdown::Both));
        }
        drop(state);
        self.release();
        // Wakes the listener, which then closes its socket.
        let mut last = TcpStream::connect(self.address).unwrap();
        ignore_result(last.read(&mut [0; 1]));
    }

    /// Reserves the port, and refuses connections to it.
    fn reserve_port(&self) {
        let place = tokio::net::TcpSocket::new_v4().unwrap();
        place.set_reuseaddr(true).unwrap();
        place.bind(self.address).unwrap();
        *self.reserved_port.lock().unwrap() = Some(place);
    }

    fn listen(&self, listener: TcpListener) {
        self.state().listening = true;
        let (shared, tls) = (Arc::clone(&self.shared), self.tls.clone());
        thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                let mut state = shared.state();
                if !state.listening {
                    // Before the waiting thread continues: the port is free.
                    drop(listener);
                    return;
                }
                state.connections.push(socket.try_clone().unwrap());
                drop(state);
                let (shared, tls) = (Arc::clone(&shared), tls.clone());
                thread::spawn(move || shared.serve(socket, tls));
            }
        });
    }
}

impl Drop for Idp {
    fn drop(&mut self) {
        self.shut_down();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // If the lock is poisoned, the test that failed has reported why.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves one connection until it ends.
    fn serve(&self, socket: TcpStream, tls: Option<Arc<ServerConfig>>) {
        ignore_result(socket.set_nodelay(true));
        let plain = socket.try_clone().unwrap();
        let wire: Box<dyn ByteStream> = match tls {
            Some(tls) => Box::new(StreamOwned::new(ServerConnection::new(tls).unwrap(), plain)),
            None => Box::new(plain),
        };
        let mut connection = Connection::new(wire, socket, Arc::clone(&self.sent));
        while let Some(request) = connection.next_request() {
            let (endpoint, mode, fault) = self.record(&request);
            if mode == Mode::Held {
                drop(
                    self.changed
                        .wait_timeout_while(self.state(), TEST_TIMEOUT, |state| !state.released)
                        .unwrap(),
                );
            }
            if mode == Mode::Reset {
                return connection.close();
            }
            if mode.break_connection(&mut connection) {
                return;
            }
            let reply = mode
                .replacement()
                .unwrap_or_else(|| self.respond(endpoint, &mode, &request, fault.is_some()));
            if connection.respond(&reply).is_err() {
                return;
            }
        }
        connection.close();
    }

    /// Records a request.
    fn record(&self, request: &Request) -> (Endpoint, Mode, Option<String>) {
        let endpoint = self.endpoint(request.path());
        let mut state = self.state();
        let State {
            client_auth: asker,
            used_jtis: used,
            ..
        } = &mut *state;
        let fault = (endpoint == Endpoint::Introspection)
            .then(|| asker.client_auth_fault(request, used))
            .flatten();
        state.requests.push(RecordedRequest {
            endpoint,
            method: request.method.clone(),
            target: request.target.clone(),
            headers: request.headers.clone(),
            form: request.form(),
            client_auth_fault: fault.clone(),
        });
        let of_token = request.form().into_iter().find(|(name, _)| name == "token");
        let of_token = of_token.and_then(|(_, token)| state.token_modes.get(&token));
        let of_page = state.page_modes.get(request.path());
        let mode = of_token.or(of_page).or_else(|| state.modes.get(&endpoint));
        let mode = mode.cloned().unwrap_or_default();
        drop(state);
        self.changed.notify_all();
        (endpoint, mode, fault)
    }

    fn endpoint(&self, path: &str) -> Endpoint {
        let appended = format!("{}/.well-known/openid-configuration", self.path);
        let inserted = format!("/.well-known/oauth-authorization-server{}", self.path);
        if path == appended || path == inserted {
            return Endpoint::Discovery;
        }
        match path.strip_prefix(self.path) {
            Some("/introspect") => Endpoint::Introspection,
            Some("/jwks") => Endpoint::Jwks,
            _ => Endpoint::Other,
        }
    }

    /// A valid response, or one with the fault of the mode.
    fn respond(
        &self,
        endpoint: Endpoint,
        mode: &Mode,
        request: &Request,
        refused: bool,
    ) -> IdpResponse {
        match endpoint {
            Endpoint::Discovery => IdpResponse::json(200, mode.serialize(&self.metadata())),
            Endpoint::Introspection => {
                let (refusals, is_known) = self.is_known(request);
                match refusals {
                    Refusals::Kanidm if !is_known => IdpResponse::text(401, "text/plain", ""),
                    Refusals::Rauthy if !is_known => {
                        IdpResponse::json(200, r#"{"active":false}"#)
                    }
                    Refusals::Rauthy if refused => IdpResponse::json(
                        401,
                        r#"{"timestamp":1,"error":"Unauthorized","message":"Invalid 'client_secret'"}"#,
                    )
                    .with_header("WWW-Authenticate", "OAuth"),
                    Refusals::Standard if refused => IdpResponse::json(401, r#"{"error":"invalid_client"}"#)
                        .with_header("WWW-Authenticate", "Basic"),
                    Refusals::Kanidm | Refusals::Rauthy | Refusals::Standard => {
                        self.introspect(mode, request)
                    }
                }
            }
            Endpoint::Jwks => {
                let keys: Vec<Value> = self.state().keys.iter().map(SigningKey::public).collect();
                IdpResponse::json(200, mode.serialize(&json!({ "keys": keys })))
            }
            Endpoint::Other => IdpResponse::json(404, r#"{"error":"not_found"}"#),
        }
    }

    fn metadata(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.issuer);
        let mut metadata = json!({
            "issuer": self.issuer,
            "authorization_endpoint": at("/authorize"),
            "token_endpoint": at("/token"),
            "introspection_endpoint": at("/introspect"),
            "jwks_uri": at("/jwks"),
            "registration_endpoint": at("/register"),
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
            "introspection_endpoint_auth_methods_supported":
                ["client_secret_basic", "client_secret_post", "private_key_jwt"],
        });
        let all = metadata.as_object_mut().unwrap();
        for (name, value) in self.state().metadata.as_object().unwrap() {
            all.insert(name.clone(), value.clone());
        }
        metadata
    }

    /// How requests are refused, and whether this one is about a token that the
    /// provider knows.
    fn is_known(&self, request: &Request) -> (Refusals, bool) {
        let state = self.state();
        let form = request.form();
        let mut tokens = form.iter().filter(|(name, _)| name == "token");
        let is_known = tokens.any(|(_, token)| state.tokens.contains_key(token));
        (state.refusals, is_known)
    }

    /// RFC 7662 section 2.2, and RFC 9701 if it signs.
    fn introspect(&self, mode: &Mode, request: &Request) -> IdpResponse {
        let state = self.state();
        let form = request.form();
        let known = form
            .iter()
            .find(|(name, _)| name == "token")
            .and_then(|(_, token)| state.tokens.get(token))
            .filter(|claims| {
                state.required_audience.as_ref().is_none_or(|wanted| {
                    claims["aud"] == **wanted
                        || claims["aud"]
                            .as_array()
                            .is_some_and(|all| all.contains(&json!(wanted)))
                })
            });
        let mut answer = json!({ "active": false });
        // A token that makes the provider, or a firewall in front of it, fail.
        if let Some(status) = known.and_then(|claims| claims["!status"].as_u64()) {
            return IdpResponse::json(u16::try_from(status).unwrap(), "{}".to_owned());
        }
        if let Some(claims) = known {
            answer = json!({ "active": true });
            let all = answer.as_object_mut().unwrap();
            for (name, value) in claims.as_object().unwrap() {
                all.insert(name.clone(), value.clone());
            }
            mode.alter_claims(&mut answer);
        }
        if !state.sign_responses {
            return IdpResponse::json(200, mode.serialize(&answer));
        }
        let token = mode.sign_response(
            &answer,
            &self.issuer,
            state.client_auth.client_id(),
            &state.keys[0],
        );
        IdpResponse::text(200, "application/token-introspection+jwt", &token)
    }
}

/// A header with the members that every token has, unless they are overridden.
pub(crate) fn jwt_header(more: &Value, key: &str) -> Value {
    let mut header = json!({"alg": "RS256", "typ": "at+jwt", "kid": key});
    let all = header.as_object_mut().unwrap();
    for (name, value) in more.as_object().unwrap() {
        if value.is_null() {
            all.remove(name);
        } else {
            all.insert(name.clone(), value.clone());
        }
    }
    header
}

fn count_requests(state: &State, endpoint: Endpoint) -> usize {
    let asked = |seen: &&RecordedRequest| seen.endpoint == endpoint;
    state.requests.iter().filter(asked).count()
}

/// This number of random bytes as text.
pub(crate) fn random_hex(bytes: usize) -> String {
    let mut chance = vec![0; bytes];
    getrandom::fill(&mut chance).unwrap();
    let mut text = String::with_capacity(2 * bytes);
    for byte in chance {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

/// A certificate for this machine, and that of the authority that signed it.
fn certificate() -> (Arc<ServerConfig>, String) {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap();
    let config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .unwrap();
    (Arc::new(config), pem)
}

/// Waits until the condition holds; checks it after each request to the provider,
/// or after a moment.
pub(crate) fn wait_until(idp: &Idp, what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + TEST_TIMEOUT;
    while !holds() {
        assert!(Instant::now() < end, "{what} did not happen");
        idp.wait_for_request(Duration::from_millis(20));
    }
}
