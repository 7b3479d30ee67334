//! Calls: answers, notices, hang-ups, bugs.

use tokio::io::AsyncWriteExt;

use super::{Sign, Stage, last_post, plain, post, rest, until};

#[tokio::test]
async fn a_quick_call_is_answered_as_json_with_its_length() {
    let stage = Stage::open();
    let answer = stage.say(&last_post("/echo", "{\"a\":1}", "")).await;
    insta::assert_snapshot!(plain(&answer), @r#"
    HTTP/1.1 200 OK
    Content-Type: application/json
    Content-Length: 7
    Connection: close

    {"a":1}
    "#);
    assert!(
        answer.to_ascii_lowercase().contains("\r\nx-request-id: "),
        "{answer}"
    );
}
