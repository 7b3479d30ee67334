//! A9: requests that one reader takes for one request, and another for two.

use std::io::{BufReader, Read as _, Write as _};

use crate::{
    client::{connect_from, read_response},
    target::{ATTACKER, Setup, Target},
    test_gateway::tool_call,
};

/// What a request says about its own end.
struct Malformed {
    name: String,
    /// The request line.
    line: String,
    /// More header lines, without the last line end.
    headers: String,
    /// What follows the head; the hidden request follows that.
    body: String,
}

fn malformed(name: &str, headers: &str, body: &str) -> Malformed {
    Malformed {
        name: name.to_owned(),
        line: "POST /demo/mcp HTTP/1.1".to_owned(),
        headers: headers.to_owned(),
        body: body.to_owned(),
    }
}

/// Every lie about the length that is known, and their combinations.
fn malformed_requests() -> Vec<Malformed> {
    let mut all = Vec::new();
    for length in [
        "+2",
        "-2",
        "2 2",
        "2, 3",
        "0x2",
        "2.0",
        "2e0",
        "\u{ff12}",
        "",
        " ",
        "2;q=1",
        "\t+2",
        "\"2\"",
        "18446744073709551618",
        "99999999999999999999999999",
        "2\u{b}",
        "2\0",
        "two",
        "2\r\nContent-Length: 3",
        "2\r\nContent-Length: 0",
        "0\r\ncontent-length: 2",
    ] {
        all.push(malformed(
            &format!("length {length:?}"),
            &format!("Content-Length: {length}\r\n"),
            "{}",
        ));
    }
    let chunked = "2\r\n{}\r\n0\r\n\r\n";
    for coding in [
        "",
        "xchunked",
        "chunkedx",
        "chunked;q=1",
        "chunked, identity",
        "identity, chunked",
        "chunked, chunked",
        "gzip, chunked",
        "chunked, gzip",
        "\"chunked\"",
        "'chunked'",
        "chunked\u{b}",
        "\u{b}chunked",
        "chunked\0",
        ",chunked,",
        "identity",
        "gzip\r\nTransfer-Encoding: chunked",
        "chunked\r\nTransfer-Encoding: identity",
        "chunked\r\nTransfer-Encoding: chunked",
        "chunked\r\n chunked",
    ] {
        all.push(malformed(
            &format!("coding {coding:?}"),
            &format!("Transfer-Encoding: {coding}\r\n"),
            chunked,
        ));
    }
    // Both, in either order, in any case of letters, and from an old client.
    for length in ["0", "2", "13", "100"] {
        for coding in ["chunked", "Chunked", "CHUNKED", "identity", "x"] {
            for (first, second) in [(true, false), (false, true)] {
                let of = |is_length| {
                    if is_length {
                        format!("Content-Length: {length}\r\n")
                    } else {
                        format!("Transfer-Encoding: {coding}\r\n")
                    }
                };
                let headers = of(first) + &of(second);
                all.push(malformed(&format!("both {headers:?}"), &headers, chunked));
            }
        }
    }
    let chunks = [
        "+2\r\n{}\r\n0\r\n\r\n",
        "0x2\r\n{}\r\n0\r\n\r\n",
        " 2\r\n{}\r\n0\r\n\r\n",
        "2 \r\n{}\r\n0\r\n\r\n",
        "2\n{}\r\n0\r\n\r\n",
        "2\r{}\r\n0\r\n\r\n",
        "2\r\n{}\n0\r\n\r\n",
        "2\r\n{}\r0\r\n\r\n",
        "2\r\n{}0\r\n\r\n",
        "2\r\n{} \r\n0\r\n\r\n",
        "2\r\n{}\r\n\r\n\r\n",
        "2\r\n{}\r\n0\n\n",
        "2\r\n{}\r\n0\r\n\n",
        "2\r\n{}\r\n;x\r\n\r\n",
        "2;x\n{}\r\n0\r\n\r\n",
        "2;x=\"\n\"\r\n{}\r\n0\r\n\r\n",
        "2;x=\"\r\n\"\r\n{}\r\n0\r\n\r\n",
        "2;\u{0}\r\n{}\r\n0\r\n\r\n",
        "\r\n2\r\n{}\r\n0\r\n\r\n",
        "-2\r\n{}\r\n0\r\n\r\n",
        "00000000000000000002\r\n{}\r\n0\r\n\r\n",
        "10000000000000002\r\n{}\r\n0\r\n\r\n",
        "ffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        "g\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}\r\n0\r\nX: 1\n\r\n",
        "2\r\n{}\r\n0\r\n X: 1\r\n\r\n",
        "2\r\n{}\r\n0\r\nX\r\n\r\n",
        "2\r\n{}\r\n0\r\nX : 1\r\n\r\n",
    ];
    for body in chunks {
        let headers = "Transfer-Encoding: chunked\r\n";
        all.push(malformed(&format!("chunks {body:?}"), headers, body));
    }
    for headers in [
        " Content-Length: 2\r\n",
        "Content-Length : 2\r\n",
        "Content-Length\t: 2\r\n",
        "Content Length: 2\r\nContent-Length: 2\r\n",
        "X: 1\r\n Content-Length: 2\r\n",
        "Content-Length: 2\nX: 1\r\n",
        "Content-Length: 2\rX: 1\r\n",
        "X: \0\r\nContent-Length: 2\r\n",
        ": 1\r\nContent-Length: 2\r\n",
        "X\r\nContent-Length: 2\r\n",
        "X: 1\r\n\tY: 2\r\nContent-Length: 2\r\n",
        "Content-Length: 2\r\nX\u{b}: 1\r\n",
        "(X): 1\r\nContent-Length: 2\r\n",
        "X: a\rb\r\nContent-Length: 2\r\n",
        "Host: evil.example\r\nContent-Length: 2\r\n",
        "Content-Length: 2\r\n\u{feff}X: 1\r\n",
    ] {
        all.push(malformed(&format!("headers {headers:?}"), headers, "{}"));
    }
    for line in [
        "POST /demo/mcp HTTP/1.1 ",
        "POST  /demo/mcp HTTP/1.1",
        "POST\t/demo/mcp\tHTTP/1.1",
        " POST /demo/mcp HTTP/1.1",
        "POST /demo/mcp HTTP/1.2x",
        "POST /demo/mcp HTTP/01.1",
        "POST /demo/mcp HTTP/1.10",
        "POST /demo/mcp http/1.1",
        "POST /demo/mcp",
        "POST /demo/mcp HTTP/0.9",
        "POST /demo/mcp HTTP/2.0",
        "POST /demo /mcp HTTP/1.1",
        "P\0ST /demo/mcp HTTP/1.1",
        "POST /demo/mcp\0 HTTP/1.1",
        "PO(ST /demo/mcp HTTP/1.1",
        "POST demo/mcp HTTP/1.1",
        "POST http:///demo/mcp HTTP/1.1",
        "POST http://a@127.0.0.1/demo/mcp HTTP/1.1",
        "CONNECT 127.0.0.1:80 HTTP/1.1",
        "PRI * HTTP/2.0",
    ] {
        let row = malformed(&format!("line {line:?}"), "Content-Length: 2\r\n", "{}");
        all.push(Malformed {
            line: line.to_owned(),
            ..row
        });
    }
    all
}

