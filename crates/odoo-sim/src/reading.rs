//! Searching and reading records.

use serde_json::{Map, Value, json};

use super::{
    access::AccessMode,
    date_domain::with_dates,
    defaults,
    describe::describe,
    domain,
    error::FakeOdooError,
    invocation::Invocation,
    table::{Field, Row, link, value as value_of},
    value::ids,
};

impl<'a> Invocation<'a> {
    pub(super) fn available_models(&self) -> Value {
        let readable = self
            .database
            .tables
            .values()
            .filter(|table| self.session.user.check_read_access(table).is_ok());
        readable
            .map(|table| json!({"display_name": table.label, "model": table.model}))
            .collect()
    }

    pub(super) fn fields_get(&self) -> Value {
        let names = |key: &str| -> Option<Vec<String>> {
            let list = self.arguments.get(key)?.as_array()?;
            let list: Vec<String> = list
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect();
            (!list.is_empty()).then_some(list)
        };
        let (only, attributes) = (names("allfields"), names("attributes"));
        let mut described_fields = Map::new();
        for (name, field) in self.table.fields.iter() {
            if self.session.user.has_field_access(field)
                && only
                    .as_ref()
                    .is_none_or(|only| only.iter().any(|one| one == name))
            {
                let mut described = describe(self.table, name, field);
                if let Some(attributes) = &attributes {
                    described.retain(|key, _| attributes.contains(key));
                }
                described_fields.insert((*name).to_owned(), Value::Object(described));
            }
        }
        Value::Object(described_fields)
    }

    pub(super) fn search_ids(&self) -> Result<Value, FakeOdooError> {
        let found = self.search(true)?;
        Ok(found
            .iter()
            .map(|row| value_of(row, "id").clone())
            .collect())
    }

    pub(super) fn search_count(&self) -> Result<Value, FakeOdooError> {
        Ok(Value::from(self.search(true)?.len()))
    }

    pub(super) fn search_read(&self) -> Result<Value, FakeOdooError> {
        let fields = self.requested_fields()?;
        self.search(true)?
            .into_iter()
            .map(|row| self.read_record(row, &fields))
            .collect()
    }

