//! The methods that can be called.

use bytes::Bytes;
use http::{Method, Request, Response, header};
use serde_json::{Map, Value, json};

use super::{
    Company, DATABASE,
    access::{self, User},
    domain::{self, ids},
    refusal::{Refusal, result},
    table::{Field, Table, value as value_of},
};

/// Answers a request, from its path on.
pub(super) fn answer(
    company: &Company,
    request: &Request<Bytes>,
) -> Result<Response<Bytes>, Refusal> {
    let path = request.uri().path();
    match path {
        "/web/version" | "/json/version" => {
            return Ok(result(
                &json!({"version_info": [19, 0, 0, "final", 0, ""], "version": "19.0"}),
            ));
        }
        "/web/health" => return Ok(result(&json!({"status": "pass"}))),
        _ => {}
    }
    let database = request.headers().get("x-odoo-database");
    if database.is_some_and(|name| name != DATABASE) {
        return Err(Refusal::Html {
            status: 404,
            text: "No database is selected and the requested URL was not found in the server-wide controllers.",
        });
    }
    let target = path
        .strip_prefix("/json/2/")
        .and_then(|rest| rest.split_once('/'));
    let (Some((model, method)), &Method::POST) = (target, request.method()) else {
        return Err(Refusal::not_found(
            "Did you mean POST /json/2/<model>/<method>?",
        ));
    };
    let user = access::user(request.headers())?;
    let json_body = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/json"));
    if !json_body && !request.body().is_empty() {
        return Err(Refusal::Html {
            status: 415,
            text: "Unsupported Media Type",
        });
    }
    // A real Odoo does not see a chunked body at all.
    let chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
    let body = if chunked || request.body().is_empty() {
        Map::new()
    } else {
        match serde_json::from_slice(request.body()) {
            Ok(Value::Object(body)) => body,
            Ok(_) => Map::new(),
            Err(error) => {
                return Err(Refusal::new(
                    400,
                    "werkzeug.exceptions.BadRequest",
                    format!("could not parse the body as json: {error}"),
                ));
            }
        }
    };
    let table = company
        .tables
        .get(model)
        .ok_or_else(|| Refusal::not_found(format!("the model '{model}' does not exist")))?;
    if method.starts_with('_') || matches!(method, "search_fetch" | "browse" | "sudo" | "fetch") {
        return Err(Refusal::access(format!(
            "Private methods (such as '{model}.{method}') cannot be called remotely."
        )));
    }
    let call = Call::new(company, user, table, method, body)?;
    call.run().map(|value| result(&value))
}

/// One call, its reserved arguments taken out.
struct Call<'a> {
    company: &'a Company,
    user: User,
    table: &'a Table,
    method: &'a str,
    ids: Vec<u32>,
    companies: Vec<u32>,
    archived: bool,
    arguments: Map<String, Value>,
}

