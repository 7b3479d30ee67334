//! The rows of a response, borrowed from its bytes.

use std::{borrow::Cow, collections::HashMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess},
};
use serde_json::value::RawValue;

use gatepost_odoo::RecordId;

/// The records in a response of `search_read` or `read`, parsed in one pass and
/// without a tree of values.
#[derive(Debug)]
pub struct Rows<'a> {
    rows: Vec<Row<'a>>,
}

/// One record: its id, and its fields as Odoo sent them.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) id: i64,
    cells: Vec<(Cow<'a, str>, &'a RawValue)>,
}

/// One value.
#[derive(Debug, PartialEq)]
pub(super) enum Cell<'a> {
    /// `true` or `false`; except for booleans, `false` means not set.
    Bool(bool),
    /// A list of ids.
    Ids(Vec<i64>),
    /// A number, as Odoo sent it.
    Number(&'a str),
    /// Anything else, as Odoo sent it.
    Other(&'a str),
    /// A record: its id and its name.
    Reference(i64, Cow<'a, str>),
    /// A text.
    Text(Cow<'a, str>),
}

impl<'a> Rows<'a> {
    /// Parses a response.
    ///
    /// # Errors
    /// If it is not a list of objects that have an `id`.
    pub fn parse(answer: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(answer).map(|rows| Self { rows })
    }

    /// The number of records.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The ids, in the order of the response.
    pub fn ids(&self) -> impl Iterator<Item = i64> {
        self.rows.iter().map(|row| row.id)
    }

    /// Drops all but the first `count` records.
    pub fn truncate(&mut self, count: usize) {
        self.rows.truncate(count);
    }

    /// Sorts the records by the position of their ids in `order`, and drops those
    /// that it does not name.
    pub fn retain_and_sort_by_ids(&mut self, order: &[RecordId]) {
        let places: HashMap<i64, usize> = order
            .iter()
            .enumerate()
            .map(|(place, id)| (i64::from(id.get()), place))
            .collect();
        self.rows.retain(|row| places.contains_key(&row.id));
        self.rows.sort_by_key(|row| places.get(&row.id).copied());
    }

    /// Adds the fields of another response about the same records. Records that
    /// only the other has are dropped: the search did not find them.
    pub fn merge(&mut self, other: Self) {
        let mut more: HashMap<i64, Row<'a>> =
            other.rows.into_iter().map(|row| (row.id, row)).collect();
        for row in &mut self.rows {
            if let Some(other) = more.remove(&row.id) {
                row.cells.extend(other.cells);
            }
        }
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Row<'a>> {
        self.rows.iter()
    }
}

impl<'a> Row<'a> {
    /// The value of a field, if the response has it. Odoo returns fields in the order
    /// of the request, so the expected place is tried first.
    pub(super) fn cell(&self, name: &str, place: usize) -> Option<Cell<'a>> {
        let is_named = |(key, _): &&(Cow<'_, str>, _)| key == name;
        let expected = self.cells.get(place).filter(is_named);
        let cell = expected.or_else(|| self.cells.iter().find(is_named));
        cell.map(|(_, raw)| Cell::of(raw.get()))
    }
}

/// A text, borrowed unless it has escapes.
#[derive(Deserialize)]
struct JsonText<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Cell<'a> {
    fn of(raw: &'a str) -> Self {
        match raw.as_bytes().first() {
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'"') => serde_json::from_str::<JsonText<'a>>(raw)
                .map_or(Self::Other(raw), |text| Self::Text(text.0)),
            Some(b'-' | b'0'..=b'9') => Self::Number(raw),
            Some(b'[') => serde_json::from_str::<Vec<i64>>(raw)
                .map(Self::Ids)
                .or_else(|_not_ids| {
                    serde_json::from_str::<(i64, Option<JsonText<'_>>)>(raw).map(|(id, name)| {
                        Self::Reference(id, name.map_or_else(Cow::default, |name| name.0))
                    })
                })
                .unwrap_or(Self::Other(raw)),
            _ => Self::Other(raw),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Row<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RowVisitor;

        impl<'de> de::Visitor<'de> for RowVisitor {
            type Value = Row<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record with an `id`")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Row<'de>, M::Error> {
                let mut id = None;
                let mut cells = Vec::with_capacity(16);
                while let Some(JsonText(key)) = map.next_key()? {
                    if key == "id" {
                        id = Some(map.next_value()?);
                    } else {
                        cells.push((key, map.next_value()?));
                    }
                }
                let id = id.ok_or_else(|| de::Error::missing_field("id"))?;
                Ok(Row { id, cells })
            }

            fn visit_seq<S: SeqAccess<'de>>(self, _: S) -> Result<Row<'de>, S::Error> {
                Err(de::Error::custom("a record is an object"))
            }
        }

        deserializer.deserialize_map(RowVisitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Cell, Rows};
    use gatepost_odoo::RecordId;

    #[test]
    fn record_that_was_not_asked_for_is_dropped() {
        let mut rows = Rows::parse(br#"[{"id":9},{"id":1},{"id":7}]"#).unwrap();
        let asked = [7, 3, 1].map(|id| RecordId::try_from(id).unwrap());
        rows.retain_and_sort_by_ids(&asked);
        assert_eq!(rows.ids().collect::<Vec<_>>(), [7, 1]);
    }

    #[test]
    fn response_is_parsed_into_rows_and_cells() {
        let answer = br#"[{"id":1,"name":"A\n","n":12.50,"p":[7,"Azure"],"ids":[1,2],"no":false,"props":[{"a":1}],"e":[]}]"#;
        let rows = Rows::parse(answer).unwrap();
        let row = rows.iter().next().unwrap();
        assert_eq!(row.cell("name", 0), Some(Cell::Text("A\n".into())));
        assert_eq!(row.cell("n", 0), Some(Cell::Number("12.50")));
        assert_eq!(row.cell("p", 0), Some(Cell::Reference(7, "Azure".into())));
        assert_eq!(row.cell("ids", 0), Some(Cell::Ids(vec![1, 2])));
        assert_eq!(row.cell("e", 0), Some(Cell::Ids(vec![])));
        assert_eq!(row.cell("no", 0), Some(Cell::Bool(false)));
        assert_eq!(row.cell("props", 0), Some(Cell::Other("[{\"a\":1}]")));
        assert_eq!(row.cell("gone", 0), None);
    }

    #[test]
    fn responses_about_the_same_records_are_merged_by_id() {
        let mut rows = Rows::parse(br#"[{"id":2,"a":1},{"id":1,"a":2}]"#).unwrap();
        rows.merge(Rows::parse(br#"[{"id":1,"b":3},{"id":9,"b":4}]"#).unwrap());
        let row = rows.iter().nth(1).unwrap();
        assert_eq!((row.id, row.cell("b", 0)), (1, Some(Cell::Number("3"))));
        assert_eq!(rows.len(), 2);
    }

    proptest! {
        #[test]
        fn parsing_any_bytes_does_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            drop(Rows::parse(&bytes));
        }
    }
}
