//! A3, A4 and A11: connections and bodies that are held, in many ways at once.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Shutdown, TcpStream},
    process::Command,
};

use serde_json::json;

use crate::{
    client::{Client, connect_from},
    footprint::Footprint,
    process::{GatewayProcess, serve_command, wait_until, write_configuration},
    target::{ATTACKER, Setup, Target},
    test_gateway::{send_raw, start_fake_odoo, tool_call},
};

/// The number of addresses that attackers have.
const ADDRESSES: usize = 60;

fn address(number: usize) -> IpAddr {
    let last = u8::try_from(number % ADDRESSES).unwrap();
    Ipv4Addr::new(127, 0, 1, last + 1).into()
}

/// Target of a scene whose shell sets limits first.
fn limited(limits: &str, setup: Setup<'_>) -> Target {
    let (odoo, url) = start_fake_odoo();
    let folder = tempfile::tempdir().unwrap();
    write_configuration(folder.path(), &setup.text(&url));
    let serve = serve_command(folder.path());
    let mut command = Command::new("sh");
    command
        .env_clear()
        .envs(
            serve
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .current_dir(folder.path())
        .args(["-c", &format!("{limits} && exec \"$0\" \"$@\"")])
        .arg(serve.get_program())
        .args(serve.get_args());
    Target::spawn(odoo, folder, &mut command, None)
}

/// The ways to hold a connection; each sends the beginning of something.
fn ways(target: &Target) -> Vec<(&'static str, Vec<u8>)> {
    let call = target
        .client(ATTACKER)
        .request(&tool_call("count_records", &json!({"model": "res.partner"})).to_string());
    let chunked = call.replace("Content-Length", "Transfer-Encoding: chunked\r\nX-Was");
    let chunked = &chunked[..chunked.find("\r\n\r\n").unwrap() + 4];
    vec![
        ("silent", Vec::new()),
        ("one letter", b"P".to_vec()),
        ("half a head", call.as_bytes()[..60].to_vec()),
        ("half a body", call.as_bytes()[..call.len() - 1].to_vec()),
        ("half a chunk size", [chunked.as_bytes(), b"1"].concat()),
        ("half a chunk", [chunked.as_bytes(), b"100\r\n{"].concat()),
        (
            "half a line end",
            [chunked.as_bytes(), b"1\r\n{\r"].concat(),
        ),
        (
            "half a trailer",
            [chunked.as_bytes(), b"1\r\n{\r\n0\r\nX: "].concat(),
        ),
        ("an answer that is not read", call.into_bytes()),
        ("half a TLS record", b"\x16\x03\x01\x02\x00\x01".to_vec()),
        (
            "HTTP/2 preface",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        ),
    ]
}

#[test]
fn held_connections_of_many_addresses_leave_room_for_others() {
    // The default of systemd for services is 1,024; containers may have less.
    let target = limited("ulimit -n 256", Setup::default());
    let mut bystander = target.bystander();
    for (way, bytes) in ways(&target) {
        let mut held = Vec::new();
        for number in 0..250 {
            let mut stream = connect_from(address(number), target.gateway.address);
            // It may have been closed to make room.
            drop(stream.write_all(&bytes));
            held.push(stream);
            if number % 50 == 49 {
                bystander.assert_served(1);
            }
        }
        println!("{way}: {} files", Footprint::of(target.gateway.id()).files);
    }
    // EMFILE.
    let log = target.gateway.log();
    assert!(!log.contains("os error 24"), "{log}");
    target.end();
}

#[test]
fn held_bodies_of_many_addresses_stay_in_their_budget() {
    let budget_kib = 32 << 10;
    let target = Target::start(Setup {
        server: "max_bodies_bytes = 33_554_432",
        ..Setup::default()
    });
    let mut bystander = target.bystander();
    let before = Footprint::of(target.gateway.id());
    let head = target.client(ATTACKER).request("");
    let head = head.replace("Content-Length: 0", "Content-Length: 1000000");
    // The second time may not need more than the first.
    for round in 0..2 {
        let mut held = Vec::new();
        for number in 0..300 {
            let mut stream = connect_from(address(number), target.gateway.address);
            drop(stream.write_all(head.as_bytes()));
            // It is refused in the middle, when the budget is used up.
            drop(stream.write_all(&vec![b' '; 900_000]));
            held.push(stream);
            if number % 50 == 49 {
                bystander.assert_served(1);
                let now = Footprint::of(target.gateway.id());
                assert!(
                    now.memory_kib < before.memory_kib + 2 * budget_kib + (16 << 10),
                    "round {round}, {number} bodies: {before:?}, then {now:?}"
                );
            }
        }
    }
    let refused = target.gateway.metric(
        "gatepost_refusals_total{blame=\"client\",instance=\"demo\",refusal=\"too_many_bodies\"}",
    );
    assert!(refused.is_some_and(|count| count > 200.0), "{refused:?}");
    target.end();
}

#[test]
fn pipelines_and_reconnects_stop_nobody() {
    let target = Target::start(Setup::default());
    let mut bystander = target.bystander();
    let ping = target
        .client(ATTACKER)
        .request(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    let (pipeline, gateway) = (ping.repeat(500), target.gateway.address);
    let mut held: Vec<TcpStream> = Vec::new();
    for number in 0..20 {
        let mut stream = connect_from(address(number), gateway);
        stream.set_nonblocking(true).unwrap();
        // As much as it takes without reading the answers.
        while stream.write(pipeline.as_bytes()).is_ok() {}
        held.push(stream);
    }
    bystander.assert_served(5);
    let attackers = (0..6).map(|number| -> Box<dyn FnMut() + Send> {
        let ping = ping.clone();
        Box::new(move || {
            let mut stream = connect_from(address(number), gateway);
            match number % 3 {
                0 => drop(stream.write_all(ping.as_bytes())),
                1 => drop(stream.write_all(&ping.as_bytes()[..30])),
                _ => {}
            }
            // The kernel accepts without end; the gateway is asked as fast as it serves.
            stream.shutdown(Shutdown::Write).unwrap();
            drop(stream.read_to_end(&mut Vec::new()));
        })
    });
    let steps = bystander.assert_served_during(40, 100, attackers.collect());
    println!("{steps} connections");
    drop(held);
    target
        .gateway
        .wait_for_metric("gatepost_requests_in_flight{instance=\"demo\"}", 0.0);
    target.end();
}

#[test]
fn admin_listener_answers_only_to_its_own_names_and_whatever_idles_there() {
    let target = Target::start(Setup::default());
    let get = |host: &str, path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        send_raw(target.gateway.admin, request.as_bytes()).status
    };
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "a@evil.example",
        "metrics.evil.example:9090",
        "1.2.3.4.5",
    ] {
        for path in ["/metrics", "/readyz", "/livez"] {
            let status = get(host, path);
            assert!(matches!(status, 400 | 421), "{host}{path}: {status}");
        }
    }
    assert_eq!(get("localhost", "/livez"), 200);
    let mut held = Vec::new();
    for number in 0..200 {
        let mut stream = connect_from(address(number), target.gateway.admin);
        drop(stream.write_all([&b""[..], b"G", b"GET /metrics HTTP/1.1\r\nHost:"][number % 3]));
        held.push(stream);
        if number % 20 == 19 {
            assert_eq!(
                target.gateway.get_admin("/livez").status,
                200,
                "{number} held"
            );
        }
    }
    target.bystander().assert_served(3);
    drop(held);
    target.end();
}

