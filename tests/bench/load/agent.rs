//! One client that reuses its connection, and its responses.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    expected::{CALLERS, ExpectedResponses, LIMITED_CALLER, LoadRequestKind, REQUEST_KINDS},
    process::samples,
};

/// A response without the parts that differ each time: its status, and its
/// content without the id.
pub(super) type ComparableResponse = (u16, Value);

/// A client.
pub(super) struct Agent {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
    keys: Vec<String>,
    number: u64,
    requests_built: u64,
    random_state: u64,
    pub(super) counts: ClientCounts,
}

/// The counts of the clients.
#[derive(Default)]
pub(super) struct ClientCounts {
    pub(super) sent: usize,
    /// For each answered request: its trace as Odoo received it, and our number.
    pub(super) requests: Vec<(u128, u128)>,
    pub(super) forbidden: usize,
    pub(super) limited_allowed: usize,
    limited: usize,
    not_json: usize,
    unauthenticated: usize,
    unknown_tools: usize,
    disconnected: usize,
    /// Calls to Odoo, according to the metrics.
    pub(super) odoo_calls: u32,
}

impl Agent {
    pub(super) fn new(address: SocketAddr, keys: Vec<String>, number: usize) -> Self {
        Self {
            address,
            stream: None,
            keys,
            number: number as u64,
            requests_built: 0,
            random_state: (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15),
            counts: ClientCounts::default(),
        }
    }

    /// Performs one of the jobs, and checks the response.
    pub(super) fn send_random_request(&mut self, expected: &ExpectedResponses) {
        // One call in twenty exceeds the rate limit.
        let caller = if self.number.is_multiple_of(20) {
            LIMITED_CALLER
        } else {
            usize::try_from(self.number % 4).unwrap()
        };
        match self.random_below(100) {
            _ if caller == LIMITED_CALLER => self.exceed_rate_limit(expected),
            0..5 => self.disconnect_early(caller),
            5..8 => self.send_invalid_json(caller),
            8..10 => self.send_unauthenticated(),
            _ => {
                let job = REQUEST_KINDS
                    [usize::try_from(self.random_below(REQUEST_KINDS.len() as u64)).unwrap()];
                let reply = self.send_and_count(caller, job);
                assert!(
                    expected.contains(caller, job, &reply),
                    "`{}` sent {job:?} and received {reply:?}",
                    CALLERS[caller]
                );
            }
        }
    }

    /// Sends a request and returns the response, after checking that it belongs
    /// to the request.
    pub(super) fn send_and_count(
        &mut self,
        caller: usize,
        job: LoadRequestKind,
    ) -> ComparableResponse {
        let (tool, arguments) = job.tool_call();
        let reply = self.call_tool(caller, tool, &arguments);
        if job == LoadRequestKind::UnknownTool {
            self.counts.unknown_tools += 1;
        } else if reply.1["result"]["content"][0]["text"]
            .as_str()
            .is_some_and(|text| text.starts_with("you may not"))
        {
            self.counts.forbidden += 1;
        }
        reply
    }