    /// The matching records, by id.
    pub(super) fn matching_rows(&self) -> Result<Vec<&'a Row>, FakeOdooError> {
        self.session.user.check_read_access(self.table)?;
        let empty = Vec::new();
        let domain = match self.arguments.get("domain") {
            None | Some(Value::Null) => &empty,
            Some(Value::Array(domain)) => domain,
            Some(_) => {
                return Err(FakeOdooError::type_error("Domain() must be a list"));
            }
        };
        domain::check_domain(self.database, self.session.user, self.table, domain)?;
        let domain = &with_dates(self.database, self.table, domain, self.session.now)?;
        let mentions_active = domain
            .iter()
            .any(|term| term.get(0).and_then(Value::as_str) == Some("active"));
        let hides_archived = !self.session.include_archived
            && !mentions_active
            && self.table.fields.contains_key("active");
        let mut found = Vec::new();
        for row in self.table.rows.values().map(AsRef::as_ref) {
            if (!hides_archived || row.get("active") != Some(&Value::Bool(false)))
                && self
                    .session
                    .user
                    .passes_record_rules(self.table, row, &self.session.companies)
                && domain::matches(self.database, self.session.user, self.table, row, domain)?
            {
                found.push(row);
            }
        }
        Ok(found)
    }

    /// The matching records in order; with `paged`, only those of the requested page.
    fn search(&self, paged: bool) -> Result<Vec<&'a Row>, FakeOdooError> {
        let mut found = self.matching_rows()?;
        let order = self.text("order").unwrap_or(self.table.order);
        for key in order.split(',').rev() {
            let mut words = key.split_whitespace();
            let name = words.next().unwrap_or("id");
            let plain = |one: char| one.is_ascii_alphanumeric() || "_.:".contains(one);
            if !name.chars().all(plain) || words.clone().count() > 1 {
                return Err(FakeOdooError::user_error(format!(
                    "Invalid \"order\" specified ({order}). A valid \"order\" specification is a comma-separated list of valid field names (optionally followed by asc/desc for the direction)"
                )));
            }
            let field = self.table.fields.get(name).ok_or_else(|| {
                FakeOdooError::value_error(format!(
                    "Invalid field '{name}' on '{}'",
                    self.table.model
                ))
            })?;
            let down = words
                .next()
                .is_some_and(|word| word.eq_ignore_ascii_case("desc"));
            found.sort_by(|a, b| {
                let key = |row| self.sort_key(field, value_of(row, name));
                let order = domain::compare(&key(a), &key(b)).unwrap_or(std::cmp::Ordering::Equal);
                if down { order.reverse() } else { order }
            });
        }
        if !paged {
            return Ok(found);
        }
        let number = |name: &str| {
            self.arguments
                .get(name)
                .and_then(Value::as_i64)
                .unwrap_or(0)
        };
        if number("limit") < 0 || number("offset") < 0 {
            return Err(FakeOdooError::new(
                500,
                "psycopg2.errors.InvalidRowCountInLimitClause",
                "LIMIT must not be negative\nLINE 1: SELECT \"t\".\"id\" FROM",
            ));
        }
        let limit = usize::try_from(number("limit"))
            .ok()
            .filter(|limit| *limit > 0)
            .unwrap_or(usize::MAX);
        Ok(found
            .into_iter()
            .skip(usize::try_from(number("offset")).unwrap_or(0))
            .take(limit)
            .collect())
    }

    /// Relations sort by display name; empty values come last.
    fn sort_key(&self, field: &Field, value: &Value) -> Value {
        match self.database.related(field) {
            Some(related) => ids(value)
                .first()
                .and_then(|id| related.row(*id))
                .map_or_else(
                    || Value::from("\u{10ffff}"),
                    |row| Value::from(related.display_name(row)),
                ),
            None if field.kind != "boolean" && value == &Value::Bool(false) => {
                Value::from("\u{10ffff}")
            }
            None => value.clone(),
        }
    }

    pub(super) fn read(&self) -> Result<Value, FakeOdooError> {
        let own = self.table.model == "res.users" && self.ids == [self.session.user.id];
        if !own {
            self.session.user.check_read_access(self.table)?;
        }
        let fields = self.requested_fields()?;
        let mut records = Vec::new();
        // Missing ids are silently skipped.
        for row in self.ids.iter().filter_map(|id| self.table.row(*id)) {
            let user = self.session.user;
            if !user.passes_record_rules(self.table, row, user.companies) {
                return Err(user.record_rule_error(AccessMode::Read, self.table, row));
            }
            records.push(self.read_record(row, &fields)?);
        }
        Ok(Value::Array(records))
    }

    pub(super) fn name_search(&self) -> Result<Value, FakeOdooError> {
        let name = self.text("name").unwrap_or_default().to_lowercase();
        let limit = self.argument("limit").and_then(Value::as_u64);
        let found = self.search(false)?;
        Ok(found
            .into_iter()
            .map(|row| (row, self.table.display_name(row)))
            .filter(|(row, shown)| {
                let also = ["default_code", "email", "ref", "login"];
                shown.to_lowercase().contains(&name)
                    || also.iter().any(|field| {
                        row.get(*field)
                            .and_then(Value::as_str)
                            .is_some_and(|text| text.to_lowercase().contains(&name))
                    })
            })
            .take(usize::try_from(limit.unwrap_or(100)).unwrap_or(100))
            .map(|(row, shown)| json!([row.get("id"), shown]))
            .collect())
    }

    /// The requested fields; all that the user may see if none are requested.
    fn requested_fields(&self) -> Result<Vec<&'a str>, FakeOdooError> {
        let requested = self
            .arguments
            .get("fields")
            .and_then(Value::as_array)
            .filter(|requested| !requested.is_empty());
        let Some(requested) = requested else {
            return Ok(self
                .table
                .fields
                .iter()
                .filter(|(_, field)| self.session.user.has_field_access(field))
                .map(|(name, _)| *name)
                .collect());
        };
        let mut fields = Vec::new();
        for name in requested.iter().filter_map(Value::as_str) {
            let Some((name, field)) = self.table.fields.get_key_value(name) else {
                return Err(FakeOdooError::value_error(format!(
                    "Invalid field '{name}' on '{}'",
                    self.table.model
                )));
            };
            self.session
                .user
                .check_field_access(self.table, name, field)?;
            fields.push(*name);
        }
        Ok(fields)
    }

    fn read_record(&self, row: &Row, fields: &[&str]) -> Result<Value, FakeOdooError> {
        let mut record = Map::new();
        record.insert("id".to_owned(), value_of(row, "id").clone());
        for name in fields {
            let Some(field) = self.table.fields.get(name) else {
                continue;
            };
            if *name == "raw" {
                return Err(FakeOdooError::Html {
                    status: 500,
                    text: "Internal Server Error",
                });
            }
            let value = value_of(row, name);
            let value = match (field.kind, self.database.related(field)) {
                _ if *name == "display_name" => Value::from(self.table.display_name(row)),
                ("many2one", Some(related)) => {
                    match ids(value).first().and_then(|id| related.row(*id)) {
                        Some(other) if self.arguments.get("load") != Some(&Value::Null) => {
                            json!([other.get("id"), related.display_name(other)])
                        }
                        Some(other) => value_of(other, "id").clone(),
                        None => Value::Bool(false),
                    }
                }
                (_, Some(related)) if field.is_x2many() => {
                    // One field of a model without read access fails the whole read.
                    self.session.user.check_read_access(related)?;
                    Value::from(self.database.linked_ids(self.table, row, name, field))
                }
                _ if *name == "message_is_follower" => {
                    let id = link(row, "id").unwrap_or(0);
                    let followers = self.database.follower_partners(self.table.model, id);
                    followers.contains(&self.session.user.partner).into()
                }
                _ if self.table.model == "mail.followers" && !field.stored => {
                    let partner =
                        link(row, "partner_id").and_then(|id| self.database.row("res.partner", id));
                    partner.map_or(Value::Bool(false), |partner| {
                        value_of(partner, name).clone()
                    })
                }
                _ => value.clone(),
            };
            record.insert((*name).to_owned(), value);
        }
        Ok(Value::Object(record))
    }

    pub(super) fn default_get(&self) -> Value {
        let defaults = defaults::default_values(self.table, self.session);
        let requested = self.argument("fields").and_then(Value::as_array);
        let requested = requested.into_iter().flatten().filter_map(Value::as_str);
        requested
            .filter_map(|name| Some((name.to_owned(), defaults.get(name)?.clone())))
            .collect::<Row>()
            .into()
    }
}
