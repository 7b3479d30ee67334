//! TLS and HTTP/2.

use std::{fs, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::{Request, Response, StatusCode};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, ServerName},
    version::{TLS12, TLS13},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncWriteExt, copy},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{HostEvent, TestEdge, post_and_close, read_to_end, requests_total, within_timeout};
use crate::{config::TlsConfig, edge::certificate::Certificate};

/// A certificate and its key in files.
struct CertificateFiles {
    folder: TempDir,
    certificate: CertificateDer<'static>,
}

impl CertificateFiles {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let certificate = write_certificate(folder.path());
        Self {
            folder,
            certificate,
        }
    }

    fn tls(&self) -> TlsConfig {
        TlsConfig {
            certificate_file: self.folder.path().join("certificate.pem"),
            key_file: self.folder.path().join("key.pem"),
        }
    }

    fn start_edge(&self) -> TestEdge {
        TestEdge::with_server(|server| server.tls = Some(self.tls()))
    }
}

/// Writes a new pair for `localhost` and returns the certificate.
fn write_certificate(folder: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.join("certificate.pem"), cert.pem()).unwrap();
    fs::write(folder.join("key.pem"), signing_key.serialize_pem()).unwrap();
    cert.der().clone()
}

/// A handshake with a client that trusts only this certificate.
async fn handshake(
    stage: &TestEdge,
    trusted: &CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let socket = stage.connect().await;
    within_timeout(TlsConnector::from(Arc::new(config)).connect(name, socket)).await
}

async fn http2_client(stage: &TestEdge, files: &CertificateFiles) -> SendRequest<Bytes> {
    let stream = handshake(stage, &files.certificate, &TLS13, b"h2")
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    client
}

fn request(path: &str, accept: &str) -> Request<()> {
    Request::post(format!("https://localhost{path}"))
        .header("accept", accept)
        .body(())
        .unwrap()
}

/// Sends a request with its body and returns the head and body of the response.
async fn http2_post(
    client: &SendRequest<Bytes>,
    request: Request<()>,
    body: &str,
) -> (Response<()>, String) {
    let mut client = within_timeout(client.clone().ready()).await.unwrap();
    let (answer, mut sent) = client.send_request(request, false).unwrap();
    // The response may arrive before everything is sent.
    drop(sent.send_data(Bytes::from(body.to_owned()), true));
    http2_response(answer).await
}

/// The head and body of a response.
async fn http2_response(answer: ResponseFuture) -> (Response<()>, String) {
    let (head, mut body) = within_timeout(answer).await.unwrap().into_parts();
    let mut text = String::new();
    while let Some(part) = within_timeout(body.data()).await {
        let Ok(part) = part else { break };
        drop(body.flow_control().release_capacity(part.len()));
        text.push_str(std::str::from_utf8(&part).unwrap());
    }
    (Response::from_parts(head, ()), text)
}

