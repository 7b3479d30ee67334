//! The client against servers that behave as real ones do, and worse.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Barrier, Notify, mpsc},
    task::JoinSet,
};

use super::{
    CallError, ForeignCause, ForeignResponse, OdooApiKey, OdooClient, OdooClientSettings,
    UnknownOutcome, WireResponse,
};
use gatepost_base::{InstanceName, RoleName};
use gatepost_odoo::{Call, Domain, ModelName, Operation};
use gatepost_policy::{Pattern, Permitted, Policy, PolicyFacts, Role, Rule};

const OK: &str = "HTTP/1.0 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 2\r\nConnection: close\r\n\r\n47";

fn permitted_count() -> Permitted<Call> {
    let role = RoleName::try_from("reader").unwrap();
    let any = || vec![Pattern::parse("*").unwrap()];
    let rule = Rule {
        instances: any(),
        models: any(),
        operations: vec![Operation::Read],
        ..Rule::default()
    };
    let policy = Policy::new(BTreeMap::from([(
        role.clone(),
        Role {
            rules: vec![rule],
            ..Role::default()
        },
    )]));
    let call = Call::search_count(
        ModelName::try_from("res.partner").unwrap(),
        &Domain::default(),
    );
    policy
        .permit(
            &[role],
            &InstanceName::try_from("prod").unwrap(),
            call,
            &PolicyFacts::default(),
        )
        .unwrap()
}

fn settings(port: u16) -> OdooClientSettings {
    OdooClientSettings {
        url: format!("http://127.0.0.1:{port}"),
        database: Some("prod".to_owned()),
        ca_file: None,
        connect_timeout: Duration::from_secs(5),
        timeout: Duration::from_secs(20),
        max_answer_bytes: 1 << 20,
        max_in_flight: 4,
        max_waiting: 10,
        max_wait: Duration::from_secs(20),
        max_calls_per_second: None,
    }
}

/// A server that passes each connection, with its first bytes, to `serve`.
async fn server<F, R>(serve: F) -> u16
where
    F: Fn(usize, TcpStream, Vec<u8>) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = Arc::new(serve);
    tokio::spawn(async move {
        for number in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let serve = Arc::clone(&serve);
            tokio::spawn(async move {
                let mut first = vec![0; 64 << 10];
                let read = stream.read(&mut first).await.unwrap_or(0);
                first.truncate(read);
                serve(number, stream, first).await;
            });
        }
    });
    port
}

/// A server that sends the same response on every connection.
async fn server_answering(answer: &'static str) -> u16 {
    server(move |_, mut stream, _| async move {
        drop(stream.write_all(answer.as_bytes()).await);
    })
    .await
}

async fn send_count(settings: OdooClientSettings) -> Result<String, CallError> {
    let link = OdooClient::new(settings).unwrap();
    let answer = link
        .send(&permitted_count(), &OdooApiKey::new("k3y"), None, None)
        .await?;
    Ok(String::from_utf8(answer.to_vec()).unwrap())
}

#[tokio::test]
async fn request_is_one_write_with_length_and_database_and_no_cookie() {
    let (heard, mut requests) = mpsc::channel(1);
    let port = server(move |_, mut stream, first| {
        let heard = heard.clone();
        async move {
            heard.send(first).await.unwrap();
            stream.write_all(OK.as_bytes()).await.unwrap();
        }
    })
    .await;
    assert_eq!(send_count(settings(port)).await.unwrap(), "47");
    let request = String::from_utf8(requests.recv().await.unwrap())
        .unwrap()
        .to_lowercase();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, r#"{"domain":[]}"#);
    assert!(
        head.starts_with("post /json/2/res.partner/search_count http/1.1\r\n"),
        "{head}"
    );
    for line in [
        "authorization: bearer k3y",
        "x-odoo-database: prod",
        "content-length: 13",
        "content-type: application/json",
        "accept-encoding: identity",
    ] {
        assert!(head.contains(line), "{line} in {head}");
    }
    assert!(
        !head.contains("cookie") && !head.contains("chunked"),
        "{head}"
    );
}

