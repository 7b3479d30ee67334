//! The fields of a model, as one Odoo user sees them.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use serde_json::Value;

use super::{Field, FieldKind, FieldName, FieldPath, ModelName, SameCompany, SelectionOption};

/// The most fields of a model. The largest models have about 500; each field costs
/// some kilobytes.
const MAX_FIELDS: usize = 5_000;

/// The fields of one model that one Odoo user may see, from `fields_get`.
///
/// Odoo omits fields that the user's groups do not allow, so a missing name is unknown
/// or forbidden, and the user cannot know which. A clone shares all fields with the
/// original.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Schema {
    fields: Arc<BTreeMap<FieldName, Arc<Field>>>,
}

/// The longest name that is compared with others, in bytes.
const MAX_COMPARED_BYTES: usize = 63;

/// One field as `fields_get` returns it. Odoo omits attributes freely, and writes
/// `false` for an empty one.
#[derive(Deserialize)]
struct FieldDescription {
    #[serde(rename = "type")]
    kind: FieldKind,
    #[serde(default)]
    string: Value,
    #[serde(default)]
    help: Value,
    #[serde(default)]
    relation: Value,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    readonly: bool,
    #[serde(default = "yes")]
    store: bool,
    #[serde(default = "yes")]
    searchable: bool,
    #[serde(default = "yes")]
    sortable: bool,
    #[serde(default)]
    selection: Value,
    #[serde(default)]
    currency_field: Value,
    #[serde(default)]
    related: Value,
    #[serde(default)]
    depends: Value,
    #[serde(default)]
    size: Value,
    #[serde(default)]
    digits: Value,
    #[serde(default)]
    relation_field: Value,
    #[serde(default)]
    model_field: Value,
    #[serde(default)]
    domain: Value,
}

/// The fields by their names, as far as the limit allows.
struct FieldDescriptions(BTreeMap<String, FieldDescription>);

impl<'de> Deserialize<'de> for FieldDescriptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = FieldDescriptions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an object of fields")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut described = BTreeMap::new();
                while let Some((name, field)) = map.next_entry()? {
                    if described.len() == MAX_FIELDS {
                        let text = format_args!("the model has more than {MAX_FIELDS} fields");
                        return Err(de::Error::custom(text));
                    }
                    described.insert(name, field);
                }
                Ok(FieldDescriptions(described))
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

fn yes() -> bool {
    true
}

impl Schema {
    /// The attributes to request from `fields_get`.
    pub(super) fn attributes() -> Value {
        [
            "type",
            "string",
            "help",
            "relation",
            "required",
            "readonly",
            "store",
            "searchable",
            "sortable",
            "selection",
            "currency_field",
            "related",
            "depends",
            "size",
            "digits",
            "relation_field",
            "model_field",
            "domain",
        ]
        .into_iter()
        .collect()
    }

    /// Parses a response of `fields_get`.
    ///
    /// # Errors
    /// When it is not an object of at most 5,000 objects, each with a `type`.
    pub fn parse(answer: &[u8]) -> Result<Self, serde_json::Error> {
        let FieldDescriptions(described) = serde_json::from_slice(answer)?;
        Ok(Self::from_fields(described.into_iter().filter_map(
            |(name, described)| {
                // No call could use a field with such a name.
                let name = FieldName::try_from(name).ok()?;
                let choices = parse_selection(&described.selection);
                Some(Field {
                    kind: described.kind,
                    label: text(&described.string).unwrap_or_else(|| name.as_str().into()),
                    help: text(&described.help),
                    relation: text(&described.relation)
                        .and_then(|model| ModelName::try_from(&*model).ok()),
                    required: described.required,
                    readonly: described.readonly,
                    stored: described.store,
                    searchable: described.searchable,
                    sortable: described.sortable,
                    selection: choices,
                    currency_field: text(&described.currency_field)
                        .and_then(|name| FieldName::try_from(&*name).ok()),
                    related: text(&described.related)
                        .and_then(|path| FieldPath::try_from(&*path).ok()),
                    depends: first_steps(&described.depends),
                    size: count(&described.size),
                    decimals: described.digits.get(1).and_then(count),
                    inverse: text(&described.relation_field)
                        .and_then(|name| FieldName::try_from(&*name).ok()),
                    model_field: text(&described.model_field)
                        .and_then(|name| FieldName::try_from(&*name).ok()),
                    check_company: parse_check_company(&described.domain),
                    name,
                })
            },
        )))
    }

