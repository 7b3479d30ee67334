//! The members of a JSON object that decides who somebody is.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::Value;

/// A JSON object in which each member stands once.
///
/// A member that stands there twice is an error: of
/// `{"active":false,"active":true}` every reader believes another one.
#[derive(Debug)]
pub(super) struct Members(BTreeMap<String, Value>);

/// A member that is there and of another type than it must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` has a form that it must not have")]
pub(super) struct WrongForm(pub(super) &'static str);

impl Members {
    /// Reads the object and nothing behind it.
    ///
    /// # Errors
    /// When it is none, or nested deeper than 128 levels.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
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

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Once;

        impl<'de> Visitor<'de> for Once {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a member stands there twice"));
                    }
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Once)
    }
}

#[cfg(test)]
mod tests {
    use super::{Members, WrongForm};

    #[test]
    fn a_member_that_stands_there_twice_is_refused() {
        assert!(Members::parse(br#"{"active":false,"active":true}"#).is_err());
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
