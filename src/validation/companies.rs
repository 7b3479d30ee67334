//! Links between records of different companies.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::values::{ArgumentPath, CoercedValues, ValueMessage};
use crate::access::{DisplayNames, OdooSession, OperationError, RecordSnapshot, readable};
use gatepost_odoo::{
    Call, Context, Domain, Field, FieldKind, FieldName, ModelName, Order, RecordId, SameCompany,
    Schema,
};

/// A link of a record whose company is known.
struct CheckedLink<'a> {
    path: ArgumentPath,
    field: &'a Field,
    id: RecordId,
}

/// The links to check, by the model of the linked record, the company, and whether
/// its parent companies match, too.
type LinksByCompany<'a> = BTreeMap<(&'a ModelName, RecordId, bool), Vec<CheckedLink<'a>>>;

/// The links to records of another company than that of the record itself
/// (`check_company`). Odoo refuses most of them, one at a time, and accepts others
/// that its forms do not offer.
///
/// Links in lines are left to Odoo, and so are records whose company it computes,
/// or that have none.
pub(crate) async fn mismatches(
    access: &OdooSession<'_>,
    (model, schema, ids): (&ModelName, &Schema, &[RecordId]),
    (coerced, path_of): (&[CoercedValues], impl Fn(usize) -> ArgumentPath),
    names: &DisplayNames,
    context: &Context,
) -> Result<Vec<ValueMessage>, OperationError> {
    let own = schema.field("company_id").filter(|field| {
        field.kind == FieldKind::Many2one && field.stored && field.related.is_none()
    });
    let links_any = |one: &CoercedValues| checked_links(schema, &one.values).next().is_some();
    let Some(own) = own.filter(|_| coerced.iter().any(links_any)) else {
        return Ok(Vec::new());
    };
    let user = access.user().await?;
    // With one company, records of others cannot be seen anyway.
    if user.companies.len() < 2 {
        return Ok(Vec::new());
    }
    // The company of a lead is that of its team, of an invoice that of its journal.
    let is_computed = !own.depends.is_empty();
    let existing = if ids.is_empty() || is_computed {
        None
    } else {
        let records = RecordSnapshot::read(
            access,
            (model, ids),
            std::slice::from_ref(&own.name),
            context,
        );
        readable(records.await)?
    };
    let mut links = LinksByCompany::new();
    for (index, one) in coerced.iter().enumerate() {
        let companies = match (one.values.get("company_id"), &existing) {
            (Some(given), _) => RecordId::from_json(given).into_iter().collect(),
            (None, Some(existing)) => companies_of(existing),
            // The default company of a new record.
            (None, None) if ids.is_empty() && !is_computed => {
                context.company_ids.first().copied().into_iter().collect()
            }
            (None, None) => BTreeSet::new(),
        };
        for (field, id) in checked_links(schema, &one.values) {
            let (Some(relation), Some(company)) = (&field.relation, field.check_company) else {
                continue;
            };
            for own in &companies {
                let or_parent = company == SameCompany::SameOrParent;
                let linked = CheckedLink {
                    path: path_of(index).member(field.name.as_str()),
                    field,
                    id,
                };
                links
                    .entry((relation, *own, or_parent))
                    .or_default()
                    .push(linked);
            }
        }
    }
    let mut errors = Vec::new();
    for ((relation, company, or_parent), links) in links {
        let Some(matching) =
            ids_of_company(access, (relation, company, or_parent), &links, context).await?
        else {
            continue;
        };
        let known = user.companies.iter().find(|one| one.id == company);
        let company = match known {
            Some(known) => format!("{} [{company}]", known.name),
            None => format!("[{company}]"),
        };
        for link in links {
            // One that cannot be seen is an error of its own.
            let is_seen = names.get(&(relation.clone(), link.id)).is_some();
            if is_seen && !matching.contains(&link.id) {
                errors.push(ValueMessage {
                    path: link.path,
                    text: format!(
                        "({}) links to {}, which belongs to another company than the record, {company}; choose one of that company or without a company, or another `company_id`",
                        link.field.label,
                        names.label(relation, link.id)
                    ),
                });
            }
        }
    }
    Ok(errors)
}

/// Those of the linked records that belong to the company or to none. `None` if
/// they cannot be read; then Odoo decides.
async fn ids_of_company(
    access: &OdooSession<'_>,
    (relation, company, or_parent): (&ModelName, RecordId, bool),
    links: &[CheckedLink<'_>],
    context: &Context,
) -> Result<Option<BTreeSet<RecordId>>, OperationError> {
    let ids: BTreeSet<u32> = links.iter().map(|link| link.id.get()).collect();
    let company = if or_parent {
        json!(["company_id", "parent_of", [company.get()]])
    } else {
        json!(["company_id", "=", company.get()])
    };
    let domain = json!([["id", "in", ids], "|", ["company_id", "=", false], company]);
    let domain = Domain::parse(&domain)?;
    let limit = u32::try_from(ids.len()).unwrap_or(u32::MAX);
    let fields = [FieldName::known("id")];
    let search = Call::search_read(
        relation.clone(),
        &domain,
        &fields,
        &Order::by_id_descending(),
        0,
        limit,
    );
    let context = Context {
        include_archived: true,
        ..context.clone()
    };
    let Some(response) = readable(access.call(search.in_context(context)).await)? else {
        return Ok(None);
    };
    let rows: Vec<Map<String, Value>> = serde_json::from_slice(&response)?;
    let ids = rows
        .iter()
        .filter_map(|row| RecordId::from_json(row.get("id")?));
    Ok(Some(ids.collect()))
}

/// The links whose company is checked.
fn checked_links<'a>(
    schema: &'a Schema,
    values: &'a Map<String, Value>,
) -> impl Iterator<Item = (&'a Field, RecordId)> {
    values.iter().filter_map(|(name, value)| {
        let field = schema.field(name)?;
        let is_link = field.kind == FieldKind::Many2one && field.check_company.is_some();
        Some((field, RecordId::from_json(value)?)).filter(|_| is_link)
    })
}

fn companies_of(records: &RecordSnapshot) -> BTreeSet<RecordId> {
    let rows = records.rows();
    let companies = rows.filter_map(|(_, row)| RecordId::from_json(row.get("company_id")?.get(0)?));
    companies.collect()
}
