//! The members of a JSON object that decides who somebody is.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    fmt,
};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// A JSON object in which no member stands twice, at any depth.
///
/// Of `{"active":false,"active":true}` every reader believes another one.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct StrictObject(BTreeMap<String, Value>);

/// A text that is no such object.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum InvalidObject {
    /// It is no JSON object, or nested deeper than 128 levels.
    #[error("it is no JSON object")]
    Malformed,
    /// A member stands there twice.
    #[error("a member stands there twice")]
    DuplicateMember,
}

/// A member that is there and of another type than it must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` has a form that it must not have")]
pub(super) struct WrongType(pub(super) &'static str);

impl StrictObject {
    /// Reads the object and nothing behind it.
    ///
    /// # Errors
    /// [`NotMembers`].
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, InvalidObject> {
        let twice = Cell::new(false);
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let read = UniqueMembers(&twice).deserialize(&mut reader);
        if twice.get() {
            return Err(InvalidObject::DuplicateMember);
        }
        match (read, reader.end()) {
            (Ok(Value::Object(members)), Ok(())) => Ok(Self(members.into_iter().collect())),
            _ => Err(InvalidObject::Malformed),
        }
    }

    /// The object that stands in a member.
    ///
    /// # Errors
    /// [`WrongForm`].
    pub(super) fn object(&self, name: &'static str) -> Result<Option<Self>, WrongType> {
        let object = self.typed_member(name, Value::as_object)?;
        let copied = |map: &Map<String, Value>| map.clone().into_iter().collect();
        Ok(object.map(|map| Self(copied(map))))
    }

    /// A text; none where the member is missing or `null`.
    ///
    /// # Errors
    /// [`WrongForm`].
    pub(super) fn text(&self, name: &'static str) -> Result<Option<&str>, WrongType> {
        self.typed_member(name, Value::as_str)
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// [`WrongForm`].
    pub(super) fn boolean(&self, name: &'static str) -> Result<Option<bool>, WrongType> {
        self.typed_member(name, Value::as_bool)
    }

    /// Seconds since 1970, as RFC 7519 section 2 writes a `NumericDate`: a
    /// number, perhaps with a fraction.
    ///
    /// # Errors
    /// [`WrongForm`].
    pub(super) fn seconds(&self, name: &'static str) -> Result<Option<f64>, WrongType> {
        self.typed_member(name, Value::as_f64)
    }

    /// One text or a list of them.
    ///
    /// # Errors
    /// [`WrongForm`].
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

    /// Whether the member is there, whatever it says.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The value that an RFC 6901 pointer leads to.
    pub(super) fn pointer(&self, pointer: &str) -> Option<&Value> {
        let steps = pointer.strip_prefix('/')?;
        let (first, rest) = steps
            .find('/')
            .and_then(|at| steps.split_at_checked(at))
            .unwrap_or((steps, ""));
        let first = first.replace("~1", "/").replace("~0", "~");
        self.0.get(&first)?.pointer(rest)
    }

    fn typed_member<'a, T>(
        &'a self,
        name: &'static str,
        form: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, WrongType> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => form(value).map(Some).ok_or(WrongType(name)),
        }
    }
}

/// Reads a value, and stops when a member stands there twice.
#[derive(Clone, Copy)]
struct UniqueMembers<'a>(&'a Cell<bool>);

impl<'de> DeserializeSeed<'de> for UniqueMembers<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for UniqueMembers<'_> {
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
        while let Some(item) = list.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut members: HashMap<String, Value> = HashMap::new();
        while let Some(name) = object.next_key::<String>()? {
            if members.contains_key(&name) {
                self.0.set(true);
                return Err(A::Error::custom("a member stands there twice"));
            }
            let value = object.next_value_seed(self)?;
            members.insert(name, value);
        }
        Ok(Value::Object(members.into_iter().collect()))
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