#[tokio::test]
async fn read_is_retried_once_when_the_connection_closes_without_response() {
    let port = server(|number, mut stream, _| async move {
        if number > 0 {
            drop(stream.write_all(OK.as_bytes()).await);
        }
    })
    .await;
    assert_eq!(send_count(settings(port)).await.unwrap(), "47");
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    let port = server(move |_, stream, _| {
        seen.fetch_add(1, SeqCst);
        async move { drop(stream) }
    })
    .await;
    assert!(matches!(
        send_count(settings(port)).await,
        Err(CallError::CutOff(_))
    ));
    assert_eq!(count.load(SeqCst), 2);
}

#[tokio::test]
async fn incomplete_and_foreign_responses_are_errors() {
    let half = "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n[1,";
    assert!(matches!(
        send_count(settings(server_answering(half).await)).await,
        Err(CallError::CutOff(_))
    ));
    let head = "HTTP/1.0 200 OK\r\nContent-Ty";
    assert!(matches!(
        send_count(settings(server_answering(head).await)).await,
        Err(CallError::CutOff(_))
    ));
    let noise = "hello there\r\n\r\n";
    assert!(matches!(
        send_count(settings(server_answering(noise).await)).await,
        Err(CallError::CutOff(_))
    ));
    let html = "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>";
    assert!(matches!(
        send_count(settings(server_answering(html).await)).await,
        Err(CallError::NotOdoo(ForeignResponse { status: 502, .. }))
    ));
    let moved = "HTTP/1.1 303 See Other\r\nLocation: /web/login\r\nContent-Length: 0\r\n\r\n";
    assert!(matches!(
        send_count(settings(server_answering(moved).await)).await,
        Err(CallError::NotOdoo(ForeignResponse {
            status: 303,
            cause: ForeignCause::LoginPage,
            ..
        }))
    ));
    let until_close = "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n48";
    assert_eq!(
        send_count(settings(server_answering(until_close).await))
            .await
            .unwrap(),
        "48"
    );
    let chunked = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n49\r\n0\r\n\r\n";
    assert_eq!(
        send_count(settings(server_answering(chunked).await))
            .await
            .unwrap(),
        "49"
    );
}

#[tokio::test]
async fn response_beyond_the_limit_is_not_read_to_its_end() {
    let declared =
        "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nContent-Length: 104857600\r\n\r\n[";
    assert!(matches!(
        send_count(settings(server_answering(declared).await)).await,
        Err(CallError::TooLarge { .. })
    ));
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let port = server(move |_, mut stream, _| {
        let counted = Arc::clone(&counted);
        async move {
            let head = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n[";
            stream.write_all(head).await.unwrap();
            let part = vec![b' '; 64 << 10];
            for _ in 0..1600 {
                if stream.write_all(&part).await.is_err() {
                    break;
                }
                counted.fetch_add(part.len(), SeqCst);
            }
        }
    })
    .await;
    assert!(matches!(
        send_count(settings(port)).await,
        Err(CallError::TooLarge { .. })
    ));
    assert!(
        sent.load(SeqCst) < 50 << 20,
        "{} bytes were taken",
        sent.load(SeqCst)
    );
}

#[tokio::test]
async fn timeout_and_unreachable_server_are_distinguished() {
    let silent = server(|_, stream, _| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let hurried = OdooClientSettings {
        timeout: Duration::from_millis(50),
        ..settings(silent)
    };
    assert!(matches!(
        send_count(hurried).await,
        Err(CallError::TimedOut { .. })
    ));
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let refused = send_count(settings(free)).await.unwrap_err();
    assert!(matches!(refused, CallError::Unreachable(_)));
    // The client may not learn the address.
    assert!(!refused.to_string().contains("127.0.0.1"));
}

#[tokio::test]
async fn only_connections_kept_by_the_server_are_reused() {
    for (answer, connections) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n47",
            1,
        ),
        (OK, 2),
    ] {
        let count = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&count);
        let port = server(move |_, mut stream, _| {
            seen.fetch_add(1, SeqCst);
            async move {
                let mut more = vec![0; 4096];
                loop {
                    if stream.write_all(answer.as_bytes()).await.is_err() || answer == OK {
                        return;
                    }
                    if stream.read(&mut more).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
            }
        })
        .await;
        let link = OdooClient::new(settings(port)).unwrap();
        for _ in 0..2 {
            assert_eq!(
                link.send(&permitted_count(), &OdooApiKey::new("k"), None, None)
                    .await
                    .unwrap(),
                "47"
            );
        }
        assert_eq!(count.load(SeqCst), connections);
    }
}

