//! The paths of values.

use std::fmt;

use serde_json::{Map, Value};

/// The path of a value in the arguments, for people and models to read:
/// `values[2].order_line[0].product_id`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ArgumentPath(Box<str>);

impl ArgumentPath {
    /// The argument of this name.
    pub fn argument(name: &str) -> Self {
        Self(name.into())
    }

    /// The element at this index, from 0.
    #[must_use]
    pub fn at(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0).into())
    }

    /// The member of this name.
    #[must_use]
    pub fn member(&self, name: &str) -> Self {
        // Bounded, because a caller can write anything as a name.
        let name: String = name.chars().take(60).collect();
        Self(format!("{}.{name}", self.0).into())
    }
}

impl fmt::Display for ArgumentPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The path of a value in coerced values, a JSON pointer (RFC 6901):
/// `/order_line/0/2/product_id`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct JsonPointer(Box<str>);

impl JsonPointer {
    /// The element at this index, from 0.
    #[must_use]
    pub(crate) fn at(&self, index: usize) -> Self {
        Self(format!("{}/{index}", self.0).into())
    }

    /// The member of this name.
    #[must_use]
    pub(crate) fn member(&self, name: &str) -> Self {
        let name = name.replace('~', "~0").replace('/', "~1");
        Self(format!("{}/{name}", self.0).into())
    }

    /// Sets the value at this path; `false` if there is none.
    pub fn set(&self, values: &mut Map<String, Value>, value: Value) -> bool {
        let mut whole = Value::Object(std::mem::take(values));
        let put = whole
            .pointer_mut(&self.0)
            .map(|place| *place = value)
            .is_some();
        if let Value::Object(changed) = whole {
            *values = changed;
        }
        put
    }
}

impl fmt::Display for JsonPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::{ArgumentPath, JsonPointer};

    #[test]
    fn argument_path_is_written_like_the_call() {
        let place = ArgumentPath::argument("values")
            .at(2)
            .member("order_line")
            .at(0);
        assert_eq!(
            place.member("product_id").to_string(),
            "values[2].order_line[0].product_id"
        );
    }

    #[test]
    fn json_pointer_sets_only_the_value_it_points_to() {
        let Value::Object(mut values) = json!({"tags": [[6, 0, [1, "VIP"]]], "a/b": 1}) else {
            panic!("an object");
        };
        let tag = JsonPointer::default().member("tags").at(0).at(2).at(1);
        assert!(tag.set(&mut values, json!(7)));
        assert!(
            JsonPointer::default()
                .member("a/b")
                .set(&mut values, json!(2))
        );
        assert_eq!(
            Value::Object(values.clone()),
            json!({"tags": [[6, 0, [1, 7]]], "a/b": 2})
        );
        assert!(
            !JsonPointer::default()
                .member("x")
                .set(&mut values, json!(1))
        );
        assert!(!tag.set(&mut Map::new(), json!(1)));
    }
}
