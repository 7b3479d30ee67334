//! What is measured.

use serde::Serialize;
use serde_json::{Value, json};

/// What a client asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CallKind {
    /// `ping`, which reaches no Odoo.
    Ping,
    /// `count_records` on a model with 17 fields.
    Count17,
    /// `count_records` on `res.partner`, with 280 fields.
    Count280,
    /// `search_records` with 20 partners and their default columns.
    Partners,
    /// `search_records`, for which Odoo's answer has about 4 kB.
    Answer4Kb,
    /// The same with 100 kB.
    Answer100Kb,
    /// The same with 1 MB.
    Answer1Mb,
}

impl CallKind {
    /// The message of MCP.
    pub(super) fn message(self) -> Value {
        let answer = |model: &str, limit: u32| json!({ "model": model, "fields": ["name", "comment"], "limit": limit });
        let (tool, arguments) = match self {
            Self::Ping => return json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }),
            Self::Count17 => (
                "count_records",
                json!({ "model": "res.partner.industry", "domain": domain() }),
            ),
            Self::Count280 => (
                "count_records",
                json!({ "model": "res.partner", "domain": domain() }),
            ),
            Self::Partners => (
                "search_records",
                json!({ "model": "res.partner", "domain": domain(), "limit": 20 }),
            ),
            Self::Answer4Kb => ("search_records", answer("x_answer.kb4", 20)),
            Self::Answer100Kb => ("search_records", answer("x_answer.kb100", 100)),
            Self::Answer1Mb => ("search_records", answer("x_answer.mb1", 200)),
        };
        tool_call(tool, &arguments)
    }

    /// The path of the request that Odoo receives; `None` if it receives none.
    pub(super) fn odoo_path(self) -> Option<&'static str> {
        match self {
            Self::Ping => None,
            Self::Count17 => Some("/json/2/res.partner.industry/search_count"),
            Self::Count280 => Some("/json/2/res.partner/search_count"),
            Self::Partners => Some("/json/2/res.partner/search_read"),
            Self::Answer4Kb => Some("/json/2/x_answer.kb4/search_read"),
            Self::Answer100Kb => Some("/json/2/x_answer.kb100/search_read"),
            Self::Answer1Mb => Some("/json/2/x_answer.mb1/search_read"),
        }
    }

    /// The calls of one batch of one client: enough for some tens of milliseconds.
    pub(super) fn batch(self) -> usize {
        match self {
            Self::Ping | Self::Count17 | Self::Count280 => 256,
            Self::Partners | Self::Answer4Kb => 128,
            Self::Answer100Kb => 64,
            Self::Answer1Mb => 16,
        }
    }
}

/// The rules of the callers: they hide fields and filter records.
pub(crate) const RULES: &str = r#"[{ models = ["*"], hidden_fields = ["url", "login", "x_url_*"], domain = [["active", "=", true]] }]"#;

/// The domain of counts and searches.
pub(super) fn domain() -> Value {
    json!([
        ["name", "ilike", "gate"],
        ["create_date", ">=", "2026-01-01"]
    ])
}

/// A `tools/call`.
pub(super) fn tool_call(tool: &str, arguments: &Value) -> Value {
    json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": tool, "arguments": arguments },
    })
}

/// How clients connect.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Transport {
    /// HTTP/1.1 without TLS.
    Http1,
    /// HTTP/1.1 over TLS.
    Tls1,
    /// HTTP/2 over TLS.
    Tls2,
}

impl Transport {
    pub(super) fn uses_tls(self) -> bool {
        self != Self::Http1
    }
}

/// What callers present.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Credential {
    ApiKey,
    /// A token of a provider, whose verdict is cached.
    CachedToken,
}

/// The parts of a gateway's configuration that scenarios vary.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
pub(super) struct Setup {
    pub(super) tls: bool,
    /// Whether limits are in Redis instead of in memory.
    pub(super) redis: bool,
    pub(super) audit: bool,
}

impl Setup {
    /// No TLS, limits in memory, audit on.
    pub(super) const PLAIN: Self = Self {
        tls: false,
        redis: false,
        audit: true,
    };
}

/// One row of the results.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) call: CallKind,
    pub(super) transport: Transport,
    pub(super) clients: usize,
    pub(super) credential: Credential,
    pub(super) redis: bool,
    pub(super) audit: bool,
    /// Whether it is one of the calls that are compared with the peers.
    pub(super) reach: bool,
}

impl Scenario {
    pub(super) fn setup(&self) -> Setup {
        Setup {
            tls: self.transport.uses_tls(),
            redis: self.redis,
            audit: self.audit,
        }
    }
}

const BASE: Scenario = Scenario {
    name: "",
    call: CallKind::Answer4Kb,
    transport: Transport::Http1,
    clients: 1,
    credential: Credential::ApiKey,
    redis: false,
    audit: true,
    reach: false,
};

/// All scenarios: one client with an API key, HTTP/1.1 without TLS, limits in memory
/// and audit on, unless the name says otherwise.
pub(super) const SCENARIOS: [Scenario; 25] = {
    use CallKind::{Answer1Mb, Answer4Kb, Answer100Kb, Count17, Count280, Partners, Ping};
    const fn reach(name: &'static str, call: CallKind) -> Scenario {
        Scenario {
            name,
            call,
            reach: true,
            ..BASE
        }
    }
    const fn load(
        name: &'static str,
        call: CallKind,
        transport: Transport,
        clients: usize,
    ) -> Scenario {
        Scenario {
            name,
            call,
            transport,
            clients,
            ..BASE
        }
    }
    [
        reach("ping", Ping),
        reach("count, 17 fields", Count17),
        reach("count, 280 fields", Count280),
        reach("search, 20 partners", Partners),
        load("4 kB", Answer4Kb, Transport::Http1, 1),
        load("100 kB", Answer100Kb, Transport::Http1, 1),
        load("1 MB", Answer1Mb, Transport::Http1, 1),
        load("4 kB, TLS", Answer4Kb, Transport::Tls1, 1),
        load("4 kB, TLS, h2", Answer4Kb, Transport::Tls2, 1),
        load("100 kB, TLS", Answer100Kb, Transport::Tls1, 1),
        load("100 kB, TLS, h2", Answer100Kb, Transport::Tls2, 1),
        load("1 MB, TLS", Answer1Mb, Transport::Tls1, 1),
        load("1 MB, TLS, h2", Answer1Mb, Transport::Tls2, 1),
        load("4 kB, 64 clients", Answer4Kb, Transport::Http1, 64),
        load("100 kB, 64 clients", Answer100Kb, Transport::Http1, 64),
        load("1 MB, 64 clients", Answer1Mb, Transport::Http1, 64),
        load("4 kB, 64 clients, TLS", Answer4Kb, Transport::Tls1, 64),
        load("4 kB, 64 clients, TLS, h2", Answer4Kb, Transport::Tls2, 64),
        load("100 kB, 64 clients, TLS", Answer100Kb, Transport::Tls1, 64),
        load(
            "100 kB, 64 clients, TLS, h2",
            Answer100Kb,
            Transport::Tls2,
            64,
        ),
        load("1 MB, 64 clients, TLS", Answer1Mb, Transport::Tls1, 64),
        load("1 MB, 64 clients, TLS, h2", Answer1Mb, Transport::Tls2, 64),
        Scenario {
            name: "4 kB, cached token",
            credential: Credential::CachedToken,
            ..BASE
        },
        Scenario {
            name: "4 kB, limits in Redis",
            redis: true,
            ..BASE
        },
        Scenario {
            name: "4 kB, no audit",
            audit: false,
            ..BASE
        },
    ]
};