/// A server that retains connections. The first response has an extra one behind it:
/// at once, or when the test asks for it.
fn server_with_extra_response(is_late: bool) -> (u16, std::sync::mpsc::SyncSender<()>) {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (send_extra, extra_wanted) = std::sync::mpsc::sync_channel(0);
    std::thread::spawn(move || {
        let response = |body: &str| {
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{body}"
            )
        };
        let mut request = [0; 4096];
        let (mut first, _) = listener.accept().unwrap();
        let _read = first.read(&mut request).unwrap();
        if is_late {
            first.write_all(response("47").as_bytes()).unwrap();
            extra_wanted.recv().unwrap();
            first.write_all(response("99").as_bytes()).unwrap();
            extra_wanted.recv().unwrap();
        } else {
            let both = response("47") + &response("99");
            first.write_all(both.as_bytes()).unwrap();
        }
        let (mut second, _) = listener.accept().unwrap();
        let _read = second.read(&mut request).unwrap();
        second.write_all(response("48").as_bytes()).unwrap();
        drop(first);
    });
    (port, send_extra)
}

#[tokio::test]
async fn extra_response_is_never_taken_for_that_of_the_next_call() {
    for is_late in [false, true] {
        let (port, send_extra) = server_with_extra_response(is_late);
        let client = OdooClient::new(settings(port)).unwrap();
        let ask = async || {
            let call = permitted_count();
            client.send(&call, &OdooApiKey::new("k"), None, None).await
        };
        assert_eq!(ask().await.unwrap(), "47");
        if is_late {
            // Blocks the only thread of the runtime, which so cannot notice the bytes.
            // The second one shows that they were written.
            send_extra.send(()).unwrap();
            send_extra.send(()).unwrap();
        }
        assert_eq!(ask().await.unwrap(), "48", "{is_late}");
        assert_eq!(client.stats().connections_opened, 2);
    }
}

#[tokio::test]
async fn all_connections_in_flight_are_reused_once_the_server_has_kept_one() {
    const AT_ONCE: usize = 8;
    let reply = OK
        .replace("HTTP/1.0", "HTTP/1.1")
        .replace("Connection: close\r\n", "");
    let barrier = Arc::new(Barrier::new(AT_ONCE));
    let gate = Arc::clone(&barrier);
    let port = server(move |_, mut stream, mut request| {
        let (reply, gate) = (reply.clone(), Arc::clone(&gate));
        async move {
            while !request.is_empty() {
                // All eight are in flight at once.
                gate.wait().await;
                drop(stream.write_all(reply.as_bytes()).await);
                request.resize(64 << 10, 0);
                let read = stream.read(&mut request).await.unwrap_or(0);
                request.truncate(read);
            }
        }
    })
    .await;
    let client = OdooClient::new(OdooClientSettings {
        max_in_flight: AT_ONCE,
        ..settings(port)
    });
    let client = Arc::new(client.unwrap());
    let call_at_once = async || {
        let mut calls = JoinSet::new();
        for _ in 0..AT_ONCE {
            let client = Arc::clone(&client);
            calls.spawn(async move {
                let call = permitted_count();
                client
                    .send(&call, &OdooApiKey::new("k3y"), None, None)
                    .await
                    .unwrap();
            });
        }
        calls.join_all().await;
    };
    // The first round opens all, the second proves that four were kept and opens four.
    for _ in 0..2 {
        call_at_once().await;
    }
    for _ in 0..10 {
        call_at_once().await;
    }
    assert_eq!(client.stats().connections_opened, 12);
}

