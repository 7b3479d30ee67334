//! One client over stdin and stdout.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{
    io::{AsyncWriteExt, DuplexStream, duplex},
    sync::{Notify, mpsc},
    task::JoinHandle,
};

use super::{Actor, Sign, patiently, rest, until};
use crate::{
    edge::stdio::{StdioError, serve_host},
    telemetry::Telemetry,
};
use gatepost_base::InstanceName;

/// A client, before a host that does what the `path` in a message says.
struct Pipe {
    input: DuplexStream,
    output: DuplexStream,
    signs: mpsc::UnboundedReceiver<Sign>,
    release: Arc<Notify>,
    served: JoinHandle<Result<(), StdioError>>,
}

impl Pipe {
    fn open() -> Self {
        Self::at("local", Duration::from_secs(20))
    }

    fn at(instance: &str, patience: Duration) -> Self {
        let (sender, signs) = mpsc::unbounded_channel();
        let release = Arc::new(Notify::new());
        let actor = Actor {
            signs: sender,
            release: Arc::clone(&release),
            ready: Vec::new(),
            ready_after: Duration::ZERO,
        };
        let (input, stdin) = duplex(1 << 16);
        let (stdout, output) = duplex(1 << 16);
        let instance = InstanceName::try_from(instance).unwrap();
        let served = tokio::spawn(async move {
            let gateway = Arc::new(ArcSwap::from_pointee(actor));
            let telemetry = Arc::new(Telemetry::new());
            serve_host(&gateway, &instance, &telemetry, patience, stdin, stdout).await
        });
        Self {
            input,
            output,
            signs,
            release,
            served,
        }
    }

    async fn send(&mut self, line: &[u8]) {
        patiently(self.input.write_all(line)).await.unwrap();
        patiently(self.input.write_all(b"\n")).await.unwrap();
    }

    async fn sign(&mut self) -> Sign {
        patiently(self.signs.recv()).await.unwrap()
    }

    /// Ends the input, and gives back what was said from now on.
    async fn end(mut self) -> (String, Result<(), StdioError>) {
        drop(self.input);
        let said = rest(&mut self.output).await;
        (said, patiently(self.served).await.unwrap())
    }
}

fn began(path: &str) -> Sign {
    Sign::Began(path.to_owned())
}

#[tokio::test]
async fn each_message_is_answered_on_a_line_of_its_own() {
    let mut pipe = Pipe::open();
    pipe.send(br#"{"id":1}"#).await;
    assert_eq!(until(&mut pipe.output, "\n").await, "{\"id\":1}\n");
    // Not a line end of ours, and nothing at all.
    pipe.send(b"{\"id\":2}\r").await;
    pipe.send(b"  ").await;
    let (said, served) = pipe.end().await;
    assert_eq!(said, "{\"id\":2} \n");
    served.unwrap();
}

#[tokio::test]
async fn what_is_no_json_is_for_the_gateway_to_answer() {
    let mut pipe = Pipe::open();
    pipe.send(b"{\xff").await;
    assert_eq!(pipe.sign().await, began("/stdio"));
    drop(pipe.input);
}

#[tokio::test]
async fn a_line_that_is_too_long_is_answered_and_skipped() {
    let mut pipe = Pipe::open();
    pipe.send("x".repeat(200_000).as_bytes()).await;
    pipe.send(b"{}").await;
    let (said, served) = pipe.end().await;
    assert_eq!(
        said,
        "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\
         \"message\":\"a message must be at most 4096 bytes\"}}\n{}\n"
    );
    served.unwrap();
}

#[tokio::test]
async fn notices_come_before_the_answer() {
    let mut pipe = Pipe::open();
    pipe.send(br#"{"id":1,"path":"/notices"}"#).await;
    let (said, _) = pipe.end().await;
    assert_eq!(said, "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n{\"last\":1}\n");
}

#[tokio::test]
async fn a_slow_call_does_not_hold_up_a_quick_one() {
    let mut pipe = Pipe::open();
    pipe.send(br#"{"id":1,"path":"/held"}"#).await;
    pipe.send(br#"{"id":2}"#).await;
    assert_eq!(until(&mut pipe.output, "\n").await, "{\"id\":2}\n");
    pipe.release.notify_one();
    let (said, served) = pipe.end().await;
    assert_eq!(said, "{\"held\":1}\n");
    served.unwrap();
}

#[tokio::test]
async fn a_call_that_is_taken_back_is_dropped_and_not_answered() {
    let mut pipe = Pipe::open();
    for id in ["1", "\"a\""] {
        let call = format!("{{\"id\":{id},\"path\":\"/held\"}}");
        pipe.send(call.as_bytes()).await;
        assert_eq!(pipe.sign().await, began("/held"));
        let cancel =
            format!("{{\"method\":\"notifications/cancelled\",\"params\":{{\"requestId\":{id}}}}}");
        pipe.send(cancel.as_bytes()).await;
        assert_eq!(pipe.sign().await, Sign::Cancelled("/held".to_owned()));
        // Late, and for one that never was: nothing comes of it.
        pipe.send(cancel.as_bytes()).await;
    }
    let (said, served) = pipe.end().await;
    assert_eq!(said, "");
    served.unwrap();
}

#[tokio::test]
async fn a_waiting_call_can_be_taken_back_too() {
    let mut pipe = Pipe::open();
    for id in 1..=16 {
        let call = format!("{{\"id\":{id},\"path\":\"/held\"}}");
        pipe.send(call.as_bytes()).await;
        assert_eq!(pipe.sign().await, began("/held"));
    }
    pipe.send(br#"{"id":17}"#).await;
    pipe.send(br#"{"method":"notifications/cancelled","params":{"requestId":17}}"#)
        .await;
    pipe.send(br#"{"id":18}"#).await;
    pipe.release.notify_waiters();
    let (said, _) = pipe.end().await;
    assert!(said.contains("{\"id\":18}\n"), "{said}");
    assert!(!said.contains("17"), "{said}");
}

#[tokio::test]
async fn a_bug_is_answered_to_who_asked() {
    let mut pipe = Pipe::open();
    pipe.send(br#"{"id":7,"path":"/panic"}"#).await;
    let (said, served) = pipe.end().await;
    assert!(
        said.starts_with(
            r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"internal error, request "#
        ),
        "{said}"
    );
    served.unwrap();
}

#[tokio::test]
async fn calls_that_outlive_the_input_for_too_long_are_dropped() {
    let mut pipe = Pipe::at("local", Duration::from_millis(20));
    pipe.send(br#"{"id":1,"path":"/held"}"#).await;
    assert_eq!(pipe.sign().await, began("/held"));
    let (said, served) = pipe.end().await;
    assert_eq!(said, "");
    served.unwrap();
}

#[tokio::test]
async fn it_ends_when_nobody_listens_any_more() {
    let mut pipe = Pipe::open();
    pipe.output = duplex(1).0;
    pipe.send(br#"{"id":1}"#).await;
    let served = patiently(pipe.served).await.unwrap();
    assert!(
        matches!(served, Err(StdioError::CannotWrite(_))),
        "{served:?}"
    );
}

#[tokio::test]
async fn an_unknown_instance_is_said_before_anything_is_read() {
    let pipe = Pipe::at("other", Duration::ZERO);
    let served = patiently(pipe.served).await.unwrap();
    assert_eq!(
        served.unwrap_err().to_string(),
        "there is no instance `other`"
    );
}
