//! Trace context (W3C Trace Context).

use std::{fmt, num::NonZeroU64, sync::Arc};

use super::TraceId;

/// The longest `tracestate` that is propagated, in bytes (section 3.3.1.5: at
/// least so much should be).
const MAX_TRACESTATE_BYTES: usize = 512;
/// The most entries of a `tracestate` (section 3.3.1.1).
const MAX_TRACESTATE_ENTRIES: usize = 32;
/// The longest key and value of an entry (sections 3.3.1.3.1 and 3.3.1.3.2).
const MAX_TRACESTATE_PART_BYTES: usize = 256;

/// The id of a span: 16 lower-case hexadecimal digits, never zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(NonZeroU64);

/// The position of a span in a trace: trace id, span id, sampling flag, and the
/// vendors' `tracestate`.
///
/// As a header: `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TraceContext {
    trace_id: TraceId,
    span_id: SpanId,
    sampled: bool,
    tracestate: Option<Arc<str>>,
}

impl SpanId {
    /// A random id.
    pub fn random() -> Self {
        // Without randomness there is no TLS either; the id is only for display.
        let number = getrandom::u64().unwrap_or_default();
        Self(NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN))
    }

    /// The eight bytes in network order.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.get().to_be_bytes()
    }
}

impl TraceContext {
    /// The first span of a trace.
    pub fn root(trace_id: TraceId, sampled: bool) -> Self {
        Self {
            trace_id,
            span_id: SpanId::random(),
            sampled,
            tracestate: None,
        }
    }

    /// Reads the headers of a request; `None` if `traceparent` is invalid.
    ///
    /// Of a later version, the fields of this version are read (section 4). An
    /// invalid or too long `tracestate` is dropped.
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let mut parts = traceparent.split('-');
        let [version, trace, span, flags] = [
            parse_hex(parts.next()?, 2)?,
            parse_hex(parts.next()?, 32)?,
            parse_hex(parts.next()?, 16)?,
            parse_hex(parts.next()?, 2)?,
        ];
        let more = parts.next().is_some();
        if version == 0xff || (version == 0 && more) || trace == 0 {
            return None;
        }
        Some(Self {
            trace_id: TraceId::new(trace),
            span_id: SpanId(NonZeroU64::new(u64::try_from(span).ok()?)?),
            // The other flags are undefined and not propagated (section 3.2.2.5.2).
            sampled: flags & 1 == 1,
            tracestate: tracestate.and_then(valid_tracestate),
        })
    }

    /// A span below this one.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            span_id: SpanId::random(),
            ..self.clone()
        }
    }

    /// The trace id.
    pub fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// The span id.
    pub fn span_id(&self) -> SpanId {
        self.span_id
    }

    /// Whether the caller samples the trace.
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// The value of the header `traceparent`.
    pub fn traceparent(&self) -> String {
        let flags = u8::from(self.sampled);
        format!("00-{}-{}-{flags:02x}", self.trace_id, self.span_id)
    }

    /// The value of the header `tracestate`, if there is one.
    pub fn tracestate(&self) -> Option<&str> {
        self.tracestate.as_deref()
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpanId({self})")
    }
}

/// A number with exactly this many lower-case hexadecimal digits.
fn parse_hex(text: &str, digits: usize) -> Option<u128> {
    let right = text.len() == digits
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    right.then(|| u128::from_str_radix(text, 16).ok())?
}

/// A `tracestate` that conforms to the standard, normalized.
fn valid_tracestate(text: &str) -> Option<Arc<str>> {
    if text.len() > MAX_TRACESTATE_BYTES {
        return None;
    }
    let entries: Vec<&str> = text
        .split(',')
        .map(|entry| entry.trim_matches([' ', '\t']))
        .filter(|entry| !entry.is_empty())
        .collect();
    if entries.is_empty() || entries.len() > MAX_TRACESTATE_ENTRIES {
        return None;
    }
    let mut keys = Vec::with_capacity(entries.len());
    for entry in &entries {
        let (key, value) = entry.split_once('=')?;
        if !is_tracestate_key(key) || !is_tracestate_value(value) || keys.contains(&key) {
            return None;
        }
        keys.push(key);
    }
    Some(entries.join(",").into())
}

fn is_tracestate_key(key: &str) -> bool {
    key.len() <= MAX_TRACESTATE_PART_BYTES
        && key.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && key.bytes().all(
            |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@'),
        )
}

fn is_tracestate_value(value: &str) -> bool {
    (1..=MAX_TRACESTATE_PART_BYTES).contains(&value.len())
        && value
            .bytes()
            .all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b',' | b'='))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::TraceContext;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn child_context_keeps_trace_and_gets_new_span_id() {
        let parent = TraceContext::parse(PARENT, Some("rojo=00f067aa0ba902b7,congo=t61r")).unwrap();
        assert_eq!(parent.traceparent(), PARENT);
        let (one, two) = (parent.child(), parent.child());
        assert_eq!(one.trace_id(), parent.trace_id());
        assert!(one.is_sampled());
        assert_eq!(one.tracestate(), Some("rojo=00f067aa0ba902b7,congo=t61r"));
        assert!(one.span_id() != parent.span_id() && one.span_id() != two.span_id());
    }

    // Trace Context, sections 3.2.2 and 4.3.
    #[test]
    fn invalid_traceparent_is_ignored() {
        for wrong in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-+0f067aa0ba902b7-01",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        ] {
            assert_eq!(TraceContext::parse(wrong, None), None, "{wrong}");
        }
    }

    #[test]
    fn later_traceparent_version_is_read_and_unknown_flags_are_dropped() {
        let later = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff-what-comes";
        let read = TraceContext::parse(later, None).unwrap();
        assert_eq!(read.traceparent(), PARENT);
        let unsampled = PARENT.replace("-01", "-02");
        let read = TraceContext::parse(&unsampled, None).unwrap();
        assert!(!read.is_sampled());
        assert!(read.traceparent().ends_with("-00"));
    }

    #[test]
    fn invalid_tracestate_is_dropped_and_trace_continues() {
        let long = format!("a={}", "x".repeat(600));
        let many: Vec<String> = (0..33).map(|n| format!("k{n}=v")).collect();
        for wrong in [
            "a",
            "A=1",
            "a=1,a=2",
            "a=",
            "a=b=c",
            "a=\u{e9}",
            "a=\r\nX: y",
            &long,
            &many.join(","),
            ",",
        ] {
            let read = TraceContext::parse(PARENT, Some(wrong)).unwrap();
            assert_eq!(read.tracestate(), None, "{wrong}");
        }
        let spaced = TraceContext::parse(PARENT, Some("a@b=1 , ,c/d=x y")).unwrap();
        assert_eq!(spaced.tracestate(), Some("a@b=1,c/d=x y"));
    }

    proptest! {
        #[test]
        fn trace_context_round_trips_through_headers(
            parent in "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}",
            state in proptest::option::of("[ -~\r\n\t]{0,40}"),
        ) {
            if let Some(read) = TraceContext::parse(&parent, state.as_deref()) {
                let again = TraceContext::parse(&read.traceparent(), read.tracestate());
                prop_assert_eq!(again.as_ref(), Some(&read));
                let printable = |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
                prop_assert!(read.tracestate().is_none_or(printable));
            }
        }
    }
}
