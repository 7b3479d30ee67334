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
pub(super) struct Members(BTreeMap<String, Value>);

/// A text that is no such object.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum NotMembers {
    /// It is no JSON object, or nested deeper than 128 levels.
    #[error("it is no JSON object")]
    Malformed,
    /// A member stands there twice.
    #[error("a member stands there twice")]
    Repeated,
}

/// A member that is there and of another type than it must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` has a form that it must not have")]
pub(super) struct WrongForm(pub(super) &'static str);

impl Members {
    /// Reads the object and nothing behind it.
    ///
    /// # Errors
    /// [`NotMembers`].
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, NotMembers> {
        let twice = Cell::new(false);
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let read = Unique(&twice).deserialize(&mut reader);
        if twice.get() {
            return Err(NotMembers::Repeated);
        }
        match (read, reader.end()) {
            (Ok(Value::Object(members)), Ok(())) => Ok(Self(members.into_iter().collect())),
            _ => Err(NotMembers::Malformed),
        }
    }

    /// The object that stands in a member.
    ///
    /// # Errors
    /// [`WrongForm`].
    pub(super) fn object(&self, name: &'static str) -> Result<Option<Self>, WrongForm> {
        let object = self.read(name, Value::as_object)?;
        let copied = |map: &Map<String, Value>| map.clone().into_iter().collect();
        Ok(object.map(|map| Self(copied(map))))
    }

    /// A text; none where the member is missing or `null`.
    ///
    /// # Errors
    /// [`WrongForm`].
    pub(super) fn text(&self, name: &'static str) -> Result<Option<&str>, WrongForm> {
        self.read(name, Value::as_str)
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// [`WrongForm`].
    pub(super) fn flag(&self, name: &'static str) -> Result<Option<bool>, WrongForm> {
        self.read(name, Value::as_bool)
    }

    /// Seconds since 1970, as RFC 7519 section 2 writes a `NumericDate`: a
    /// number, perhaps with a fraction.
    ///
    /// # Errors
    /// [`WrongForm`].
    pub(super) fn seconds(&self, name: &'static str) -> Result<Option<f64>, WrongForm> {
        self.read(name, Value::as_f64)
    }

    /// One text or a list of them.
    ///
    /// # Errors
    /// [`WrongForm`].
    pub(super) fn texts(&self, name: &'static str) -> Result<Vec<Box<str>>, WrongForm> {
        let all = self.read(name, |value| {
            if let Some(text) = value.as_str() {
                return Some(vec![text.into()]);
            }
            let items = value.as_array()?.iter();
            items.map(|item| item.as_str().map(Into::into)).collect()
        })?;
        Ok(all.unwrap_or_default())
    }

    /// Whether the member is there, whatever it says.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The value that an RFC 6901 pointer leads to.
    pub(super) fn at(&self, pointer: &str) -> Option<&Value> {
        let steps = pointer.strip_prefix('/')?;
        let (first, rest) = steps
            .find('/')
            .and_then(|at| steps.split_at_checked(at))
            .unwrap_or((steps, ""));
        let first = first.replace("~1", "/").replace("~0", "~");
        self.0.get(&first)?.pointer(rest)
    }

    fn read<'a, T>(
        &'a self,
        name: &'static str,
        form: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, WrongForm> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => form(value).map(Some).ok_or(WrongForm(name)),
        }
    }
}

/// Reads a value, and stops when a member stands there twice.
#[derive(Clone, Copy)]
struct Unique<'a>(&'a Cell<bool>);

impl<'de> DeserializeSeed<'de> for Unique<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique<'_> {
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
    use super::{Members, NotMembers, WrongForm};

    #[test]
    fn a_member_that_stands_there_twice_is_refused() {
        for text in [
            r#"{"active":false,"active":true}"#,
            r#"{"active":true,"roles":[{"a":1,"a":2}]}"#,
        ] {
            assert_eq!(Members::parse(text.as_bytes()), Err(NotMembers::Repeated));
        }
        assert!(Members::parse(br#"{"active":true}"#).is_ok());
    }

    #[test]
    fn only_one_object_is_one() {
        for text in [
            "",
            "[]",
            r#"[{"active":true}]"#,
            "null",
            "{} {}",
            "{",
            "\u{feff}{}",
        ] {
            assert!(Members::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn types_are_not_guessed() {
        let members =
            Members::parse(br#"{"active":"true","one":1,"exp":"9","aud":7,"list":["a",1]}"#)
                .unwrap();
        assert_eq!(members.flag("active"), Err(WrongForm("active")));
        assert_eq!(members.flag("one"), Err(WrongForm("one")));
        assert_eq!(members.seconds("exp"), Err(WrongForm("exp")));
        assert_eq!(members.texts("aud"), Err(WrongForm("aud")));
        assert_eq!(members.texts("list"), Err(WrongForm("list")));
        assert_eq!(members.text("nothing"), Ok(None));
    }

    #[test]
    fn a_pointer_leads_through_escapes() {
        let members = Members::parse(br#"{"a/b":{"c":[1,2]}}"#).unwrap();
        assert_eq!(members.at("/a~1b/c/1"), Some(&2.into()));
        assert_eq!(members.at("/a~1b/d"), None);
        assert_eq!(members.at(""), None);
    }

    #[test]
    fn bottomless_nesting_is_refused() {
        let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(4000), "]".repeat(4000));
        assert!(Members::parse(deep.as_bytes()).is_err());
    }
}
