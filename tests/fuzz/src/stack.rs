//! A gateway without sockets of its own, in front of servers that each input
//! decides about.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use gatepost::{
    config::{Sources, ValidConfig, load},
    gateway::{Head, HttpResponse},
    telemetry::{ErrorSource, RequestLog},
};
use gatepost_base::TraceId;
use http::{HeaderName, HeaderValue, Method, Request, Response, header};
use odoo_sim::{ADMIN_KEY, FakeOdoo, INTERNAL_KEY, SALES_KEY};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{peer::Peer, script::Script};

/// How long a request may take. Longer is a hang.
const MAX_DURATION: Duration = Duration::from_secs(30);

/// A gateway, and its servers.
pub(crate) struct Stack {
    runtime: Runtime,
    peer: Peer,
    config: ValidConfig,
    company: FakeOdoo,
    /// The files that the configuration names.
    _folder: TempDir,
}

/// What a request led to.
pub(crate) struct Outcome {
    pub(crate) response: HttpResponse,
    pub(crate) log: RequestLog,
}

impl Stack {
    /// A gateway with this configuration, in which `PEER` is the authority of the
    /// servers.
    pub(crate) fn new(configuration: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let peer = Peer::start(&runtime);
        let folder = tempfile::tempdir().unwrap();
        let authority = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(folder.path().join("authority.pem"), authority.cert.pem()).unwrap();
        let file = folder.path().join("gatepost.toml");
        let text = configuration.replace("PEER", &peer.address.to_string());
        std::fs::write(&file, text).unwrap();
        let config = load(&Sources::with_environment(Some(file), []));
        Self {
            runtime,
            peer,
            config: config.unwrap_or_else(|errors| panic!("{errors}")),
            company: FakeOdoo::new(jiff::civil::date(2026, 11, 21)),
            _folder: folder,
        }
    }

    /// The authority of the servers.
    pub(crate) fn authority(&self) -> String {
        self.peer.address.to_string()
    }

    /// Sends a request through a new gateway. Odoo is the sample company, except for
    /// what the script answers, which is part of the input.
    pub(crate) fn exchange(
        &self,
        input: &[u8],
        head: Head,
        body: Bytes,
        mut script: Script,
        mut otherwise: impl FnMut(&Request<Bytes>) -> Option<Response<Bytes>> + Send + 'static,
    ) -> Outcome {
        let company = Arc::new(self.company.copy());
        self.peer.answer_with(move |request| {
            script
                .answer(request.uri().path())
                .or_else(|| otherwise(request))
                .unwrap_or_else(|| company.handle(request))
        });
        let outcome = self.runtime.block_on(async {
            let gateway = self.config.build_for_diagnostics().unwrap();
            let mut log = RequestLog::new(TraceId::new(1));
            let work = async {
                match gateway.accept_head(head, &mut log).await {
                    Ok(request) => gateway.handle_body(&request, body, None, &mut log).await,
                    Err(response) => response,
                }
            };
            let response = tokio::time::timeout(MAX_DURATION, work).await;
            Outcome {
                response: response.expect("the request hangs"),
                log,
            }
        });
        outcome.check(input);
        outcome
    }
}

impl Outcome {
    /// Asserts what holds for every response.
    fn check(&self, input: &[u8]) {
        let contains = |text: &[u8], secret: &str| {
            text.windows(secret.len())
                .any(|part| part == secret.as_bytes())
        };
        let Self { response, log } = self;
        assert_ne!(
            log.error_source,
            Some(ErrorSource::Us),
            "{:?}: {:?}",
            log.error_type,
            log.error_detail
        );
        for secret in [ADMIN_KEY, INTERNAL_KEY, SALES_KEY] {
            let fields = response.headers.iter();
            let mut texts = fields
                .map(|(_, value)| value.as_bytes())
                .chain([&*response.body]);
            // A secret that is in the input, too, is no news.
            let found = texts.any(|text| contains(text, secret)) && !contains(input, secret);
            assert!(!found, "a secret in {response:?}");
        }
        let is_json = response
            .headers
            .iter()
            .any(|(name, value)| name == header::CONTENT_TYPE && value == "application/json");
        if is_json && !response.body.is_empty() {
            drop::<Value>(serde_json::from_slice(&response.body).unwrap());
        }
    }
}

/// The head of a POST of JSON to this path.
pub(crate) fn post_head(path: &str) -> Head {
    let text = format!("POST {path}\nHost: localhost\nContent-Type: application/json");
    parse_head(text.as_bytes()).unwrap()
}

/// A head in lines: the method and the path, and then header fields.
pub(crate) fn parse_head(text: &[u8]) -> Option<Head> {
    let mut lines = text.split(|byte| *byte == b'\n');
    let first = std::str::from_utf8(lines.next()?).ok()?;
    let (method, target) = first.split_once(' ')?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = http::HeaderMap::new();
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            headers.append(name, value);
        }
    }
    let host = headers.get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok());
    Some(Head {
        method: Method::from_bytes(method.as_bytes()).ok()?,
        path: path.to_owned(),
        token_in_query: query.contains("access_token"),
        host: host.map(str::to_owned),
        headers,
        is_http_1_0: false,
        peer: Some(std::net::Ipv4Addr::LOCALHOST.into()),
        local_listener: true,
    })
}
