//! One client over stdin and stdout.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{
    io::{AsyncWriteExt, DuplexStream, duplex},
    sync::{Notify, mpsc},
    task::JoinHandle,
};

use super::{HostEvent, ScriptedHost, read_to_end, read_until, within_timeout};
use crate::{
    edge::stdio::{StdioError, Terminations, serve},
    telemetry::{Readiness, Telemetry},
};
use gatepost_base::InstanceName;

/// A client of a handler that does what the `path` in a message says.
struct StdioPipe {
    input: DuplexStream,
    output: DuplexStream,
    events: mpsc::UnboundedReceiver<HostEvent>,
    release: Arc<Notify>,
    /// Asks it to end.
    terminate: mpsc::UnboundedSender<()>,
    served: JoinHandle<Result<(), StdioError>>,
}

/// Requests to end that a test sends.
pub(super) struct ScriptedTerminations(pub(super) mpsc::UnboundedReceiver<()>);

impl Terminations for ScriptedTerminations {
    async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

impl StdioPipe {
    fn open() -> Self {
        Self::at_instance("local", Duration::from_secs(20))
    }

    fn at_instance(instance: &str, patience: Duration) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let release = Arc::new(Notify::new());
        let actor = ScriptedHost {
            events: sender,
            release: Arc::clone(&release),
            readiness: Readiness::default(),
            readiness_delay: Duration::ZERO,
        };
        let (input, stdin) = duplex(1 << 16);
        let (stdout, output) = duplex(1 << 16);
        let instance = InstanceName::try_from(instance).unwrap();
        let (terminate, signals) = mpsc::unbounded_channel();
        let served = tokio::spawn(async move {
            let gateway = Arc::new(ArcSwap::from_pointee(actor));
            let telemetry = Arc::new(Telemetry::new());
            let signals = ScriptedTerminations(signals);
            serve(
                &gateway, &instance, &telemetry, patience, signals, stdin, stdout,
            )
            .await
        });
        Self {
            input,
            output,
            events,
            release,
            terminate,
            served,
        }
    }

    async fn send(&mut self, line: &[u8]) {
        within_timeout(self.input.write_all(line)).await.unwrap();
        within_timeout(self.input.write_all(b"\n")).await.unwrap();
    }

    async fn next_event(&mut self) -> HostEvent {
        within_timeout(self.events.recv()).await.unwrap()
    }

    /// Ends the input, and returns the output from then on.
    async fn close(mut self) -> (String, Result<(), StdioError>) {
        drop(self.input);
        let said = read_to_end(&mut self.output).await;
        (said, within_timeout(self.served).await.unwrap())
    }
}

fn started(path: &str) -> HostEvent {
    HostEvent::Started(path.to_owned())
}

