//! JSON objects that decide who a caller is.

use serde_json::Value;

use super::TokenRejected;

/// A JSON object without duplicate members, at any depth: parsers disagree
/// about the value of `{"active":false,"active":true}`.
///
/// Each accessor returns nothing if the member is missing or `null`, and
/// [`WrongType`] instead of converting a value.
///
/// Invariant: an object.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct StrictObject(Value);

/// Times from here on are milliseconds: as seconds, this one is in the year
/// 33658; as milliseconds, in 2001.
const MIN_MILLISECONDS: f64 = 1e12;

/// The member of this name has the wrong type.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` has the wrong type")]
pub(super) struct WrongType(pub(super) &'static str);

impl StrictObject {
    /// Reads an object that is the whole text.
    ///
    /// # Errors
    /// [`TokenRejected::DuplicateMember`], or [`TokenRejected::Malformed`] if it
    /// is not a JSON object, or nested deeper than 128 levels.
    pub(super) fn parse(json: &[u8]) -> Result<Self, TokenRejected> {
        match serde_json::from_slice(json) {
            // serde_json drops all but the last of several members of one name.
            Ok(value @ Value::Object(_))
                if count_members(&value) == count_written_members(json) =>
            {
                Ok(Self(value))
            }
            Ok(Value::Object(_)) => Err(TokenRejected::DuplicateMember),
            Ok(_) | Err(_) => Err(TokenRejected::Malformed),
        }
    }

    pub(super) fn object(&self, name: &'static str) -> Result<Option<Self>, WrongType> {
        self.typed_member(name, |value| value.is_object().then(|| Self(value.clone())))
    }

    pub(super) fn text(&self, name: &'static str) -> Result<Option<&str>, WrongType> {
        self.typed_member(name, Value::as_str)
    }

    pub(super) fn boolean(&self, name: &'static str) -> Result<Option<bool>, WrongType> {
        self.typed_member(name, Value::as_bool)
    }

    /// Seconds since 1970, possibly with a fraction (`NumericDate`, RFC 7519
    /// section 2). Digits in quotes, and milliseconds, which some providers
    /// write, mean the same time.
    pub(super) fn seconds(&self, name: &'static str) -> Result<Option<f64>, WrongType> {
        let time = self.typed_member(name, |value| match value.as_str() {
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
            Some(_) => None,
            None => value.as_f64(),
        })?;
        Ok(time.map(|time| {
            if time >= MIN_MILLISECONDS {
                time / 1_000.0
            } else {
                time
            }
        }))
    }

    /// One text or a list of texts.
    pub(super) fn texts(&self, name: &'static str) -> Result<Vec<Box<str>>, WrongType> {
        let all = self.typed_member(name, |value| {
            if let Some(text) = value.as_str() {
                return Some(vec![text.into()]);
            }
            let items = value.as_array()?.iter();
            items.map(|item| item.as_str().map(Into::into)).collect()
        })?;
        Ok(all.unwrap_or_default())
    }

    /// The same object, with the members of the other one that it lacks.
    pub(super) fn or(mut self, other: &Self) -> Self {
        if let (Value::Object(own), Value::Object(others)) = (&mut self.0, &other.0) {
            for (name, value) in others {
                let held = own.entry(name.as_str()).or_insert(Value::Null);
                if held.is_null() {
                    *held = value.clone();
                }
            }
        }
        self
    }

    /// Whether the member exists, whatever its value.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.0.get(name).is_some()
    }

    /// The value at an RFC 6901 pointer; none at the root's.
    pub(super) fn pointer(&self, pointer: &str) -> Option<&Value> {
        self.0.pointer(pointer).filter(|_| !pointer.is_empty())
    }

    fn typed_member<'a, T>(
        &'a self,
        name: &'static str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, WrongType> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => convert(value).map(Some).ok_or(WrongType(name)),
        }
    }
}

fn count_members(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(count_members).sum(),
        Value::Object(members) => members.values().map(|one| 1 + count_members(one)).sum(),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => 0,
    }
}

