//! JSON objects that decide who a caller is.

use std::fmt;

use serde::{
    Deserialize,
    de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

/// A JSON object without duplicate members, at any depth: parsers disagree
/// about the value of `{"active":false,"active":true}`.
///
/// Each accessor returns nothing if the member is missing or `null`, and
/// [`WrongType`] instead of converting a value.
///
/// Invariant: an object.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct StrictObject(Value);

/// A text that is not such an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum InvalidObject {
    /// A member appears twice.
    #[error("a member appears twice")]
    DuplicateMember,
    /// It is not a JSON object, or nested deeper than 128 levels.
    #[error("not a JSON object")]
    Malformed,
}

/// The member of this name has the wrong type.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` has the wrong type")]
pub(super) struct WrongType(pub(super) &'static str);

impl StrictObject {
    /// Reads an object that is the whole text.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, InvalidObject> {
        match serde_json::from_slice(bytes) {
            Ok(UniqueValue(object)) if object.is_object() => Ok(Self(object)),
            // The only error that is not about syntax.
            Err(error) if error.is_data() => Err(InvalidObject::DuplicateMember),
            Ok(_) | Err(_) => Err(InvalidObject::Malformed),
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
    /// section 2).
    pub(super) fn seconds(&self, name: &'static str) -> Result<Option<f64>, WrongType> {
        self.typed_member(name, Value::as_f64)
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

/// A value in which no object has duplicate members.
struct UniqueValue(Value);

impl<'de> Deserialize<'de> for UniqueValue {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(UniqueVisitor).map(Self)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(flag.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(UniqueValue(item)) = list.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some((name, UniqueValue(value))) = object.next_entry::<String, _>()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member appears twice"));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidObject, StrictObject, WrongType};

    #[test]
    fn duplicate_member_is_rejected() {
        for text in [
            r#"{"active":false,"active":true}"#,
            r#"{"active":true,"roles":[{"a":1,"a":2}]}"#,
        ] {
            assert_eq!(
                StrictObject::parse(text.as_bytes()),
                Err(InvalidObject::DuplicateMember)
            );
        }
        assert!(StrictObject::parse(br#"{"active":true}"#).is_ok());
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
            StrictObject::parse(br#"{"active":"true","one":1,"exp":"9","aud":7,"list":["a",1]}"#)
                .unwrap();
        assert_eq!(members.boolean("active"), Err(WrongType("active")));
        assert_eq!(members.boolean("one"), Err(WrongType("one")));
        assert_eq!(members.seconds("exp"), Err(WrongType("exp")));
        assert_eq!(members.texts("aud"), Err(WrongType("aud")));
        assert_eq!(members.texts("list"), Err(WrongType("list")));
        assert_eq!(members.text("nothing"), Ok(None));
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
}