    /// A schema of these fields.
    pub fn from_fields(fields: impl IntoIterator<Item = Field>) -> Self {
        let named = |field: Field| (field.name.clone(), Arc::new(field));
        Self {
            fields: Arc::new(fields.into_iter().map(named).collect()),
        }
    }

    /// The schema without the fields for which `retains` is false. It shares the others
    /// with the original.
    #[must_use]
    pub fn restricted(&self, retains: impl Fn(&Field) -> bool) -> Self {
        let retained = self.fields.iter().filter(|(_, field)| retains(field));
        let shared = |(name, field): (&FieldName, &Arc<Field>)| (name.clone(), Arc::clone(field));
        Self {
            fields: Arc::new(retained.map(shared).collect()),
        }
    }

    /// The field with a name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.get(name).map(Arc::as_ref)
    }

    /// The field with a name, shared.
    pub fn shared_field(&self, name: &str) -> Option<&Arc<Field>> {
        self.fields.get(name)
    }

    /// All fields, sorted by name.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = &Field> {
        self.fields.values().map(Arc::as_ref)
    }

    /// Up to `count` names similar to `name`, the most similar first; none for a
    /// name longer than a column of PostgreSQL.
    ///
    /// This compares with every field of the model: callers report only the first
    /// few unknown names this way.
    pub fn similar_names(&self, name: &str, count: usize) -> Vec<&FieldName> {
        if count == 0 || name.len() > MAX_COMPARED_BYTES {
            return Vec::new();
        }
        let wanted = name.to_lowercase();
        let most = 1 + wanted.len() / 3;
        let mut scored: Vec<(usize, &FieldName)> = self
            .fields
            .values()
            .filter_map(|field| {
                let known = field.name.as_str();
                let label = field.label.to_lowercase();
                let mut distance = if known.len().abs_diff(wanted.len()) > most {
                    usize::MAX
                } else {
                    strsim::osa_distance(&wanted, known)
                };
                if known.contains(&wanted) || wanted.contains(known) || label == wanted {
                    distance = distance.min(1 + known.len().abs_diff(wanted.len()) / 4);
                }
                (distance <= most).then_some((distance, &field.name))
            })
            .collect();
        scored.sort();
        scored
            .into_iter()
            .take(count)
            .map(|(_, name)| name)
            .collect()
    }
}

fn text(value: &Value) -> Option<Box<str>> {
    value
        .as_str()
        .filter(|text| !text.is_empty())
        .map(Into::into)
}

/// The company check that Odoo writes into the domain of a field (Odoo 19,
/// `_Relational._description_domain`).
fn parse_check_company(domain: &Value) -> Option<SameCompany> {
    let (_, rest) = domain.as_str()?.split_once("(company_id and ")?;
    let (own, _) = rest.split_once(" or ")?;
    // Users belong to several (`company_ids`).
    if !own.contains("('company_id',") {
        return None;
    }
    Some(if own.contains("'parent_of'") {
        SameCompany::SameOrParent
    } else {
        SameCompany::Same
    })
}

fn count(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|count| usize::try_from(count).ok())
}

/// The first field of each of these paths, without duplicates.
fn first_steps(paths: &Value) -> Vec<FieldName> {
    let mut fields: Vec<FieldName> = Vec::new();
    for path in paths.as_array().into_iter().flatten() {
        let step = path.as_str().and_then(|path| path.split('.').next());
        if let Some(name) = step.and_then(|step| FieldName::try_from(step).ok())
            && !fields.contains(&name)
        {
            fields.push(name);
        }
    }
    fields
}

