//! Messages as lines.

use std::io;

use bytes::Bytes;
use tokio::{
    io::{AsyncBufReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
};

pub(super) enum InputLine {
    Eof,
    Text(Vec<u8>),
    TooLong,
}

/// Reads the next line, without its end. The text of a line over `limit` bytes is
/// discarded.
pub(super) async fn next_line(
    input: &mut (impl AsyncBufReadExt + Unpin),
    limit: usize,
) -> io::Result<InputLine> {
    let mut line = Vec::new();
    let mut too_long = false;
    let mut any = false;
    loop {
        let buffer = input.fill_buf().await?;
        let (part, used, ended) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(end) => (buffer.get(..end).unwrap_or_default(), end + 1, true),
            None => (buffer, buffer.len(), buffer.is_empty()),
        };
        any |= used > 0;
        too_long |= line.len().saturating_add(part.len()) > limit;
        if too_long {
            line = Vec::new();
        } else {
            line.extend_from_slice(part);
        }
        input.consume(used);
        if ended {
            return Ok(match (any, too_long) {
                (false, _) => InputLine::Eof,
                (true, true) => InputLine::TooLong,
                (true, false) => InputLine::Text(line),
            });
        }
    }
}

/// Writes each message as one line.
pub(super) async fn write_lines(
    mut messages: mpsc::Receiver<Bytes>,
    mut output: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    while let Some(message) = messages.recv().await {
        let mut line = Vec::with_capacity(message.len().saturating_add(1));
        // Line ends can only stand between the tokens of JSON, where a space is the same.
        line.extend(message.iter().map(|byte| match byte {
            b'\n' | b'\r' => b' ',
            other => *other,
        }));
        line.push(b'\n');
        output.write_all(&line).await?;
        output.flush().await?;
    }
    Ok(())
}