/// The members in a valid JSON text: each has one colon, outside of all texts.
fn count_written_members(json: &[u8]) -> usize {
    let (mut in_text, mut escaped, mut members) = (false, false, 0);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_text = !in_text,
            b':' if !in_text => members += 1,
            _ => {}
        }
    }
    members
}

#[cfg(test)]
mod tests {
    use super::{StrictObject, TokenRejected, WrongType};

    #[test]
    fn duplicate_member_is_rejected() {
        for text in [
            r#"{"active":false,"active":true}"#,
            r#"{"active":true,"roles":[{"a":1,"a":2}]}"#,
            r#"{"a":{"b":1,"c":":\\\":"},"a":{}}"#,
            r#"{"a":1,"\u0061":1}"#,
        ] {
            assert_eq!(
                StrictObject::parse(text.as_bytes()),
                Err(TokenRejected::DuplicateMember)
            );
        }
        for text in [
            r#"{"active":true}"#,
            r#"{"a\":\\":"\\\":", "b":[":",{"a":1},{"a":1}]}"#,
        ] {
            assert!(StrictObject::parse(text.as_bytes()).is_ok(), "{text}");
        }
    }

    #[test]
    fn input_must_be_exactly_one_object() {
        for text in [
            "",
            "[]",
            r#"[{"active":true}]"#,
            "null",
            "{} {}",
            "{",
            "\u{feff}{}",
        ] {
            assert!(StrictObject::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn values_of_wrong_type_are_not_coerced() {
        let members =
            StrictObject::parse(br#"{"active":"true","one":1,"exp":"1e9","aud":7,"list":["a",1]}"#)
                .unwrap();
        assert_eq!(members.boolean("active"), Err(WrongType("active")));
        assert_eq!(members.boolean("one"), Err(WrongType("one")));
        assert_eq!(members.seconds("exp"), Err(WrongType("exp")));
        assert_eq!(members.texts("aud"), Err(WrongType("aud")));
        assert_eq!(members.texts("list"), Err(WrongType("list")));
        assert_eq!(members.text("nothing"), Ok(None));
    }

    #[test]
    fn times_in_quotes_or_milliseconds_are_read_as_seconds() {
        for (written, seconds) in [
            ("1750000000", 1_750_000_000.0),
            ("1750000000.5", 1_750_000_000.5),
            (r#""1750000000""#, 1_750_000_000.0),
            ("1750000000000", 1_750_000_000.0),
            (r#""1750000000000""#, 1_750_000_000.0),
            ("253402300799", 253_402_300_799.0),
        ] {
            let members = StrictObject::parse(format!(r#"{{"exp":{written}}}"#).as_bytes());
            assert_eq!(
                members.unwrap().seconds("exp"),
                Ok(Some(seconds)),
                "{written}"
            );
        }
        for written in [
            r#""""#,
            r#""never""#,
            r#""-1""#,
            r#""1e9""#,
            r#""inf""#,
            "true",
            "[1]",
        ] {
            let members = StrictObject::parse(format!(r#"{{"exp":{written}}}"#).as_bytes());
            assert_eq!(
                members.unwrap().seconds("exp"),
                Err(WrongType("exp")),
                "{written}"
            );
        }
    }

    #[test]
    fn json_pointer_handles_escapes() {
        let members = StrictObject::parse(br#"{"a/b":{"c":[1,2]}}"#).unwrap();
        assert_eq!(members.pointer("/a~1b/c/1"), Some(&2.into()));
        assert_eq!(members.pointer("/a~1b/d"), None);
        assert_eq!(members.pointer(""), None);
    }

    #[test]
    fn excessive_nesting_is_rejected() {
        let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(4000), "]".repeat(4000));
        assert!(StrictObject::parse(deep.as_bytes()).is_err());
    }

    #[test]
    fn error_names_the_member_but_never_its_value() {
        insta::assert_snapshot!(WrongType("exp"), @"`exp` has the wrong type");
    }
}