impl<'a> Call<'a> {
    fn new(
        company: &'a Company,
        user: User,
        table: &'a Table,
        method: &'a str,
        mut arguments: Map<String, Value>,
    ) -> Result<Self, Refusal> {
        let ids = arguments
            .remove("ids")
            .as_ref()
            .map(ids)
            .unwrap_or_default();
        let context = match arguments.remove("context") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(context)) => context,
            Some(_) => {
                return Err(Refusal::value(
                    "dictionary update sequence element #0 has length 1; 2 is required",
                ));
            }
        };
        let companies = context
            .get("allowed_company_ids")
            .map(domain::ids)
            .filter(|ids| !ids.is_empty());
        let companies = companies.unwrap_or_else(|| user.companies.to_vec());
        if companies.iter().any(|id| !user.companies.contains(id)) {
            return Err(Refusal::access(
                "Access to unauthorized or invalid companies.",
            ));
        }
        if let Some(lang) = context.get("lang").and_then(Value::as_str)
            && !["en_US", "fr_FR"].contains(&lang)
        {
            return Err(Refusal::new(
                422,
                "odoo.exceptions.UserError",
                format!("Invalid language code: {lang}"),
            ));
        }
        let archived = context.get("active_test") == Some(&Value::Bool(false));
        Ok(Self {
            company,
            user,
            table,
            method,
            ids,
            companies,
            archived,
            arguments,
        })
    }

    fn run(&self) -> Result<Value, Refusal> {
        let (on_records, takes): (bool, &[&str]) = match self.method {
            "search" => (false, &["domain", "offset", "limit", "order"]),
            "search_count" => (false, &["domain", "limit"]),
            "search_read" => (false, &["domain", "fields", "offset", "limit", "order"]),
            "read" => (true, &["fields", "load"]),
            "name_search" => (false, &["name", "domain", "operator", "limit"]),
            "fields_get" => (false, &["allfields", "attributes"]),
            "has_access" => (true, &["operation"]),
            "context_get" if self.table.model == "res.users" => (false, &[]),
            "get_available_models" if self.table.model == "ir.model" => (false, &[]),
            _ => {
                return Err(Refusal::not_found(format!(
                    "The method '{}.{}' does not exist",
                    self.table.model, self.method
                )));
            }
        };
        if !on_records && !self.ids.is_empty() {
            return Err(Refusal::arguments(format!(
                "cannot call {}.{} with ids",
                self.table.model, self.method
            )));
        }
        if let Some(name) = self
            .arguments
            .keys()
            .find(|name| !takes.contains(&name.as_str()))
        {
            return Err(Refusal::arguments(format!(
                "got an unexpected keyword argument '{name}'"
            )));
        }
        match self.method {
            "context_get" => {
                Ok(json!({"lang": "en_US", "tz": "Europe/Brussels", "uid": self.user.id}))
            }
            "get_available_models" => Ok(self.models()),
            "fields_get" => Ok(self.fields_get()),
            "has_access" => Ok(Value::from(self.user.may_read(self.table).is_ok())),
            "read" => self.read(),
            "name_search" => self.name_search(),
            "search" if !self.arguments.contains_key("domain") => {
                Err(Refusal::arguments("missing a required argument: 'domain'"))
            }
            "search" => Ok(self
                .search()?
                .iter()
                .map(|row| value_of(row, "id").clone())
                .collect()),
            "search_count" if !self.arguments.contains_key("domain") => {
                Err(Refusal::arguments("missing a required argument: 'domain'"))
            }
            "search_count" => Ok(Value::from(self.search()?.len())),
            _ => {
                let fields = self.wanted()?;
                self.search()?
                    .into_iter()
                    .map(|row| self.record(row, &fields))
                    .collect()
            }
        }
    }

    fn models(&self) -> Value {
        let readable = self
            .company
            .tables
            .values()
            .filter(|table| self.user.may_read(table).is_ok());
        readable
            .map(|table| json!({"display_name": table.label, "model": table.model}))
            .collect()
    }

    fn fields_get(&self) -> Value {
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
        let mut answer = Map::new();
        for (name, field) in &self.table.fields {
            if self.user.sees(field)
                && only
                    .as_ref()
                    .is_none_or(|only| only.iter().any(|one| one == name))
            {
                let mut described = describe(name, field);
                if let Some(attributes) = &attributes {
                    described.retain(|key, _| attributes.contains(key));
                }
                answer.insert((*name).to_owned(), Value::Object(described));
            }
        }
        Value::Object(answer)
    }

    /// The records that match, in order, of this page.
    fn search(&self) -> Result<Vec<&'a Map<String, Value>>, Refusal> {
        self.user.may_read(self.table)?;
        let nothing = Vec::new();
        let domain = match self.arguments.get("domain") {
            None | Some(Value::Null) => &nothing,
            Some(Value::Array(domain)) => domain,
            Some(_) => {
                return Err(Refusal::new(
                    500,
                    "builtins.TypeError",
                    "Domain() must be a list",
                ));
            }
        };
        domain::check(self.company, self.user, self.table, domain)?;
        let mentions_active = domain
            .iter()
            .any(|term| term.get(0).and_then(Value::as_str) == Some("active"));
        let hides_archived =
            !self.archived && !mentions_active && self.table.fields.contains_key("active");
        let mut found = Vec::new();
        for row in self.table.rows.values() {
            if (!hides_archived || row.get("active") != Some(&Value::Bool(false)))
                && self.user.may_see(self.table, row, &self.companies)
                && domain::matches(self.company, self.user, self.table, row, domain)?
            {
                found.push(row);
            }
        }
        let order = self
            .arguments
            .get("order")
            .and_then(Value::as_str)
            .unwrap_or(self.table.order);
        for key in order.split(',').rev() {
            let mut words = key.split_whitespace();
            let name = words.next().unwrap_or("id");
            let field = self.table.fields.get(name).ok_or_else(|| {
                Refusal::value(format!("Invalid field '{name}' on '{}'", self.table.model))
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
        let number = |name: &str| {
            self.arguments
                .get(name)
                .and_then(Value::as_i64)
                .unwrap_or(0)
        };
        if number("limit") < 0 || number("offset") < 0 {
            return Err(Refusal::new(
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

    /// Relations are sorted by name, what is not set comes last.
    fn sort_key(&self, field: &Field, value: &Value) -> Value {
        match field
            .relation
            .and_then(|model| self.company.tables.get(model))
        {
            Some(related) => ids(value)
                .first()
                .and_then(|id| related.rows.get(id))
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

    fn read(&self) -> Result<Value, Refusal> {
        let own = self.table.model == "res.users" && self.ids == [self.user.id];
        if !own {
            self.user.may_read(self.table)?;
        }
        let fields = self.wanted()?;
        let mut records = Vec::new();
        // Ids that do not exist are left out without a word.
        for row in self.ids.iter().filter_map(|id| self.table.rows.get(id)) {
            if !self.user.may_see(self.table, row, self.user.companies) {
                return Err(self.user.hidden(self.table, row));
            }
            records.push(self.record(row, &fields)?);
        }
        Ok(Value::Array(records))
    }

    fn name_search(&self) -> Result<Value, Refusal> {
        let name = self
            .arguments
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_lowercase();
        let limit = self
            .arguments
            .get("limit")
            .and_then(Value::as_u64)
            .unwrap_or(100);
        let found = self.unlimited().search()?;
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
            .take(usize::try_from(limit).unwrap_or(100))
            .map(|(row, shown)| json!([row.get("id"), shown]))
            .collect())
    }

    fn unlimited(&self) -> Self {
        let mut arguments = self.arguments.clone();
        arguments.remove("limit");
        Self {
            arguments,
            ids: Vec::new(),
            companies: self.companies.clone(),
            ..*self
        }
    }

    /// The fields that are asked for; all the user sees when none are.
    fn wanted(&self) -> Result<Vec<&'a str>, Refusal> {
        let asked = self
            .arguments
            .get("fields")
            .and_then(Value::as_array)
            .filter(|asked| !asked.is_empty());
        let Some(asked) = asked else {
            return Ok(self
                .table
                .fields
                .iter()
                .filter(|(_, field)| self.user.sees(field))
                .map(|(name, _)| *name)
                .collect());
        };
        let mut fields = Vec::new();
        for name in asked.iter().filter_map(Value::as_str) {
            let Some((name, field)) = self.table.fields.get_key_value(name) else {
                return Err(Refusal::value(format!(
                    "Invalid field '{name}' on '{}'",
                    self.table.model
                )));
            };
            if !self.user.sees(field) {
                return Err(Refusal::access(format!(
                    "You do not have enough rights to access the field \"{name}\" on {} ({}). Please contact your system administrator.",
                    self.table.label, self.table.model
                )));
            }
            fields.push(*name);
        }
        Ok(fields)
    }

    fn record(&self, row: &Map<String, Value>, fields: &[&str]) -> Result<Value, Refusal> {
        let mut record = Map::new();
        record.insert("id".to_owned(), value_of(row, "id").clone());
        for name in fields {
            let Some(field) = self.table.fields.get(name) else {
                continue;
            };
            if *name == "raw" {
                return Err(Refusal::Html {
                    status: 500,
                    text: "Internal Server Error",
                });
            }
            let value = value_of(row, name);
            let related = field
                .relation
                .and_then(|model| self.company.tables.get(model));
            let value = match (field.kind, related) {
                _ if *name == "display_name" => Value::from(self.table.display_name(row)),
                ("many2one", Some(related)) => {
                    match ids(value).first().and_then(|id| related.rows.get(id)) {
                        Some(other) if self.arguments.get("load") != Some(&Value::Null) => {
                            json!([other.get("id"), related.display_name(other)])
                        }
                        Some(other) => value_of(other, "id").clone(),
                        None => Value::Bool(false),
                    }
                }
                ("one2many", Some(related)) => {
                    // The whole read fails for one field whose model is closed.
                    self.user.may_read(related)?;
                    self.linked(related, row)
                }
                ("many2many", Some(related)) => {
                    self.user.may_read(related)?;
                    ids(value).into_iter().map(Value::from).collect()
                }
                _ => value.clone(),
            };
            record.insert((*name).to_owned(), value);
        }
        Ok(Value::Object(record))
    }

    /// The records of another model that point to this one.
    fn linked(&self, related: &Table, row: &Map<String, Value>) -> Value {
        let back = match (self.table.model, related.model) {
            ("res.partner", "res.partner") => "parent_id",
            ("sale.order", _) => "order_id",
            _ => "partner_id",
        };
        let id = value_of(row, "id");
        related
            .rows
            .values()
            .filter(|other| value_of(other, back) == id)
            .filter_map(|other| other.get("id").cloned())
            .collect()
    }
}

fn describe(name: &str, field: &Field) -> Map<String, Value> {
    let mut described = Map::new();
    let mut set = |key: &str, value: Value| {
        described.insert(key.to_owned(), value);
    };
    set("name", name.into());
    set("type", field.kind.into());
    set("string", field.label.into());
    set("required", field.required.into());
    set("readonly", (name == "id" || !field.stored).into());
    set("store", field.stored.into());
    set(
        "searchable",
        (field.stored || field.kind == "one2many").into(),
    );
    set(
        "sortable",
        (field.stored && field.kind != "many2many" && field.kind != "one2many").into(),
    );
    if let Some(relation) = field.relation {
        set("relation", relation.into());
    }
    if field.kind == "selection" {
        set(
            "selection",
            field
                .choices
                .iter()
                .map(|(key, label)| json!([key, label]))
                .collect(),
        );
    }
    if let Some(path) = field.shows {
        set("related", path.into());
    }
    if field.kind == "monetary" {
        set("currency_field", "currency_id".into());
    }
    described
}