#[tokio::test]
async fn dropped_call_closes_its_connection_and_frees_its_permit() {
    let (gone, arrived) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (disconnected, came) = (Arc::clone(&gone), Arc::clone(&arrived));
    let port = server(move |number, mut stream, _| {
        let (disconnected, came) = (Arc::clone(&disconnected), Arc::clone(&came));
        async move {
            if number > 0 {
                drop(stream.write_all(OK.as_bytes()).await);
                return;
            }
            came.notify_one();
            let mut rest = [0; 16];
            assert_eq!(stream.read(&mut rest).await.unwrap_or(0), 0);
            disconnected.notify_one();
        }
    })
    .await;
    let link = Arc::new(
        OdooClient::new(OdooClientSettings {
            max_in_flight: 1,
            ..settings(port)
        })
        .unwrap(),
    );
    let working = Arc::clone(&link);
    let call = tokio::spawn(async move {
        working
            .send(&permitted_count(), &OdooApiKey::new("k"), None, None)
            .await
    });
    arrived.notified().await;
    call.abort();
    gone.notified().await;
    assert_eq!(
        link.send(&permitted_count(), &OdooApiKey::new("k"), None, None)
            .await
            .unwrap(),
        "47"
    );
}

// BC-48, BC-49.
#[tokio::test]
async fn read_is_sent_again_after_the_pause_that_the_server_asked_for() {
    for head in ["429 Too Many Requests", "503 Service Unavailable"] {
        let port = server(move |number, mut stream, _| async move {
            let refusal = format!("HTTP/1.1 {head}\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n");
            let answer = if number == 0 { &refusal } else { OK };
            drop(stream.write_all(answer.as_bytes()).await);
        })
        .await;
        assert_eq!(send_count(settings(port)).await.unwrap(), "47", "{head}");
    }
    // The next calls are not sent, and the model learns how long.
    let refusal = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 40\r\nContent-Length: 0\r\n\r\n";
    let client = OdooClient::new(settings(server_answering(refusal).await)).unwrap();
    let ask = async || {
        let call = permitted_count();
        client.send(&call, &OdooApiKey::new("k"), None, None).await
    };
    let first = ask().await.unwrap_err();
    assert_eq!(
        first.to_string(),
        "Odoo accepts no more calls for the moment (HTTP 429). The call did not run; try again in 40 s"
    );
    let next = ask().await.unwrap_err();
    assert!(matches!(next, CallError::Paused { .. }), "{next}");
    assert_eq!(client.stats().connections_opened, 1);
}

// Reloads multiplied the calls in flight (B7).
#[tokio::test]
async fn calls_of_replaced_client_count_for_the_limit_of_its_successor() {
    let arrived = Arc::new(Notify::new());
    let here = Arc::clone(&arrived);
    let port = server(move |_, stream, _| {
        here.notify_one();
        async move {
            std::future::pending::<()>().await;
            drop(stream);
        }
    })
    .await;
    let one = OdooClientSettings {
        max_in_flight: 1,
        max_waiting: 0,
        ..settings(port)
    };
    let old = Arc::new(OdooClient::new(one.clone()).unwrap());
    let calling = Arc::clone(&old);
    let call = tokio::spawn(async move {
        let call = permitted_count();
        calling.send(&call, &OdooApiKey::new("k"), None, None).await
    });
    arrived.notified().await;
    let mut new = OdooClient::new(one.clone()).unwrap();
    new.continue_turns_of(&old);
    assert_eq!(new.stats().in_flight, 1);
    let next = new
        .send(&permitted_count(), &OdooApiKey::new("k"), None, None)
        .await;
    assert!(matches!(next, Err(CallError::Busy { .. })), "{next:?}");
    let mut other = OdooClient::new(OdooClientSettings {
        url: format!("http://localhost:{port}"),
        ..one
    })
    .unwrap();
    other.continue_turns_of(&old);
    assert_eq!(other.stats().in_flight, 0);
    call.abort();
}