/// A caller and an address have their shares of the requests in flight, which ends
/// with them.
#[test]
fn requests_in_flight_of_an_attacker_leave_room() {
    let limits = format!(
        "{}caller_in_flight = 20\naddress_in_flight = 40",
        crate::target::NO_LIMITS
    );
    let target = Target::start(Setup {
        instance: "max_in_flight = 64\ntimeout_ms = 60_000",
        limits: Some(&limits),
        ..Setup::default()
    });
    let mut bystander = target.bystander();
    let call = tool_call("count_records", &json!({"model": "sale.order"})).to_string();
    let held_calls: Vec<_> = (0..20)
        .map(|_| {
            target
                .odoo
                .hold_call("sale.order/search_count", odoo_sim::FaultPoint::BeforeCall)
        })
        .collect();
    let mut streams = Vec::new();
    for number in 0..60 {
        let mut stream = connect_from(address(number), target.gateway.address);
        stream
            .write_all(target.client(ATTACKER).request(&call).as_bytes())
            .unwrap();
        streams.push(stream);
    }
    wait_until("those that fit", || in_flight(&target.gateway) > 19.5);
    bystander.assert_served(5);
    assert!(in_flight(&target.gateway) < 21.0);
    // Another caller at an address of the attacker.
    let other = address(0).to_string();
    let mut other = Client::new(target.gateway.address, &other, Some(&target.bystander));
    assert_eq!(other.count().status, 200);
    drop(held_calls);
    target
        .gateway
        .wait_for_metric("gatepost_requests_in_flight{instance=\"demo\"}", 0.0);
    assert_eq!(target.client(ATTACKER).count().status, 200);
    drop(streams);
    target.end();
}

fn in_flight(gateway: &GatewayProcess) -> f64 {
    gateway
        .metric("gatepost_requests_in_flight{instance=\"demo\"}")
        .unwrap_or_default()
}