#[tokio::test]
async fn http_1_1_is_served_over_tls_1_2_and_1_3() {
    let files = CertificateFiles::new();
    let stage = files.start_edge();
    for version in [&TLS12, &TLS13] {
        let mut client = handshake(&stage, &files.certificate, version, b"http/1.1")
            .await
            .unwrap();
        let request = post_and_close("/head", "{}", "");
        client.write_all(request.as_bytes()).await.unwrap();
        let answer = read_to_end(&mut client).await;
        assert!(
            answer.ends_with(r#""POST /head Some(\"a\") true true""#),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn http_2_is_served_over_tls() {
    let files = CertificateFiles::new();
    let stage = files.start_edge();
    let client = http2_client(&stage, &files).await;
    let (head, body) = http2_post(&client, request("/head?q", "*/*"), "{}").await;
    assert_eq!(head.status(), StatusCode::OK);
    assert!(head.headers().contains_key("x-request-id"));
    assert_eq!(body, r#""POST /head Some(\"localhost\") true true""#);
    let (head, body) =
        http2_post(&client, request("/notices", "text/event-stream, */*"), "{}").await;
    assert_eq!(head.headers()["content-type"], "text/event-stream");
    assert!(!head.headers().contains_key("transfer-encoding"));
    assert!(
        body.ends_with("event: message\ndata: {\"last\":1}\n\n"),
        "{body}"
    );
}

// BC-37
#[tokio::test]
async fn http_2_body_that_ends_with_an_empty_frame_is_answered_once() {
    let files = CertificateFiles::new();
    let mut stage = files.start_edge();
    let client = http2_client(&stage, &files).await;
    let mut client = within_timeout(client.ready()).await.unwrap();
    let (answer, mut sent) = client.send_request(request("/echo", "*/*"), false).unwrap();
    sent.send_data(Bytes::from_static(b"{\"a\":1}"), false)
        .unwrap();
    sent.send_data(Bytes::new(), true).unwrap();
    let (head, body) = http2_response(answer).await;
    assert_eq!(
        (head.status(), body.as_str()),
        (StatusCode::OK, "{\"a\":1}")
    );
    let served = stage.next_event().await;
    assert_eq!(served, HostEvent::Started("/echo".to_owned()));
    stage.wait_for_metric(&requests_total("answered", 1)).await;
    assert!(stage.events.try_recv().is_err());
}

#[tokio::test]
async fn http_2_has_same_limits_and_connection_survives_errors() {
    let files = CertificateFiles::new();
    let stage = files.start_edge();
    let client = http2_client(&stage, &files).await;
    let large = "x".repeat(5000);
    let (head, _) = http2_post(&client, request("/echo", "*/*"), &large).await;
    assert_eq!(head.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let (head, _) = http2_post(&client, request("/closed", "*/*"), &large).await;
    assert_eq!(head.status(), StatusCode::UNAUTHORIZED);
    let (head, _) = http2_post(&client, request("/panic", "*/*"), "{}").await;
    assert_eq!(head.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let (head, body) = http2_post(&client, request("/echo", "*/*"), "{}").await;
    assert_eq!((head.status(), body.as_str()), (StatusCode::OK, "{}"));
    let (head, _) = http2_post(&client, request("/echo", &"x".repeat(4000)), "{}").await;
    assert_eq!(head.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}

#[tokio::test]
async fn stream_reset_cancels_only_its_call() {
    let files = CertificateFiles::new();
    let mut stage = files.start_edge();
    let client = http2_client(&stage, &files).await;
    let mut sender = within_timeout(client.clone().ready()).await.unwrap();
    let (answer, mut sent) = sender.send_request(request("/held", "*/*"), false).unwrap();
    sent.send_data(Bytes::from_static(b"{}"), true).unwrap();
    assert_eq!(
        stage.next_event().await,
        HostEvent::Started("/held".to_owned())
    );
    sent.send_reset(h2::Reason::CANCEL);
    assert_eq!(
        stage.next_event().await,
        HostEvent::Cancelled("/held".to_owned())
    );
    drop(answer);
    let (head, _) = http2_post(&client, request("/echo", "*/*"), "{}").await;
    assert_eq!(head.status(), StatusCode::OK);
}

#[tokio::test]
async fn http_2_connection_makes_room_once_its_last_stream_has_ended() {
    let files = CertificateFiles::new();
    let mut stage = TestEdge::with_server(|server| {
        server.tls = Some(files.tls());
        server.max_connections = 1;
    });
    let first = http2_client(&stage, &files).await;
    let mut sender = within_timeout(first.clone().ready()).await.unwrap();
    let (answer, mut sent) = sender.send_request(request("/held", "*/*"), false).unwrap();
    sent.send_data(Bytes::from_static(b"{}"), true).unwrap();
    assert_eq!(
        stage.next_event().await,
        HostEvent::Started("/held".to_owned())
    );
    let mut second = Box::pin(http2_client(&stage, &files));
    // It cannot connect while the stream is open.
    tokio::select! {
        _ = &mut second => panic!("the only place was taken"),
        echoed = http2_post(&first, request("/echo", "*/*"), "{}") => assert_eq!(echoed.1, "{}"),
    }
    stage.release.notify_one();
    let (second, answer) = tokio::join!(second, within_timeout(answer));
    assert_eq!(answer.unwrap().status(), StatusCode::OK);
    let (_, body) = http2_post(&second, request("/echo", "*/*"), "{}").await;
    assert_eq!(body, "{}");
    // The first one was closed for it.
    assert!(within_timeout(first.ready()).await.is_err());
}

#[tokio::test]
async fn tls_client_that_reads_nothing_hits_write_timeout() {
    let files = CertificateFiles::new();
    let stage = TestEdge::with_server(|server| {
        server.tls = Some(files.tls());
        server.write_timeout_ms = 200;
    });
    let client = http2_client(&stage, &files).await;
    let mut sender = within_timeout(client.clone().ready()).await.unwrap();
    let (answer, mut sent) = sender
        .send_request(request("/large", "*/*"), false)
        .unwrap();
    sent.send_data(Bytes::from_static(b"{}"), true).unwrap();
    stage.wait_for_metric(&requests_total("hung_up", 1)).await;
    drop(answer);
    let (head, _) = http2_post(&client, request("/echo", "*/*"), "{}").await;
    assert_eq!(head.status(), StatusCode::OK);

    let mut http1 = handshake(&stage, &files.certificate, &TLS13, b"http/1.1")
        .await
        .unwrap();
    let request = super::post("/large", "{}", "");
    http1.write_all(request.as_bytes()).await.unwrap();
    stage.wait_for_metric(&requests_total("hung_up", 2)).await;
    // The one over HTTP/2 stays.
    stage.wait_for_metric("connections_open 1\n").await;
    drop(client);
}

#[tokio::test]
async fn http_2_call_completes_during_shutdown() {
    let files = CertificateFiles::new();
    let mut stage = files.start_edge();
    let client = http2_client(&stage, &files).await;
    let asking = http2_post(&client, request("/held", "*/*"), "{}");
    let leaving = async {
        assert_eq!(
            stage.next_event().await,
            HostEvent::Started("/held".to_owned())
        );
        stage.shutdown.shut_down();
        stage.release.notify_one();
        stage.wait_for_exit().await;
    };
    let ((head, body), ()) = tokio::join!(asking, leaving);
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(body, "{\"held\":1}");
}

#[tokio::test]
async fn silent_tls_client_is_disconnected() {
    let files = CertificateFiles::new();
    let stage = TestEdge::with_server(|server| {
        server.tls = Some(files.tls());
        server.header_timeout_ms = 200;
    });
    let mut silent = stage.connect().await;
    assert_eq!(read_to_end(&mut silent).await, "");
    let mut no_preface = handshake(&stage, &files.certificate, &TLS13, b"h2")
        .await
        .unwrap();
    within_timeout(copy(&mut no_preface, &mut tokio::io::sink()))
        .await
        .ok();
    // A whole connection without requests, too.
    let stream = handshake(&stage, &files.certificate, &TLS13, b"h2")
        .await
        .unwrap();
    let (_client, connection) = h2::client::handshake(stream).await.unwrap();
    drop(within_timeout(connection).await);
}

#[tokio::test]
async fn changed_certificate_is_served_without_restart() {
    let mut files = CertificateFiles::new();
    let stage = files.start_edge();
    let old = files.certificate.clone();
    handshake(&stage, &old, &TLS13, b"h2").await.unwrap();
    files.certificate = write_certificate(files.folder.path());
    within_timeout(async {
        let new = &files.certificate;
        while handshake(&stage, new, &TLS13, b"h2").await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(handshake(&stage, &old, &TLS13, b"h2").await.is_err());
}

#[tokio::test]
async fn mismatched_pair_leaves_current_certificate_in_use() {
    let files = CertificateFiles::new();
    let certificate = Arc::new(Certificate::load(&files.tls()).unwrap());
    let other = TempDir::new().unwrap();
    write_certificate(other.path());
    // Half of a replacement: the new certificate with the old key.
    fs::copy(
        other.path().join("certificate.pem"),
        files.tls().certificate_file,
    )
    .unwrap();
    assert!(certificate.reload().is_err());
    assert_eq!(certificate.current_certificate(), files.certificate);
    fs::write(files.tls().key_file, "none").unwrap();
    assert!(certificate.reload().is_err());
    assert_eq!(certificate.current_certificate(), files.certificate);
    // Its other half.
    fs::copy(other.path().join("key.pem"), files.tls().key_file).unwrap();
    certificate.reload().unwrap();
    assert_ne!(certificate.current_certificate(), files.certificate);
}

#[tokio::test]
async fn metrics_have_the_end_of_the_certificate() {
    let files = CertificateFiles::new();
    let stage = files.start_edge();
    let answer = stage.get_admin("/metrics").await;
    let (_, parsed) = x509_parser::parse_x509_certificate(&files.certificate).unwrap();
    let expires = parsed.validity().not_after.timestamp();
    let line = format!("\ngatepost_certificate_expires_timestamp_seconds {expires}\n");
    assert!(answer.contains(&line), "{answer}");
}

#[test]
fn certificate_error_names_its_setting() {
    let files = CertificateFiles::new();
    let mut tls = files.tls();
    tls.key_file = "/nowhere/key.pem".into();
    assert_eq!(Certificate::load(&tls).unwrap_err().setting(), "key_file");
    tls.key_file = files.tls().key_file;
    tls.certificate_file = files.tls().key_file;
    let error = Certificate::load(&tls).unwrap_err();
    assert_eq!(error.setting(), "certificate_file");
}
