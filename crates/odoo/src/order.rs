//! The order of a search.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

use super::FieldName;

/// The sort order of a search, such as `date_order desc, id`.
///
/// At most 6 fields of the model itself; empty is Odoo's default order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Order {
    keys: Vec<(FieldName, Direction)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Direction {
    Ascending,
    Descending,
}

/// Not an order.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not a sort order; write fields of the model with `asc` or `desc`, such as `date_order desc, id`"
)]
pub struct InvalidOrder(String);

impl Order {
    /// Whether it is Odoo's default order.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// By id alone, the newest first: an order that reveals no field.
    pub fn by_id_descending() -> Self {
        Self {
            keys: vec![(FieldName::known("id"), Direction::Descending)],
        }
    }

    /// By id alone, the oldest first.
    pub fn by_id_ascending() -> Self {
        Self {
            keys: vec![(FieldName::known("id"), Direction::Ascending)],
        }
    }

    /// The fields it sorts by.
    pub fn fields(&self) -> impl Iterator<Item = &FieldName> {
        self.keys.iter().map(|(field, _)| field)
    }

    /// The same order with `id` last, so that pages cannot overlap.
    #[must_use]
    pub fn with_id_tiebreaker(mut self) -> Self {
        if !self.keys.is_empty() && !self.keys.iter().any(|(field, _)| field.as_str() == "id") {
            self.keys
                .push((FieldName::known("id"), Direction::Ascending));
        }
        self
    }

    /// Parses `field [asc|desc], …`; an empty text is Odoo's default order.
    ///
    /// # Errors
    /// [`InvalidOrder`] with the text, cut short.
    pub fn parse(text: &str) -> Result<Self, InvalidOrder> {
        let bad = || InvalidOrder(text.chars().take(80).collect());
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let mut keys = Vec::new();
        for part in text.split(',') {
            let mut words = part.split_whitespace();
            let field = words.next().ok_or_else(bad)?;
            let field = FieldName::try_from(field).ok().ok_or_else(bad)?;
            let direction = match words.next().map(str::to_ascii_lowercase).as_deref() {
                None | Some("asc") => Direction::Ascending,
                Some("desc") => Direction::Descending,
                Some(_) => return Err(bad()),
            };
            if words.next().is_some() || keys.len() == 6 {
                return Err(bad());
            }
            keys.push((field, direction));
        }
        Ok(Self { keys })
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (field, direction)) in self.keys.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            f.write_str(field.as_str())?;
            match direction {
                Direction::Ascending => {}
                Direction::Descending => f.write_str(" desc")?,
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Order {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Order;

    #[test]
    fn order_parses_fields_with_directions() {
        let written = |text: &str| Order::parse(text).unwrap().to_string();
        assert_eq!(written("name"), "name");
        assert_eq!(written(" date_order  DESC ,id ASC"), "date_order desc, id");
        assert_eq!(written(""), "");
        for bad in [
            "name;drop",
            "name up",
            "a.b",
            ",",
            "a,",
            "a b c",
            "a,b,c,d,e,f,g",
        ] {
            assert!(Order::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nonempty_order_gets_id_as_tiebreaker() {
        let total = |text: &str| Order::parse(text).unwrap().with_id_tiebreaker().to_string();
        assert_eq!(total("name desc"), "name desc, id");
        assert_eq!(total("id desc"), "id desc");
        assert_eq!(total(""), "");
    }
}
