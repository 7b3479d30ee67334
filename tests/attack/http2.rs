//! HTTP/2 frames that are cheap to send and dear to receive, and requests that are
//! malformed only there.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::Arc,
};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring};

use crate::{
    client::{connect_from, start_tls},
    footprint::{Footprint, cpu_of},
    process::{serve_command, write_configuration},
    target::{ATTACKER, Setup, Target},
    test_gateway::start_fake_odoo,
};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header field without indexing (RFC 7541 section 6.2.2).
fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        // A 7-bit prefix.
        let length = text.len();
        if length < 127 {
            bytes.push(u8::try_from(length).unwrap());
        } else {
            bytes.push(127);
            let mut rest = length - 127;
            while rest >= 128 {
                bytes.push(u8::try_from(rest % 128).unwrap() | 128);
                rest /= 128;
            }
            bytes.push(u8::try_from(rest).unwrap());
        }
        bytes.extend(text.as_bytes());
    }
    bytes
}

fn fields(all: &[(&str, &str)]) -> Vec<u8> {
    all.iter()
        .flat_map(|(name, value)| field(name, value))
        .collect()
}

/// The head of a call by this key, with more fields.
fn head(key: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let bearer = format!("Bearer {key}");
    let usual = [
        (":method", "POST"),
        (":scheme", "https"),
        (":path", "/demo/mcp"),
        (":authority", "localhost"),
        ("authorization", &*bearer),
        ("content-type", "application/json"),
    ];
    fields(&[&usual[..], more].concat())
}

/// A target with TLS.
pub(super) fn target() -> Target {
    let (odoo, url) = start_fake_odoo();
    let folder = tempfile::tempdir().unwrap();
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.path().join("certificate.pem"), cert.pem()).unwrap();
    fs::write(
        folder.path().join("certificate.key"),
        signing_key.serialize_pem(),
    )
    .unwrap();
    let setup = Setup {
        server: "[server.tls]\ncertificate_file = \"certificate.pem\"\nkey_file = \"certificate.key\"",
        ..Setup::default()
    };
    write_configuration(folder.path(), &setup.text(&url));
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let trusting = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let command = &mut serve_command(folder.path());
    Target::spawn(odoo, folder, command, Some(Arc::new(trusting)))
}

/// A connection of HTTP/2 with these settings.
fn connect(target: &Target, settings: &[u8]) -> StreamOwned<ClientConnection, TcpStream> {
    let mut config = ClientConfig::clone(target.tls.as_ref().unwrap());
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = connect_from(ATTACKER.parse().unwrap(), target.gateway.address);
    let mut stream = start_tls(Arc::new(config), stream);
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, settings)).unwrap();
    stream
}

/// The frames of an attack, for a key.
type Frames = Box<dyn Fn(&str) -> Vec<u8>>;

fn floods() -> Vec<(&'static str, Frames)> {
    let streams = |count: u32| (0..count).map(|number| 2 * number + 1);
    let many = |count: usize, one: Vec<u8>| -> Frames { Box::new(move |_| one.repeat(count)) };
    vec![
        (
            "resets right after the head",
            Box::new(move |key| {
                let open = |stream| {
                    [
                        frame(HEADERS, END_HEADERS, stream, &head(key, &[])),
                        frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]),
                    ]
                    .concat()
                };
                streams(3_000).flat_map(open).collect()
            }),
        ),
        (
            "resets of calls",
            Box::new(move |key| {
                let call = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"count_records","arguments":{"model":"res.partner"}}}"#;
                let open = |stream| {
                    [
                        frame(HEADERS, END_HEADERS, stream, &head(key, &[])),
                        frame(DATA, END_STREAM, stream, call),
                        frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]),
                    ]
                    .concat()
                };
                streams(1_000).flat_map(open).collect()
            }),
        ),
        (
            "continuations without an end",
            Box::new(|key| {
                let mut bytes = frame(HEADERS, 0, 1, &head(key, &[]));
                let more = field("x-more", &"a".repeat(1_000));
                for _ in 0..3_000 {
                    bytes.extend(frame(CONTINUATION, 0, 1, &more));
                }
                bytes
            }),
        ),
        (
            "empty continuations",
            Box::new(|key| {
                let mut bytes = frame(HEADERS, 0, 1, &head(key, &[]));
                bytes.extend(frame(CONTINUATION, 0, 1, &[]).repeat(50_000));
                bytes
            }),
        ),
        (
            "fields that repeat one entry",
            Box::new(|key| {
                // Stored once (section 6.2.1), then named by one octet 15,000 times.
                let mut block = head(key, &[]);
                let large = field("x-large", &"a".repeat(4_000));
                block.push(0x40);
                block.extend(&large[1..]);
                block.extend([0xbe; 15_000]);
                frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)
            }),
        ),
        ("pings", many(50_000, frame(PING, 0, 0, &[0; 8]))),
        ("settings", many(50_000, frame(SETTINGS, 0, 0, &[]))),
        (
            "window settings",
            many(30_000, frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])),
        ),
        (
            "priorities",
            many(50_000, frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1])),
        ),
        (
            "window updates",
            many(50_000, frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ),
        (
            "window overflow",
            many(4, frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])),
        ),
        ("farewells", many(5_000, frame(GOAWAY, 0, 0, &[0; 8]))),
        (
            "unknown frames",
            many(20_000, frame(0xfa, 0xff, 1, &[0; 100])),
        ),
        (
            "empty data",
            Box::new(|key| {
                let mut bytes = frame(HEADERS, END_HEADERS, 1, &head(key, &[]));
                bytes.extend(frame(DATA, 0, 1, &[]).repeat(50_000));
                bytes
            }),
        ),
        (
            "padded data",
            Box::new(|key| {
                let mut bytes = frame(HEADERS, END_HEADERS, 1, &head(key, &[]));
                let mut padded = vec![255];
                padded.extend([0; 255]);
                bytes.extend(frame(DATA, 8, 1, &padded).repeat(300));
                bytes
            }),
        ),
        (
            "streams without an end",
            Box::new(move |key| {
                streams(2_000)
                    .flat_map(|stream| frame(HEADERS, END_HEADERS, stream, &head(key, &[])))
                    .collect()
            }),
        ),
        (
            "a table of a gigabyte",
            Box::new(|key| {
                let mut block = vec![0x3f, 0xe1, 0xff, 0xff, 0xff, 0x03];
                block.extend(head(key, &[]));
                frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)
            }),
        ),
        (
            "a number without an end",
            Box::new(|_| frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff; 10_000])),
        ),
        ("data of the connection", many(1, frame(DATA, 0, 0, b"{}"))),
        (
            "data of a stream that is not open",
            many(1_000, frame(DATA, 0, 99, b"{}")),
        ),
        (
            "a promise",
            many(1, frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])),
        ),
        (
            "a stream of the server",
            Box::new(|key| frame(HEADERS, END_HEADERS | END_STREAM, 2, &head(key, &[]))),
        ),
        (
            "a frame too long",
            Box::new(|_| {
                let mut bytes = vec![0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1];
                bytes.resize(70_000, 0);
                bytes
            }),
        ),
        (
            "HTTP/1",
            Box::new(|_| {
                b"POST /demo/mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
                    .to_vec()
            }),
        ),
    ]
}