#[tokio::test]
async fn lookups_that_hang_are_bounded_across_clients_of_the_same_url() {
    let old = OdooClient::new(settings(1)).unwrap();
    let _hanging = old.lookups.take_all().unwrap();
    let mut new = OdooClient::new(OdooClientSettings {
        max_in_flight: 3,
        ..settings(1)
    })
    .unwrap();
    new.continue_turns_of(&old);
    assert!(new.lookups.take_all().is_none());
    let mut other = OdooClient::new(settings(2)).unwrap();
    other.continue_turns_of(&old);
    assert!(other.lookups.take_all().is_some());
}

#[tokio::test]
async fn untrusted_certificate_is_rejected() {
    let certified = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key =
        rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let mut request = [0; 4096];
                    let _read = stream.read(&mut request).await;
                    drop(stream.write_all(OK.as_bytes()).await);
                    drop(stream.shutdown().await);
                }
            });
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let ask = |pem: String| {
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, pem).unwrap();
        let url = format!("https://127.0.0.1:{port}");
        send_count(OdooClientSettings {
            url,
            ca_file: Some(file),
            ..settings(port)
        })
    };
    assert!(matches!(
        ask(other.cert.pem()).await,
        Err(CallError::Unreachable(_))
    ));
    assert_eq!(ask(certified.cert.pem()).await.unwrap(), "47");
}

#[test]
fn invalid_settings_are_named() {
    let refused = |settings: OdooClientSettings| OdooClient::new(settings).unwrap_err().to_string();
    assert!(
        refused(OdooClientSettings {
            url: "odoo".to_owned(),
            ..settings(1)
        })
        .contains("`url`")
    );
    let missing = Some("/nowhere/ca.pem".into());
    let url = "https://odoo".to_owned();
    assert!(
        refused(OdooClientSettings {
            url,
            ca_file: missing,
            ..settings(1)
        })
        .contains("`ca_file`")
    );
}

/// A response with this status that is not from Odoo.
fn lost(status: u16) -> CallError {
    CallError::NotOdoo(ForeignResponse::new(&WireResponse {
        status,
        headers: http::HeaderMap::new(),
        media: "text/html".to_owned(),
        body: "<html>".into(),
    }))
}

#[test]
fn lost_response_is_an_unknown_outcome_only_for_writes() {
    let limit = Duration::from_secs(5);
    for (error, unknown) in [
        (lost(502), true),
        (CallError::CutOff("gone".into()), true),
        (CallError::TimedOut { limit }, true),
        (lost(200), true),
        (lost(404), false),
        (lost(413), false),
        (lost(429), false),
        (lost(503), true),
        (CallError::TooLarge { limit: 1 }, true),
        (
            CallError::Busy {
                retry_after: Duration::ZERO,
            },
            false,
        ),
    ] {
        let failure = error.after_sending(false);
        assert_eq!(
            matches!(failure, CallError::OutcomeUnknown(_)),
            unknown,
            "{failure}"
        );
    }
    let read = lost(502).after_sending(true);
    assert!(matches!(read, CallError::NotOdoo(_)));
}

