//! JSON-RPC 2.0, as MCP uses it.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};
use serde_json::value::RawValue;

/// A JSON-RPC message with unparsed parts.
///
/// A duplicate key is an error, because two readers could see different messages.
#[derive(Deserialize)]
pub struct Envelope<'a> {
    /// Must be `2.0`.
    #[serde(borrow, default)]
    pub jsonrpc: Option<Cow<'a, str>>,
    /// The id; `Some` of `null` if it was sent as `null`.
    #[serde(borrow, default, deserialize_with = "present")]
    pub id: Option<&'a RawValue>,
    /// The method of a request or notification.
    #[serde(borrow, default)]
    pub method: Option<Cow<'a, str>>,
    /// The parameters.
    #[serde(borrow, default)]
    pub params: Option<&'a RawValue>,
    /// The result of a response.
    #[serde(borrow, default)]
    pub result: Option<&'a RawValue>,
    /// The error of a response.
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
}

/// A value that is present, even if `null`, which an `Option` alone treats as missing.
pub(super) fn present<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The longest text of an id in bytes, and the most characters of a number. The id
/// is repeated in the response and retained while the request is in flight.
const MAX_ID_BYTES: usize = 256;

/// The id of a request: a text of at most 256 bytes or a whole number of at most as
/// many characters, never null (MCP, base protocol, "Requests"). The response
/// repeats it exactly.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum RequestId {
    /// A whole number.
    Number(i64),
    /// A text.
    Text(Box<str>),
    /// Any other whole number as it was written: one beyond `i64`, or with a fraction
    /// or an exponent, such as `1.0`.
    Written(Box<str>),
}

impl RequestId {
    /// Parses an id.
    ///
    /// # Errors
    /// What an id must be.
    pub fn parse(id: &RawValue) -> Result<Self, &'static str> {
        const FORM: &str = "`id` must be a text of at most 256 bytes or a whole number";
        if let Some(text) = json_string(id) {
            return (text.len() <= MAX_ID_BYTES)
                .then(|| Self::Text(text.into()))
                .ok_or(FORM);
        }
        let written = id.get();
        if written.len() > MAX_ID_BYTES || !is_whole_number(written) {
            return Err(FORM);
        }
        // The longest form that is not changed by parsing it.
        Ok(match written.parse() {
            Ok(number) if written != "-0" => Self::Number(number),
            Ok(_) | Err(_) => Self::Written(written.into()),
        })
    }
}

/// Whether valid JSON is a number without a fractional part.
fn is_whole_number(json: &str) -> bool {
    let unsigned = json.strip_prefix('-').unwrap_or(json);
    if !unsigned.starts_with(|first: char| first.is_ascii_digit()) {
        return false;
    }
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return true;
    }
    // A number that overflows is far beyond the few digits of an id.
    let Ok(exponent) = exponent.parse::<i64>() else {
        return !exponent.starts_with('-');
    };
    let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
    let zeros = length(&digits).saturating_sub(length(significant));
    exponent.saturating_add(zeros) >= length(fraction)
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => number.serialize(serializer),
            Self::Text(text) => text.serialize(serializer),
            Self::Written(number) => RawValue::from_string(number.to_string())
                .map_err(ser::Error::custom)?
                .serialize(serializer),
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) | Self::Written(text) => text.fmt(f),
        }
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
            Self::Written(number) => f.write_str(number),
        }
    }
}

/// The text of a JSON string; `None` if it is something else.
pub(super) fn json_string(raw: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

    serde_json::from_str::<Text<'_>>(raw.get())
        .ok()
        .map(|text| text.0)
}

/// Parses the known keys of an object. serde would also accept a list, by position.
pub(super) fn parse_object<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    let is_object = raw.get().starts_with('{');
    is_object.then(|| serde_json::from_str(raw.get()).ok())?
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::RequestId;

    fn parse(json: &str) -> Result<RequestId, &'static str> {
        let raw: &RawValue = serde_json::from_str(json).map_err(|_invalid| "no JSON")?;
        RequestId::parse(raw)
    }

    #[test]
    fn any_whole_number_is_an_id_and_is_repeated_exactly() {
        for id in [
            "0",
            "-0",
            "-7",
            "9223372036854775807",
            "9223372036854775808",
            "18446744073709551616",
            "-123456789012345678901234567890",
            "10.0",
            "1.50e1",
            "1e3",
            "100e-2",
            "0.0",
            "0e-9",
            "1E+2",
            "1e99999999999999999999",
            "\"\"",
            "\"a\"",
        ] {
            let parsed = parse(id).unwrap_or_else(|_| panic!("{id}"));
            assert_eq!(serde_json::to_string(&parsed).unwrap(), id);
        }
    }

    #[test]
    fn what_is_no_whole_number_or_too_long_is_no_id() {
        let long_text = format!("\"{}\"", "x".repeat(257));
        let long_number = "1".repeat(257);
        for id in [
            "1.5",
            "15e-1",
            "0.1",
            "1e-99999999999999999999",
            "null",
            "true",
            "[1]",
            "{}",
            &long_text,
            &long_number,
        ] {
            parse(id).unwrap_err();
        }
    }
}