#[test]
fn floods_of_frames_stop_nobody_and_leave_nothing() {
    let target = target();
    let mut bystander = target.bystander();
    let before = Footprint::of(target.gateway.id());
    for (name, frames) in floods() {
        let mut held = Vec::new();
        for _ in 0..3 {
            let mut stream = connect(&target, &[]);
            // It closes the connection in the middle of most of them.
            stream.sock.set_nonblocking(false).unwrap();
            drop(stream.write_all(&frames(&target.attacker)));
            drop(stream.flush());
            held.push(stream);
            bystander.assert_served(1);
        }
        let now = Footprint::of(target.gateway.id());
        assert!(
            now.memory_kib < before.memory_kib + (64 << 10),
            "{name}: {before:?}, then {now:?}"
        );
        drop(held);
        // Nothing goes on for connections that are closed.
        target
            .gateway
            .wait_for_metric("gatepost_requests_in_flight{instance=\"demo\"}", 0.0);
        println!("{name}: {} KiB", now.memory_kib);
    }
    // What is idle computes nothing.
    let work = cpu_of(&target.gateway, || {
        bystander.assert_served(5);
    });
    let again = cpu_of(&target.gateway, || bystander.assert_served(5));
    assert!(work < 20 * again, "{work} ns, then {again} ns");
    target.end();
}

#[test]
fn answers_that_are_not_taken_are_bounded() {
    let target = target();
    let mut bystander = target.bystander();
    let before = Footprint::of(target.gateway.id());
    // No window at all: every answer waits.
    let listing = br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let mut held = Vec::new();
    for _ in 0..20 {
        let mut stream = connect(&target, &[0, 4, 0, 0, 0, 0]);
        let calls: Vec<u8> = (0..100)
            .flat_map(|number| {
                let id = 2 * number + 1;
                [
                    frame(HEADERS, END_HEADERS, id, &head(&target.attacker, &[])),
                    frame(DATA, END_STREAM, id, listing),
                ]
                .concat()
            })
            .collect();
        drop(stream.write_all(&calls));
        held.push(stream);
        bystander.assert_served(1);
    }
    let now = Footprint::of(target.gateway.id());
    assert!(
        now.memory_kib < before.memory_kib + (64 << 10),
        "{before:?}, then {now:?}"
    );
    drop(held);
    target
        .gateway
        .wait_for_metric("gatepost_requests_in_flight{instance=\"demo\"}", 0.0);
    target.end();
}