#[tokio::test]
async fn each_response_is_written_on_one_line() {
    let mut pipe = StdioPipe::open();
    pipe.send(br#"{"id":1}"#).await;
    assert_eq!(read_until(&mut pipe.output, "\n").await, "{\"id\":1}\n");
    // A line end that is not ours, and an empty line.
    pipe.send(b"{\"id\":2}\r").await;
    pipe.send(b"  ").await;
    let (said, served) = pipe.close().await;
    assert_eq!(said, "{\"id\":2} \n");
    served.unwrap();
}

#[tokio::test]
async fn invalid_json_is_passed_to_gateway() {
    let mut pipe = StdioPipe::open();
    pipe.send(b"{\xff").await;
    assert_eq!(pipe.next_event().await, started("/stdio"));
    drop(pipe.input);
}

#[tokio::test]
async fn too_long_line_gets_error_and_is_skipped() {
    let mut pipe = StdioPipe::open();
    pipe.send("x".repeat(200_000).as_bytes()).await;
    pipe.send(b"{}").await;
    let (said, served) = pipe.close().await;
    assert_eq!(
        said,
        "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\
         \"message\":\"a message must be at most 4096 bytes\"}}\n{}\n"
    );
    served.unwrap();
}

#[tokio::test]
async fn server_messages_precede_response() {
    let mut pipe = StdioPipe::open();
    pipe.send(br#"{"id":1,"path":"/notices"}"#).await;
    let (said, _) = pipe.close().await;
    assert_eq!(said, "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n{\"last\":1}\n");
}

#[tokio::test]
async fn slow_call_does_not_delay_quick_call() {
    let mut pipe = StdioPipe::open();
    pipe.send(br#"{"id":1,"path":"/held"}"#).await;
    pipe.send(br#"{"id":2}"#).await;
    assert_eq!(read_until(&mut pipe.output, "\n").await, "{\"id\":2}\n");
    pipe.release.notify_one();
    let (said, served) = pipe.close().await;
    assert_eq!(said, "{\"held\":1}\n");
    served.unwrap();
}

#[tokio::test]
async fn cancelled_call_is_dropped_without_response() {
    let mut pipe = StdioPipe::open();
    for id in ["1", "\"a\""] {
        let call = format!("{{\"id\":{id},\"path\":\"/held\"}}");
        pipe.send(call.as_bytes()).await;
        assert_eq!(pipe.next_event().await, started("/held"));
        let cancel =
            format!("{{\"method\":\"notifications/cancelled\",\"params\":{{\"requestId\":{id}}}}}");
        pipe.send(cancel.as_bytes()).await;
        assert_eq!(
            pipe.next_event().await,
            HostEvent::Cancelled("/held".to_owned())
        );
        // Too late, and for an unknown request: without effect.
        pipe.send(cancel.as_bytes()).await;
    }
    let (said, served) = pipe.close().await;
    assert_eq!(said, "");
    served.unwrap();
}

#[tokio::test]
async fn queued_call_can_be_cancelled() {
    let mut pipe = StdioPipe::open();
    for id in 1..=16 {
        let call = format!("{{\"id\":{id},\"path\":\"/held\"}}");
        pipe.send(call.as_bytes()).await;
        assert_eq!(pipe.next_event().await, started("/held"));
    }
    pipe.send(br#"{"id":17}"#).await;
    pipe.send(br#"{"method":"notifications/cancelled","params":{"requestId":17}}"#)
        .await;
    pipe.send(br#"{"id":18}"#).await;
    pipe.release.notify_waiters();
    let (said, _) = pipe.close().await;
    assert!(said.contains("{\"id\":18}\n"), "{said}");
    assert!(!said.contains("17"), "{said}");
}

#[tokio::test]
async fn panic_is_answered_with_id_of_request() {
    let mut pipe = StdioPipe::open();
    pipe.send(br#"{"id":7,"path":"/panic"}"#).await;
    let (said, served) = pipe.close().await;
    assert!(
        said.starts_with(
            r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"internal error, request "#
        ),
        "{said}"
    );
    served.unwrap();
}

#[tokio::test]
async fn calls_exceeding_timeout_after_eof_are_dropped() {
    let mut pipe = StdioPipe::at_instance("local", Duration::from_millis(20));
    pipe.send(br#"{"id":1,"path":"/held"}"#).await;
    assert_eq!(pipe.next_event().await, started("/held"));
    let (said, served) = pipe.close().await;
    assert_eq!(said, "");
    served.unwrap();
}

#[tokio::test]
async fn serving_ends_when_stdout_is_closed() {
    let mut pipe = StdioPipe::open();
    pipe.output = duplex(1).0;
    pipe.send(br#"{"id":1}"#).await;
    let served = within_timeout(pipe.served).await.unwrap();
    assert!(
        matches!(served, Err(StdioError::CannotWrite(_))),
        "{served:?}"
    );
}

#[tokio::test]
async fn unknown_instance_fails_before_input_is_read() {
    let pipe = StdioPipe::at_instance("other", Duration::ZERO);
    let served = within_timeout(pipe.served).await.unwrap();
    assert!(
        matches!(&served, Err(StdioError::UnknownInstance(name)) if name.as_str() == "other"),
        "{served:?}"
    );
}

#[tokio::test]
async fn call_in_flight_is_answered_after_request_to_end() {
    let mut pipe = StdioPipe::open();
    pipe.send(br#"{"id":1,"path":"/held"}"#).await;
    assert_eq!(pipe.next_event().await, started("/held"));
    pipe.terminate.send(()).unwrap();
    // Read no more, although the input is open.
    within_timeout(async {
        while pipe.input.write_all(&[b' '; 1 << 12]).await.is_ok() {
            tokio::task::yield_now().await;
            pipe.release.notify_one();
        }
    })
    .await;
    let said = read_to_end(&mut pipe.output).await;
    assert_eq!(said, "{\"held\":1}\n");
    within_timeout(pipe.served).await.unwrap().unwrap();
}

#[tokio::test]
async fn second_request_to_end_does_not_wait_for_calls() {
    let mut pipe = StdioPipe::open();
    pipe.send(br#"{"id":1,"path":"/held"}"#).await;
    assert_eq!(pipe.next_event().await, started("/held"));
    pipe.terminate.send(()).unwrap();
    pipe.terminate.send(()).unwrap();
    assert_eq!(
        pipe.next_event().await,
        HostEvent::Cancelled("/held".to_owned())
    );
    // Nothing else waits.
    drop(pipe.terminate);
    within_timeout(pipe.served).await.unwrap().unwrap();
}