/// The choices of `[[key, label], …]`. Keys may be numbers in old models.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "JSON has six kinds of values for good"
)]
fn parse_selection(selection: &Value) -> Vec<SelectionOption> {
    let Value::Array(pairs) = selection else {
        return Vec::new();
    };
    pairs
        .iter()
        .filter_map(|pair| {
            let key = match pair.get(0)? {
                Value::String(key) => key.as_str().into(),
                other => other.to_string().into(),
            };
            let label = pair
                .get(1)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .into();
            Some(SelectionOption { key, label })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{FieldKind, FieldName, SameCompany, Schema};

    #[test]
    fn check_company_is_parsed_from_field_domain() {
        let of = |domain: &str| {
            let fields = serde_json::json!({"x_id": {"type": "many2one", "relation": "x", "domain": domain}});
            let schema = Schema::parse(fields.to_string().as_bytes()).unwrap();
            schema.field("x_id").unwrap().check_company
        };
        let same = "(company_id and [('company_id', 'in', [company_id] + [False])] or [('company_id', '=', False)]) + ([])";
        assert_eq!(of(same), Some(SameCompany::Same));
        let above = "(company_id and ['|', ('company_id', '=', False), ('company_id', 'parent_of', [company_id])] or ['|', ('company_id', '=', False), ('company_id', 'parent_of', '')]) + ([])";
        assert_eq!(of(above), Some(SameCompany::SameOrParent));
        // Users are of several.
        let users = "(company_id and [('company_ids', 'in', [company_id])] or [(1, '=', 1)]) + ([('share', '=', False)])";
        assert_eq!(of(users), None);
        assert_eq!(of("[('company_id', '=', company_id)]"), None);
    }

    fn partner() -> Schema {
        Schema::parse(
            br#"{"name":{"type":"char","string":"Name","required":true,"store":true},
                 "email":{"type":"char","string":"Email","help":false},
                 "country_id":{"type":"many2one","relation":"res.country","string":"Country"},
                 "type":{"type":"selection","string":"Address Type","selection":[["contact","Contact"],["invoice","Invoice"]]},
                 "new_thing":{"type":"hologram"}}"#,
        )
        .unwrap()
    }

    #[test]
    fn fields_get_response_parses_to_fields() {
        let schema = partner();
        assert_eq!(schema.fields().len(), 5);
        assert!(schema.field("name").unwrap().required);
        assert_eq!(
            schema
                .field("country_id")
                .unwrap()
                .relation
                .as_ref()
                .unwrap()
                .as_str(),
            "res.country"
        );
        assert_eq!(schema.field("type").unwrap().selection.len(), 2);
        assert_eq!(schema.field("new_thing").unwrap().kind, FieldKind::Unknown);
        assert_eq!(&*schema.field("new_thing").unwrap().label, "new_thing");
    }

    #[test]
    fn schema_with_too_many_fields_is_an_error() {
        let fields = |count: usize| {
            let fields = (0..count).map(|at| format!(r#""x_{at}":{{"type":"char"}}"#));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        };
        let most = Schema::parse(fields(super::MAX_FIELDS).as_bytes()).unwrap();
        assert_eq!(most.fields().len(), super::MAX_FIELDS);
        let error = Schema::parse(fields(super::MAX_FIELDS + 1).as_bytes()).unwrap_err();
        insta::assert_snapshot!(error, @"the model has more than 5000 fields at line 1 column 123916");
    }

    #[test]
    fn field_attributes_parse_dependencies_size_and_inverse() {
        let schema = Schema::parse(
            br#"{"amount":{"type":"float","digits":[16,2],"depends":["line_ids.price","line_ids.tax","currency_id"]},
                 "code":{"type":"char","size":5,"depends":[]},
                 "line_ids":{"type":"one2many","relation":"x.line","relation_field":"x_id"},
                 "res_id":{"type":"many2one_reference","model_field":"res_model","digits":false,"size":null}}"#,
        )
        .unwrap();
        let amount = schema.field("amount").unwrap();
        let depends: Vec<&str> = amount.depends.iter().map(FieldName::as_str).collect();
        assert_eq!(depends, ["line_ids", "currency_id"]);
        assert_eq!(amount.decimals, Some(2));
        assert_eq!(schema.field("code").unwrap().size, Some(5));
        let inverse = &schema.field("line_ids").unwrap().inverse;
        assert_eq!(inverse.as_ref().unwrap().as_str(), "x_id");
        let res_id = schema.field("res_id").unwrap();
        assert_eq!(res_id.model_field.as_ref().unwrap().as_str(), "res_model");
        assert_eq!((res_id.decimals, res_id.size), (None, None));
    }

    #[test]
    fn unknown_field_name_has_similar_names() {
        let schema = partner();
        let near = |name: &str| {
            schema
                .similar_names(name, 3)
                .iter()
                .map(|n| n.as_str().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(near("nam"), ["name"]);
        assert_eq!(near("mail"), ["email"]);
        assert_eq!(near("country"), ["country_id"]);
        assert!(near("zzzzzz").is_empty());
        assert!(near(&"name".repeat(32)).is_empty());
    }
}
