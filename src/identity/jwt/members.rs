//! A JSON object in which nothing is said twice.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashSet},
    fmt,
};

use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::NotAccepted;

/// The members of a JSON object, read one by one when they are asked for.
///
/// Invariant: no object in it, at any depth, has two members of one name. RFC
/// 7519 section 4 lets a reader believe the last; another one believes the
/// first.
#[derive(Debug)]
pub(super) struct Members<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Members<'a> {
    /// Reads an object.
    ///
    /// # Errors
    /// [`NotAccepted::RepeatedMember`], or [`NotAccepted::Malformed`] for what
    /// is no JSON object or nested deeper than 128.
    pub(super) fn parse(json: &'a [u8]) -> Result<Self, NotAccepted> {
        let twice = Cell::new(false);
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let walked = Once(&twice).deserialize(&mut deserializer);
        if twice.get() {
            return Err(NotAccepted::RepeatedMember);
        }
        let members = walked.and_then(|()| serde_json::from_slice(json));
        members
            .map(Self)
            .map_err(|_no_object: serde_json::Error| NotAccepted::Malformed)
    }

    /// Whether there is such a member, be it `null`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A member, or `None` if there is none.
    ///
    /// # Errors
    /// [`NotAccepted::Malformed`] when it has another form; `null` has.
    pub(super) fn read<T: Deserialize<'a>>(&self, name: &str) -> Result<Option<T>, NotAccepted> {
        let member = self.0.get(name).map(|raw| serde_json::from_str(raw.get()));
        member
            .transpose()
            .map_err(|_other_form| NotAccepted::Malformed)
    }
}

/// Walks through a value and tells when a member is there twice.
#[derive(Clone, Copy)]
struct Once<'a>(&'a Cell<bool>);

impl<'de> DeserializeSeed<'de> for Once<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(name) = object.next_key::<String>()? {
            if !seen.insert(name) {
                self.0.set(true);
                return Err(A::Error::custom("a member is there twice"));
            }
            object.next_value_seed(self)?;
        }
        Ok(())
    }
}