/// RFC 9113 section 8.1.1: what is malformed is not served.
#[test]
fn malformed_requests_are_not_served() {
    let target = target();
    let key = target.attacker.clone();
    let bearer = format!("Bearer {key}");
    let body = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"count_records","arguments":{"model":"sale.order"}}}"#;
    let length = body.len().to_string();
    let good = head(&key, &[("content-length", &length)]);
    let with = |more: &[(&str, &str)]| head(&key, more);
    let only = |pseudo: &[(&str, &str)]| {
        let usual = [
            ("authorization", &*bearer),
            ("content-type", "application/json"),
        ];
        fields(&[pseudo, &usual[..]].concat())
    };
    let malformed: Vec<(&str, Vec<u8>)> = vec![
        (
            "two lengths",
            with(&[("content-length", &length), ("content-length", "2")]),
        ),
        ("shorter length", with(&[("content-length", "2")])),
        ("longer length", with(&[("content-length", "9999")])),
        ("length of letters", with(&[("content-length", "x")])),
        ("signed length", with(&[("content-length", "+113")])),
        ("transfer coding", with(&[("transfer-encoding", "chunked")])),
        ("connection", with(&[("connection", "close")])),
        ("keep-alive", with(&[("keep-alive", "a")])),
        ("upgrade", with(&[("upgrade", "h2c")])),
        ("trailers for te", with(&[("te", "chunked")])),
        ("capital letters", with(&[("X-Capital", "a")])),
        ("line end in a value", with(&[("x", "a\r\nb: c")])),
        ("zero in a value", with(&[("x", "a\0b")])),
        ("space in a name", with(&[("x y", "a")])),
        ("colon in a name", with(&[("x:y", "a")])),
        ("empty name", with(&[("", "a")])),
        ("another host", with(&[("host", "evil.example")])),
        ("late pseudo header", with(&[(":path", "/demo/mcp")])),
        ("unknown pseudo header", with(&[(":x", "a")])),
        (
            "two methods",
            only(&[
                (":method", "POST"),
                (":method", "GET"),
                (":scheme", "https"),
                (":path", "/demo/mcp"),
                (":authority", "localhost"),
            ]),
        ),
        (
            "no method",
            only(&[
                (":scheme", "https"),
                (":path", "/demo/mcp"),
                (":authority", "localhost"),
            ]),
        ),
        (
            "no path",
            only(&[
                (":method", "POST"),
                (":scheme", "https"),
                (":authority", "localhost"),
            ]),
        ),
        (
            "empty path",
            only(&[
                (":method", "POST"),
                (":scheme", "https"),
                (":path", ""),
                (":authority", "localhost"),
            ]),
        ),
        (
            "path of a URL",
            only(&[
                (":method", "POST"),
                (":scheme", "https"),
                (":path", "//evil.example/demo/mcp"),
                (":authority", "localhost"),
            ]),
        ),
        (
            "space in the path",
            only(&[
                (":method", "POST"),
                (":scheme", "https"),
                (":path", "/demo/mcp HTTP/1.1"),
                (":authority", "localhost"),
            ]),
        ),
        (
            "user in the authority",
            only(&[
                (":method", "POST"),
                (":scheme", "https"),
                (":path", "/demo/mcp"),
                (":authority", "a@localhost"),
            ]),
        ),
        (
            "method of two words",
            only(&[
                (":method", "POST /"),
                (":scheme", "https"),
                (":path", "/demo/mcp"),
                (":authority", "localhost"),
            ]),
        ),
    ];
    let status = |block: &[u8]| {
        let mut stream = connect(&target, &[]);
        drop(
            stream.write_all(
                &[
                    frame(HEADERS, END_HEADERS, 1, block),
                    frame(DATA, END_STREAM, 1, body),
                ]
                .concat(),
            ),
        );
        read_status(&mut stream)
    };
    assert_eq!(status(&good), Some(200));
    let calls = target.odoo_calls();
    let count = malformed.len();
    for (name, block) in malformed {
        let status = status(&block);
        assert!(
            status.is_none_or(|status| (400..500).contains(&status)),
            "{name}: {status:?}"
        );
        assert_eq!(target.odoo_calls(), calls, "{name}: Odoo was asked");
    }
    println!("{count} malformed requests");
    target.bystander().assert_served(3);
    target.end();
}

/// The status of the response on stream 1; `None` if the stream or the connection ends
/// without one. The gateway writes statuses from the static table, or as three digits.
fn read_status(stream: &mut StreamOwned<ClientConnection, TcpStream>) -> Option<u16> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut payload).ok()?;
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        match head[3] {
            RST_STREAM | GOAWAY => return None,
            HEADERS if id == 1 => {
                // RFC 7541 appendix A: 8 to 14 are statuses.
                return Some(match payload[0] {
                    0x88 => 200,
                    0x89 => 204,
                    0x8a => 206,
                    0x8b => 304,
                    0x8c => 400,
                    0x8d => 404,
                    0x8e => 500,
                    // A literal with the name of the table, plain or Huffman-coded: digits of
                    // 4xx begin with the bits of `4` (RFC 7541 appendix B: 011010).
                    _ if payload[1] & 0x80 == 0 => {
                        String::from_utf8_lossy(&payload[2..5]).parse().unwrap()
                    }
                    _ if payload[2] >> 2 == 0b01_1010 => 499,
                    first => panic!("status in {first:x} {payload:x?}"),
                });
            }
            _ => {}
        }
    }
}
