//! Inputs of several sections, and the answers that some of them are.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

/// Separates the sections of an input.
const SEPARATOR: &[u8] = b"\n---\n";

/// The sections of an input.
pub(crate) fn sections(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let whole = rest?;
        let end = whole
            .windows(SEPARATOR.len())
            .position(|part| part == SEPARATOR);
        let (section, after) = match end {
            Some(end) => {
                let (section, after) = whole.split_at(end);
                (section, after.get(SEPARATOR.len()..))
            }
            None => (whole, None),
        };
        rest = after;
        Some(section)
    })
}

/// The first line of a section, and the rest.
pub(crate) fn first_line(section: &[u8]) -> (&[u8], &[u8]) {
    match section.iter().position(|byte| *byte == b'\n') {
        Some(end) => {
            let (line, rest) = section.split_at(end);
            (line, rest.get(1..).unwrap_or_default())
        }
        None => (section, &[]),
    }
}

/// The answers of a server to the requests whose path ends with a name. A section
/// with such an answer begins with a line such as `search_read 200
/// application/json`; the rest is the body. The answers of one name are sent one
/// after the other, and then the last one again.
#[derive(Debug, Default)]
pub(crate) struct Script(BTreeMap<Vec<u8>, Vec<Response<Bytes>>>);

impl Script {
    /// Reads the sections with answers.
    pub(crate) fn parse<'a>(sections: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut script = Self::default();
        for section in sections {
            let (head, body) = first_line(section);
            let mut words = head.split(|byte| *byte == b' ');
            let name = words.next().unwrap_or_default();
            let status = words
                .next()
                .and_then(|status| StatusCode::from_bytes(status).ok());
            let mut response = Response::new(Bytes::copy_from_slice(body));
            // hyper sends no body with the others.
            *response.status_mut() = status
                .filter(|status| status.as_u16() >= 200)
                .unwrap_or_default();
            let media = words.next().unwrap_or(b"application/json");
            if let Ok(media) = HeaderValue::from_bytes(media) {
                response.headers_mut().insert(header::CONTENT_TYPE, media);
            }
            script.0.entry(name.to_vec()).or_default().push(response);
        }
        for answers in script.0.values_mut() {
            answers.reverse();
        }
        script
    }

    /// The next answer to a request with this path, if the input has one.
    pub(crate) fn answer(&mut self, path: &str) -> Option<Response<Bytes>> {
        let name = path.rsplit('/').next().unwrap_or_default();
        let answers = self.0.get_mut(name.as_bytes())?;
        if answers.len() > 1 {
            answers.pop()
        } else {
            answers.first().cloned()
        }
    }
}
