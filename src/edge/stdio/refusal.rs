//! The answer to a client whose server cannot start.

use std::io::{self, BufRead, Read as _, Write};

use super::message::{MessagePeek, StdioMessageKind, error_line};

/// The longest message that is read, in bytes.
const MAX_MESSAGE_BYTES: u64 = 1 << 20;

/// Answers the client's first request with an error, so that it has something to
/// show besides a process that ended. Returns when the request is answered or the
/// input ends.
///
/// # Errors
/// If the input cannot be read or the output cannot be written.
pub fn refuse(mut input: impl BufRead, mut output: impl Write, reason: &str) -> io::Result<()> {
    loop {
        let mut line = Vec::new();
        let read = input
            .by_ref()
            .take(MAX_MESSAGE_BYTES)
            .read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        let peek: MessagePeek = serde_json::from_slice(&line).unwrap_or_default();
        let is_request = peek.kind() != StdioMessageKind::Response;
        if let Some(id) = peek.id.as_ref().filter(|_| is_request) {
            // Internal error (JSON-RPC 2.0, section 5.1).
            output.write_all(&error_line(id, -32603, reason))?;
            output.write_all(b"\n")?;
            return output.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::refuse;

    #[test]
    fn first_request_is_answered_with_the_reason() {
        let input = [
            r#"{"jsonrpc":"2.0","method":"notifications/x"}"#,
            "not JSON",
            r#"{"jsonrpc":"2.0","id":7,"method":"initialize"}"#,
            r#"{"jsonrpc":"2.0","id":8,"method":"tools/list"}"#,
        ]
        .join("\n");
        let mut output = Vec::new();
        refuse(input.as_bytes(), &mut output, "no \"keys\"\nat line 1").unwrap();
        assert_eq!(
            String::from_utf8(output).unwrap(),
            "{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":-32603,\"message\":\"no \\\"keys\\\"\\nat line 1\"}}\n"
        );
    }

    #[test]
    fn input_that_ends_is_not_answered() {
        let mut output = Vec::new();
        refuse(&b"{}\n"[..], &mut output, "reason").unwrap();
        assert_eq!(output, b"");
    }
}