#[test]
fn unknown_outcome_message_states_the_cause() {
    let messages: Vec<String> = [
        CallError::CutOff("gone".into()),
        lost(502),
        CallError::TimedOut {
            limit: Duration::from_secs(5),
        },
        CallError::TooLarge { limit: 1 << 20 },
        CallError::OutcomeUnknown(UnknownOutcome::Internal("panicked".into())),
        CallError::OutcomeUnknown(UnknownOutcome::Unreadable("not JSON".into())),
    ]
    .map(|error| error.after_sending(false).to_string())
    .into();
    insta::assert_snapshot!(messages.join("\n"), @"
    the connection to Odoo broke after the call was sent; the call may have run or not, so read the records before you retry
    Odoo is starting, overloaded or down (HTTP 502); the call may have run or not, so read the records before you retry
    Odoo did not answer within 5 s and may still be working; the call may have run or not, so read the records before you retry
    Odoo's response is larger than 1 MiB; the call may have run or not, so read the records before you retry
    the gateway failed after the call was sent; the call may have run or not, so read the records before you retry
    Odoo answered in a form this gateway does not understand; the call may have run or not, so read the records before you retry
    ");
}

#[test]
fn errors_say_whether_the_call_was_sent_and_what_to_do() {
    let seconds = Duration::from_secs(5);
    let errors = [
        CallError::Busy {
            retry_after: seconds,
        },
        CallError::CutOff("gone".into()),
        lost(502),
        CallError::NotSent("not a header value".into()),
        CallError::Paused {
            retry_after: seconds,
        },
        CallError::TimedOut { limit: seconds },
        CallError::TooLarge { limit: 1 << 20 },
        CallError::TooLarge { limit: 64 << 10 },
        CallError::TooLarge { limit: 1_500_000 },
        CallError::Unreachable("refused".into()),
    ];
    let texts = errors.map(|error| error.to_string());
    insta::assert_snapshot!(texts.join("\n"), @r"
    Odoo is busy with other calls. Nothing was sent; try again in 5 s
    Odoo closed the connection before its response was complete; try again, and request less if it happens again
    Odoo is starting, overloaded or down (HTTP 502); try again in a minute, then tell the administrator
    the call cannot be sent; retrying will not help, so tell the administrator
    Odoo asked for a pause. Nothing was sent; try again in 5 s
    Odoo did not answer within 5 s; try again later, or request less
    Odoo's response is larger than 1 MiB; request fewer records or fields
    Odoo's response is larger than 64 KiB; request fewer records or fields
    Odoo's response is larger than 1500000 bytes; request fewer records or fields
    Odoo cannot be reached. Nothing was sent; try again in a minute, then tell the administrator
    ");
}

#[tokio::test]
async fn limits_of_the_gateway_and_of_http_are_diagnosed_as_such() {
    let large = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 70000\r\n\r\n";
    let long_head = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n\r\n", "x".repeat(300_000));
    let ssh = "SSH-2.0-OpenSSH_9.6\r\n";
    let mut shown = Vec::new();
    for answer in [large, &*long_head.leak(), ssh] {
        let client = OdooClient::new(settings(server_answering(answer).await)).unwrap();
        let error = client.ping().await.unwrap_err();
        shown.push(client.diagnose(&error));
    }
    let client = OdooClient::new(settings(1)).unwrap();
    let seconds = Duration::from_secs(5);
    shown.extend(
        [
            CallError::TooLarge { limit: 1 << 20 },
            CallError::Busy {
                retry_after: seconds,
            },
            CallError::Paused {
                retry_after: seconds,
            },
            CallError::Unreachable(
                tokio::time::timeout(Duration::ZERO, std::future::pending::<()>())
                    .await
                    .unwrap_err()
                    .into(),
            ),
        ]
        .map(|error| client.diagnose(&error)),
    );
    let lines: Vec<String> = shown
        .iter()
        .map(|found| format!("{}: {}\n    {}", found.setting, found.cause, found.remedy))
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[tokio::test]
async fn ping_reports_the_status_of_a_foreign_server() {
    let page = |head: &str| -> &'static str {
        let text = format!(
            "HTTP/1.1 {head}\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"
        );
        text.leak()
    };
    for (head, wanted) in [("200 OK", 200), ("503 Service Unavailable", 503)] {
        let link = OdooClient::new(settings(server_answering(page(head)).await)).unwrap();
        let failure = link.ping().await.unwrap_err();
        assert!(
            matches!(&failure, CallError::NotOdoo(response) if response.status == wanted),
            "{failure}"
        );
    }
}