#[test]
fn malformed_request_is_refused_and_what_it_hides_is_not_served() {
    let target = Target::start(Setup::default());
    let mut bystander = target.bystander();
    let hidden = tool_call("count_records", &serde_json::json!({"model": "sale.order"}));
    let hidden = target.client(ATTACKER).request(&hidden.to_string());
    let attacker = format!(
        "Host: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n",
        target.gateway.address, target.attacker
    );
    let calls = target.odoo_calls();
    let all = malformed_requests();
    println!("{} malformed requests", all.len());
    for (number, row) in all.iter().enumerate() {
        let Malformed {
            name,
            line,
            headers,
            body,
        } = row;
        let mut stream = connect_from(ATTACKER.parse().unwrap(), target.gateway.address);
        let bytes = format!("{line}\r\n{attacker}{headers}\r\n{body}{hidden}");
        // It may close before everything is sent.
        drop(stream.write_all(bytes.as_bytes()));
        let mut stream = BufReader::new(stream);
        // A malformed request without an answer hides nothing either.
        let answer = read_response(&mut stream);
        let status = answer.as_ref().map(|answer| answer.status);
        assert!(
            matches!(status, None | Some(400 | 404 | 405 | 421 | 431 | 501 | 505)),
            "{name}: {answer:?}"
        );
        let mut rest = Vec::new();
        // A reset is an end too.
        drop(stream.read_to_end(&mut rest));
        let rest = String::from_utf8_lossy(&rest);
        assert!(
            !rest.contains("HTTP/1.1"),
            "{name}: a second response: {rest}"
        );
        if number % 40 == 0 {
            bystander.assert_alive();
        }
    }
    assert_eq!(target.odoo_calls(), calls, "a hidden request reached Odoo");
    bystander.assert_served(3);
    target.end();
}

/// A connection that ends anywhere inside a request is an end, not a request.
#[test]
fn request_that_is_cut_off_anywhere_is_not_served() {
    let target = Target::start(Setup::default());
    let mut bystander = target.bystander();
    let call = tool_call("count_records", &serde_json::json!({"model": "sale.order"})).to_string();
    let whole = target.client(ATTACKER).request(&call);
    let chunked = whole
        .replace(
            &format!("Content-Length: {}", call.len()),
            "Transfer-Encoding: chunked",
        )
        .replace(&call, &format!("{:x}\r\n{call}\r\n0\r\n\r\n", call.len()));
    let calls = target.odoo_calls();
    for request in [whole, chunked] {
        // The last byte of a chunked body ends an empty trailer.
        for end in (0..request.len()).step_by(3).chain([request.len() - 1]) {
            let mut stream = connect_from(ATTACKER.parse().unwrap(), target.gateway.address);
            stream.write_all(&request.as_bytes()[..end]).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut said = Vec::new();
            drop(stream.read_to_end(&mut said));
            let said = String::from_utf8_lossy(&said);
            assert!(!said.starts_with("HTTP/1.1 200"), "{end}: {said}");
        }
        bystander.assert_served(1);
    }
    let later = target.odoo_calls() - calls;
    assert_eq!(later, 2, "only the bystander's reads reach Odoo");
    target.end();
}