    fn call_tool(&mut self, caller: usize, tool: &str, arguments: &Value) -> ComparableResponse {
        let id = format!("{}-{}", self.number, self.requests_built);
        let message = tool_call_message(&id, tool, arguments);
        let (status, body) = self.exchange(Some(caller), message.as_bytes());
        let mut reply: Value = serde_json::from_slice(&body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&body)));
        let answered = reply.as_object_mut().unwrap().shift_remove("id");
        assert_eq!(answered, Some(json!(id)), "the response for another client");
        (status, reply)
    }

    fn exceed_rate_limit(&mut self, expected: &ExpectedResponses) {
        let job = LoadRequestKind::Count;
        let (tool, arguments) = job.tool_call();
        let reply = self.call_tool(LIMITED_CALLER, tool, &arguments);
        if expected.contains(LIMITED_CALLER, job, &reply) {
            self.counts.limited_allowed += 1;
        } else {
            let text = reply.1["result"]["content"][0]["text"].as_str();
            let waits = text.is_some_and(|text| {
                text.starts_with("you have made too many calls. Nothing was done; try again in ")
            });
            assert!(waits && reply.0 == 200, "{reply:?}");
            self.counts.limited += 1;
            thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Sends a request and disconnects before or while it is answered.
    fn disconnect_early(&mut self, caller: usize) {
        let (tool, arguments) = LoadRequestKind::Search.tool_call();
        let message = tool_call_message("left", tool, &arguments);
        let head = self.head(Some(caller), message.len());
        let stream = self.stream().get_mut();
        stream
            .write_all(format!("{head}{message}").as_bytes())
            .unwrap();
        self.counts.sent += 1;
        self.counts.disconnected += 1;
        // Soon, or when the call is in flight or answered.
        let longest = if self.random_below(2) == 0 { 8 } else { 600 };
        let pause = self.random_below(longest);
        thread::park_timeout(Duration::from_millis(pause));
        self.stream = None;
    }

    fn send_invalid_json(&mut self, caller: usize) {
        let (status, body) = self.exchange(Some(caller), b"{\"jsonrpc\": \"2.0\", ");
        assert_eq!(status, 400);
        let reply: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(reply["error"]["code"], json!(-32700), "{reply}");
        self.counts.not_json += 1;
    }

    fn send_unauthenticated(&mut self) {
        let (tool, arguments) = LoadRequestKind::Search.tool_call();
        let message = tool_call_message("none", tool, &arguments);
        let (status, body) = self.exchange(None, message.as_bytes());
        assert_eq!(status, 401, "{}", String::from_utf8_lossy(&body));
        self.counts.unauthenticated += 1;
    }

    /// Sends a body and reads the whole response.
    fn exchange(&mut self, caller: Option<usize>, body: &[u8]) -> (u16, Vec<u8>) {
        let trace = self.next_trace_id();
        let mut request = self.head(caller, body.len()).into_bytes();
        request.extend_from_slice(body);
        let stream = self.stream();
        stream.get_mut().write_all(&request).unwrap();
        let (mut status, mut length, mut number, mut closes) = (0, 0, None, false);
        loop {
            let mut line = String::new();
            assert!(
                stream.read_line(&mut line).unwrap() > 0,
                "closed without an answer"
            );
            let line = line.trim_end().to_lowercase();
            if status == 0 {
                status = line.split(' ').nth(1).unwrap().parse().unwrap();
            } else if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            } else if let Some(value) = line.strip_prefix("x-request-id: ") {
                number = u128::from_str_radix(value, 16).ok();
            } else if line == "connection: close" {
                closes = true;
            } else if line.is_empty() {
                break;
            }
        }
        let mut answer = vec![0; length];
        stream.read_exact(&mut answer).unwrap();
        if closes {
            self.stream = None;
        }
        self.counts.sent += 1;
        self.counts.requests.push((trace, number.unwrap()));
        (status, answer)
    }

    fn head(&mut self, caller: Option<usize>, length: usize) -> String {
        let trace = self.next_trace_id();
        self.requests_built += 1;
        let proof = caller.map_or_else(String::new, |caller| {
            format!("Authorization: Bearer {}\r\n", self.keys[caller])
        });
        format!(
            "POST /mcp HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\ntraceparent: 00-{trace:032x}-00000000000000ab-01\r\n{proof}Content-Length: {length}\r\n\r\n",
            self.address
        )
    }

    /// The trace of the next request, which is unique.
    fn next_trace_id(&self) -> u128 {
        (u128::from(self.number) + 1) << 64 | u128::from(self.requests_built)
    }

    fn stream(&mut self) -> &mut BufReader<TcpStream> {
        let address = self.address;
        self.stream.get_or_insert_with(|| {
            let stream = TcpStream::connect(address).unwrap();
            stream.set_nodelay(true).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_mins(1)))
                .unwrap();
            BufReader::new(stream)
        })
    }

    /// A pseudorandom number below this (xorshift).
    fn random_below(&mut self, below: u64) -> u64 {
        self.random_state ^= self.random_state << 13;
        self.random_state ^= self.random_state >> 7;
        self.random_state ^= self.random_state << 17;
        self.random_state % below
    }
}

impl ClientCounts {
    pub(super) fn merge(&mut self, other: Self) {
        self.sent += other.sent;
        self.requests.extend(other.requests);
        self.forbidden += other.forbidden;
        self.limited_allowed += other.limited_allowed;
        self.limited += other.limited;
        self.not_json += other.not_json;
        self.unauthenticated += other.unauthenticated;
        self.unknown_tools += other.unknown_tools;
        self.disconnected += other.disconnected;
    }

    /// Asserts that the metrics count exactly what was sent.
    pub(super) fn assert_matches_metrics(&mut self, metrics: &str) {
        let sum = |begin: &str| {
            let sum: f64 = samples(metrics, begin).iter().sum();
            format!("{sum:.0}").parse::<usize>().unwrap()
        };
        let refused = |word: &str| {
            let refusals = metrics
                .lines()
                .filter(|line| line.starts_with("gatepost_refusals_total{"));
            refusals
                .filter(|line| line.contains(&format!("refusal=\"{word}\"")))
                .map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap())
                .sum::<usize>()
        };
        assert_eq!(sum("gatepost_requests_total"), self.sent, "requests");
        assert_eq!(refused("not_json"), self.not_json);
        assert_eq!(refused("unauthenticated"), self.unauthenticated);
        assert_eq!(refused("unknown_tool"), self.unknown_tools);
        assert_eq!(refused("forbidden"), self.forbidden);
        let limited = "gatepost_limit_decisions_total{dimension=\"caller\",outcome=\"limited\"";
        assert_eq!(sum(limited), self.limited);
        let left: usize = metrics
            .lines()
            .filter(|line| line.starts_with("gatepost_requests_total"))
            .filter(|line| line.contains("outcome=\"hung_up\""))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap())
            .sum();
        assert!(left <= self.disconnected, "{left} of {}", self.disconnected);
        assert_eq!(sum("gatepost_audit_failures_total"), 0);
        self.odoo_calls = u32::try_from(sum("gatepost_odoo_calls_total")).unwrap();
        println!(
            "{} refused by policy, {} rate limited, {} hung up and {left} of them were noticed before the end",
            self.forbidden, self.limited, self.disconnected
        );
    }
}

fn tool_call_message(id: &str, tool: &str, arguments: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
        .to_string()
}
