//! One client that keeps its connection, and what it was told.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    expected::{CALLERS, Expected, JOBS, Job, LIMITED},
    process::samples,
};

/// An answer without what differs each time: its status, and what it holds
/// besides the id.
pub(super) type Reply = (u16, Value);

/// A client.
pub(super) struct Agent {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
    keys: Vec<String>,
    number: u64,
    turns: u64,
    chance: u64,
    pub(super) told: Told,
}

/// What clients counted.
#[derive(Default)]
pub(super) struct Told {
    pub(super) sent: usize,
    /// Of each answered request: its trace as Odoo sees it, and our number.
    pub(super) requests: Vec<(u128, u128)>,
    pub(super) forbidden: usize,
    pub(super) limited_allowed: usize,
    limited: usize,
    not_json: usize,
    unauthenticated: usize,
    unknown_tools: usize,
    hung_up: usize,
    /// Calls to Odoo, as the metrics say.
    pub(super) odoo_calls: u32,
}

impl Agent {
    pub(super) fn new(address: SocketAddr, keys: Vec<String>, number: usize) -> Self {
        Self {
            address,
            stream: None,
            keys,
            number: number as u64,
            turns: 0,
            chance: (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15),
            told: Told::default(),
        }
    }

    /// Does one of the things that clients do, and looks at what comes.
    pub(super) fn turn(&mut self, expected: &Expected) {
        // One in twenty calls more often than it may.
        let caller = if self.number.is_multiple_of(20) {
            LIMITED
        } else {
            usize::try_from(self.number % 4).unwrap()
        };
        match self.draw(100) {
            _ if caller == LIMITED => self.be_limited(expected),
            0..5 => self.hang_up(caller),
            5..8 => self.say_no_json(caller),
            8..10 => self.come_without_proof(),
            _ => {
                let job = JOBS[usize::try_from(self.draw(JOBS.len() as u64)).unwrap()];
                let reply = self.ask(caller, job);
                assert!(
                    expected.has(caller, job, &reply),
                    "`{}` asked {job:?} and was told {reply:?}",
                    CALLERS[caller]
                );
            }
        }
    }

    /// Asks, and gives what came; it is the answer to what was asked.
    pub(super) fn ask(&mut self, caller: usize, job: Job) -> Reply {
        let (tool, arguments) = job.call();
        let reply = self.call(caller, tool, &arguments);
        if job == Job::UnknownTool {
            self.told.unknown_tools += 1;
        } else if reply.1["result"]["content"][0]["text"]
            .as_str()
            .is_some_and(|text| text.starts_with("you may not"))
        {
            self.told.forbidden += 1;
        }
        reply
    }

    fn call(&mut self, caller: usize, tool: &str, arguments: &Value) -> Reply {
        let id = format!("{}-{}", self.number, self.turns);
        let message = message(&id, tool, arguments);
        let (status, body) = self.exchange(Some(caller), message.as_bytes());
        let mut reply: Value = serde_json::from_slice(&body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&body)));
        let answered = reply.as_object_mut().unwrap().shift_remove("id");
        assert_eq!(answered, Some(json!(id)), "the answer to somebody else");
        (status, reply)
    }

    fn be_limited(&mut self, expected: &Expected) {
        let job = Job::Count;
        let (tool, arguments) = job.call();
        let reply = self.call(LIMITED, tool, &arguments);
        if expected.has(LIMITED, job, &reply) {
            self.told.limited_allowed += 1;
        } else {
            let text = reply.1["result"]["content"][0]["text"].as_str();
            let waits = text.is_some_and(|text| {
                text.starts_with("you have made too many calls; nothing was done, try again in ")
            });
            assert!(waits && reply.0 == 200, "{reply:?}");
            self.told.limited += 1;
            thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Asks, and leaves before or while it is answered.
    fn hang_up(&mut self, caller: usize) {
        let (tool, arguments) = Job::Search.call();
        let message = message("left", tool, &arguments);
        let head = self.head(Some(caller), message.len());
        let stream = self.stream().get_mut();
        stream
            .write_all(format!("{head}{message}").as_bytes())
            .unwrap();
        self.told.sent += 1;
        self.told.hung_up += 1;
        // Soon, or when the call is under way or answered.
        let longest = if self.draw(2) == 0 { 8 } else { 600 };
        let pause = self.draw(longest);
        thread::park_timeout(Duration::from_millis(pause));
        self.stream = None;
    }

    fn say_no_json(&mut self, caller: usize) {
        let (status, body) = self.exchange(Some(caller), b"{\"jsonrpc\": \"2.0\", ");
        assert_eq!(status, 400);
        let reply: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(reply["error"]["code"], json!(-32700), "{reply}");
        self.told.not_json += 1;
    }

    fn come_without_proof(&mut self) {
        let (tool, arguments) = Job::Search.call();
        let message = message("nobody", tool, &arguments);
        let (status, body) = self.exchange(None, message.as_bytes());
        assert_eq!(status, 401, "{}", String::from_utf8_lossy(&body));
        self.told.unauthenticated += 1;
    }

    /// Sends a body and reads the whole answer.
    fn exchange(&mut self, caller: Option<usize>, body: &[u8]) -> (u16, Vec<u8>) {
        let trace = self.trace();
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
        self.told.sent += 1;
        self.told.requests.push((trace, number.unwrap()));
        (status, answer)
    }

    fn head(&mut self, caller: Option<usize>, length: usize) -> String {
        let trace = self.trace();
        self.turns += 1;
        let proof = caller.map_or_else(String::new, |caller| {
            format!("Authorization: Bearer {}\r\n", self.keys[caller])
        });
        format!(
            "POST /mcp HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\ntraceparent: 00-{trace:032x}-00000000000000ab-01\r\n{proof}Content-Length: {length}\r\n\r\n",
            self.address
        )
    }

    /// The trace of the next request: of no other.
    fn trace(&self) -> u128 {
        (u128::from(self.number) + 1) << 64 | u128::from(self.turns)
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

    /// A number below this, as dice would have it (xorshift).
    fn draw(&mut self, below: u64) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance % below
    }
}

impl Told {
    pub(super) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.requests.extend(other.requests);
        self.forbidden += other.forbidden;
        self.limited_allowed += other.limited_allowed;
        self.limited += other.limited;
        self.not_json += other.not_json;
        self.unauthenticated += other.unauthenticated;
        self.unknown_tools += other.unknown_tools;
        self.hung_up += other.hung_up;
    }

    /// The metrics know of all that was sent, and of nothing else.
    pub(super) fn agrees_with(&mut self, metrics: &str) {
        let sum = |begin: &str| {
            let sum: f64 = samples(metrics, begin).iter().sum();
            format!("{sum:.0}").parse::<usize>().unwrap()
        };
        let refused = |word: &str| sum(&format!("gatepost_refusals_total{{refusal=\"{word}\""));
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
        assert!(left <= self.hung_up, "{left} of {}", self.hung_up);
        assert_eq!(sum("gatepost_audit_failures_total"), 0);
        self.odoo_calls = u32::try_from(sum("gatepost_odoo_calls_total")).unwrap();
        println!(
            "{} refused by policy, {} told to wait, {} hung up and {left} of them were noticed before the end",
            self.forbidden, self.limited, self.hung_up
        );
    }
}

fn message(id: &str, tool: &str, arguments: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
        .to_string()
}
