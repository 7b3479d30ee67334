//! A minimal HTTP/1.1 server that can fail at every byte.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The transport: a socket, or TLS on it.
pub(super) trait ByteStream: Read + Write + Send {}

impl<T: Read + Write + Send> ByteStream for T {}

/// A client's connection.
pub(super) struct Connection {
    stream: Box<dyn ByteStream>,
    socket: TcpStream,
    buffer: Vec<u8>,
    bytes_sent: Arc<AtomicU64>,
}

/// A complete request.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// A well-formed response.
#[derive(Debug)]
pub(super) struct IdpResponse {
    pub(super) status: u16,
    pub(super) media_type: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl IdpResponse {
    pub(super) fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            media_type: "application/json",
            headers: Vec::new(),
            body: body.into(),
        }
    }

    pub(super) fn text(status: u16, media_type: &'static str, body: &str) -> Self {
        Self {
            media_type,
            ..Self::json(status, body)
        }
    }

    pub(super) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl Connection {
    pub(super) fn new(
        stream: Box<dyn ByteStream>,
        socket: TcpStream,
        bytes_sent: Arc<AtomicU64>,
    ) -> Self {
        Self {
            stream,
            socket,
            buffer: Vec::new(),
            bytes_sent,
        }
    }

    /// The next request, or `None` at the end of the connection.
    pub(super) fn next_request(&mut self) -> Option<Request> {
        let end = loop {
            let end = self.buffer.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                break end;
            }
            self.read_more()?;
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        let head = String::from_utf8_lossy(&head);
        let mut lines = head.lines();
        let mut first = lines.next()?.split(' ');
        let mut request = Request {
            method: first.next()?.to_owned(),
            target: first.next()?.to_owned(),
            headers: lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect(),
            body: Vec::new(),
        };
        let length = request
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        while self.buffer.len() < length {
            self.read_more()?;
        }
        request.body = self.buffer.drain(..length).collect();
        Some(request)
    }

    fn read_more(&mut self) -> Option<()> {
        let mut part = [0; 4096];
        let read = self.stream.read(&mut part).ok().filter(|read| *read > 0)?;
        self.buffer.extend_from_slice(part.get(..read)?);
        Some(())
    }

    /// Writes a response and leaves the connection open.
    pub(super) fn respond(&mut self, reply: &IdpResponse) -> io::Result<()> {
        let mut head = format!(
            "HTTP/1.1 {} Said\r\nContent-Type: {}\r\nContent-Length: {}\r\n",
            reply.status,
            reply.media_type,
            reply.body.len()
        );
        for (name, value) in &reply.headers {
            head.extend([*name, ": ", value, "\r\n"]);
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&reply.body);
        self.write(&bytes)
    }

    /// Writes raw bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()?;
        let count = u64::try_from(bytes.len()).unwrap_or_default();
        self.bytes_sent.fetch_add(count, Ordering::Relaxed);
        Ok(())
    }

    /// Writes the same bytes repeatedly until the client closes the connection.
    pub(super) fn write_repeatedly(&mut self, drop: &[u8], every: Duration) {
        // Either the client closes the connection, or the write times out.
        ignore_result(self.socket.set_read_timeout(Some(every)));
        let mut part = [0; 64];
        loop {
            match self.stream.read(&mut part) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    if self.write(drop).is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }

    /// Waits until the client closes.
    pub(super) fn wait_for_close(&mut self) {
        while self.read_more().is_some() {}
    }

    /// Closes with a reset, so that the client reports the missing response as an
    /// error.
    pub(super) fn close(&self) {
        ignore_result(self.socket.shutdown(Shutdown::Both));
    }
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The body, decoded as a form.
    pub(super) fn form(&self) -> Vec<(String, String)> {
        let is_form = self
            .header("content-type")
            .is_some_and(|media| media.starts_with("application/x-www-form-urlencoded"));
        if !is_form {
            return Vec::new();
        }
        String::from_utf8_lossy(&self.body)
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (form_decoded(name), form_decoded(value)))
            .collect()
    }
}

/// Decodes `application/x-www-form-urlencoded`.
pub(super) fn form_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                let digits = String::from_utf8(digits).unwrap();
                u8::from_str_radix(&digits, 16).unwrap_or(b'?')
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Errors of the client at its end are ignored.
pub(super) fn ignore_result<T, E>(result: Result<T, E>) {
    drop(result);
}
