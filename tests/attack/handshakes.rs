//! TLS handshakes that do not begin, do not end, or are something else.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::Arc,
};

use rustls::{ClientConfig, ClientConnection, pki_types::ServerName};

use crate::{
    client::{connect_from, start_tls},
    footprint::Footprint,
    http2,
    idp::random_hex,
    target::{ATTACKER, Target},
};

/// Connections that each way holds at once.
const HELD: u8 = 60;

/// A client hello for this name.
fn hello(target: &Target, name: &str) -> Vec<u8> {
    let config = ClientConfig::clone(target.tls.as_ref().unwrap());
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    session.write_tls(&mut bytes).unwrap();
    bytes
}

/// A record (RFC 8446 section 5.1).
fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![kind, 3, 3];
    bytes.extend(length);
    bytes.extend(payload);
    bytes
}

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// What attackers send in place of a handshake.
fn ways(target: &Target) -> Vec<(&'static str, Vec<u8>)> {
    let hello = hello(target, "localhost");
    let request = target.client(ATTACKER).request("{}").into_bytes();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let mut long = vec![HANDSHAKE, 3, 1, 0xff, 0xff];
    long.resize(70_000, 1);
    vec![
        ("nothing", Vec::new()),
        ("half a record", hello[..3].to_vec()),
        ("half a hello", hello[..hello.len() / 2].to_vec()),
        (
            "all but the end of a hello",
            hello[..hello.len() - 1].to_vec(),
        ),
        ("a hello and no answer", hello.clone()),
        ("two hellos", hello.repeat(2)),
        ("hellos without an end", hello.repeat(2_000)),
        (
            "a hello in records of one octet",
            hello[5..]
                .iter()
                .flat_map(|octet| record(HANDSHAKE, &[*octet]))
                .collect(),
        ),
        ("a hello of 16 MiB", {
            let mut bytes = record(
                HANDSHAKE,
                &[&[1, 0xff, 0xff, 0xff][..], &[0; 16_000]].concat(),
            );
            bytes.extend(record(HANDSHAKE, &[0; 16_000]).repeat(200));
            bytes
        }),
        ("empty records", record(HANDSHAKE, &[]).repeat(100_000)),
        (
            "changes of the cipher",
            record(CHANGE_CIPHER_SPEC, &[1]).repeat(100_000),
        ),
        ("warnings", record(ALERT, &[1, 90]).repeat(100_000)),
        ("a record too long", long),
        ("unknown records", record(99, b"abc").repeat(10_000)),
        (
            "data before keys",
            [
                &hello[..],
                &record(APPLICATION_DATA, &[7; 100]).repeat(1_000),
            ]
            .concat(),
        ),
        (
            "SSL 2",
            b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10".to_vec(),
        ),
        ("HTTP/1", request.repeat(100)),
        ("HTTP/2", preface),
        (
            "noise",
            (0..200_000_u32)
                .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
                .collect(),
        ),
    ]
}

/// Whoever holds connections in any state of a handshake, others are served.
#[test]
fn handshakes_that_do_not_end_stop_nobody_and_leave_nothing() {
    let target = http2::target();
    let mut bystander = target.bystander();
    let before = Footprint::of(target.gateway.id());
    for (way, bytes) in ways(&target) {
        let mut held = Vec::new();
        for number in 0..HELD {
            let from = [127, 0, 1, number + 1].into();
            let mut stream = connect_from(from, target.gateway.address);
            // It may be closed in the middle.
            drop(stream.write_all(&bytes));
            held.push(stream);
            if number % 20 == 19 {
                bystander.assert_served(1);
            }
        }
        let now = Footprint::of(target.gateway.id());
        assert!(
            now.memory_kib < before.memory_kib + (48 << 10),
            "{way}: {before:?}, then {now:?}"
        );
        println!("{way}: {} KiB", now.memory_kib);
    }
    // One octet at a time, while others are served between them.
    let hello = hello(&target, "localhost");
    let mut slow: Vec<TcpStream> = (0..HELD)
        .map(|number| connect_from([127, 0, 1, number + 1].into(), target.gateway.address))
        .collect();
    for octet in &hello[..40] {
        for stream in &mut slow {
            drop(stream.write_all(&[*octet]));
        }
        bystander.assert_served(1);
    }
    drop(slow);
    assert_no_request(&target);
    target.end();
}

/// What follows a handshake in place of a request: another handshake, records that no
/// key opens, plain text.
#[test]
fn garbage_after_a_handshake_ends_its_connection_only() {
    let target = http2::target();
    let mut bystander = target.bystander();
    let hello = hello(&target, "localhost");
    let garbage: [(&str, Vec<u8>); 6] = [
        ("another hello", hello.clone()),
        ("hellos", hello.repeat(1_000)),
        ("a record no key opens", record(APPLICATION_DATA, &[9; 64])),
        (
            "records no key opens",
            record(APPLICATION_DATA, &[9; 64]).repeat(10_000),
        ),
        (
            "empty records",
            record(APPLICATION_DATA, &[]).repeat(100_000),
        ),
        (
            "plain text",
            b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        ),
    ];
    for (name, bytes) in garbage {
        for number in 0..20 {
            let stream = connect_from([127, 0, 1, number + 1].into(), target.gateway.address);
            let mut stream = start_tls(Arc::clone(target.tls.as_ref().unwrap()), stream);
            while stream.conn.is_handshaking() {
                stream.conn.complete_io(&mut stream.sock).unwrap();
            }
            drop(stream.sock.write_all(&bytes));
            if number % 10 == 9 {
                bystander.assert_served(1);
            }
            // It is closed, and nothing is answered but the alert.
            let mut said = Vec::new();
            drop(stream.read_to_end(&mut said));
            assert!(
                said.is_empty(),
                "{name}: {}",
                String::from_utf8_lossy(&said)
            );
        }
    }
    assert_no_request(&target);
    target.end();
}

/// A name for each handshake, of which none is served by another certificate.
#[test]
fn names_without_an_end_leave_nothing() {
    let target = http2::target();
    let mut bystander = target.bystander();
    for number in 0..1_500_u16 {
        let name = format!("{}.{}.example", "a".repeat(60), random_hex(20));
        let [_, last] = number.to_be_bytes();
        let from = [127, 0, 2, last.max(1)].into();
        let mut stream = connect_from(from, target.gateway.address);
        stream.write_all(&hello(&target, &name)).unwrap();
        // The first octet of its hello: the handshake was answered.
        let mut first = [0];
        assert_eq!(stream.read(&mut first).unwrap(), 1, "{number}");
        assert_eq!(first[0], HANDSHAKE, "{number}");
        if number % 100 == 99 {
            bystander.assert_served(1);
        }
    }
    assert_no_request(&target);
    target.end();
}

/// Nothing of it was taken for a request.
fn assert_no_request(target: &Target) {
    let log = target.gateway.log();
    let (served, refused): (Vec<_>, Vec<_>) = log
        .lines()
        .filter(|line| line.contains("\"http.status\":"))
        .partition(|line| line.contains("\"http.status\":200"));
    assert!(!served.is_empty(), "the bystander's");
    assert!(refused.is_empty(), "{refused:?}");
}
