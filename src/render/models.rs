//! Lists of models.

use serde::Deserialize;

use super::{Rendered, append_lines};
use gatepost_base::text::{append, one_line};
use gatepost_odoo::ModelName;

/// A model and its label.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModelEntry {
    /// Its technical name.
    pub model: ModelName,
    /// The name that people see.
    pub label: Box<str>,
}

/// Parses a response of `ir.model/get_available_models`; invalid model names are
/// skipped.
///
/// # Errors
/// If it is not a list of objects with `model` and `display_name`.
pub fn parse_models(answer: &[u8]) -> Result<Vec<ModelEntry>, serde_json::Error> {
    #[derive(Deserialize)]
    struct ModelRow {
        model: String,
        display_name: Box<str>,
    }

    let rows: Vec<ModelRow> = serde_json::from_slice(answer)?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            let model = ModelName::try_from(row.model).ok()?;
            Some(ModelEntry {
                model,
                label: row.display_name,
            })
        })
        .collect())
}

/// What people call the records of a model of Odoo's own, where its name and its label
/// are other words.
const PEOPLES_WORDS: [(&str, &str); 34] = [
    (
        "account.account",
        "chart of accounts, general ledger account",
    ),
    ("account.analytic.account", "cost center"),
    ("account.analytic.line", "timesheet"),
    ("account.bank.statement.line", "bank transaction"),
    (
        "account.move",
        "invoice, customer invoice, bill, vendor bill, credit note, refund",
    ),
    (
        "account.move.line",
        "invoice line, bill line, receivable, payable",
    ),
    ("calendar.event", "meeting, appointment"),
    ("crm.lead", "opportunity, pipeline, prospect"),
    ("crm.stage", "pipeline stage"),
    ("helpdesk.ticket", "support ticket, case"),
    ("hr.attendance", "check in, working time"),
    ("hr.employee", "staff, worker"),
    ("hr.leave", "time off, holiday, vacation, absence"),
    ("ir.attachment", "document, file"),
    ("mail.activity", "to-do, reminder, follow-up"),
    ("mail.message", "comment, note, chatter, email"),
    ("maintenance.request", "repair"),
    ("mrp.bom", "recipe"),
    ("mrp.production", "manufacturing order, work order"),
    ("product.category", "product group"),
    ("product.pricelist", "price list"),
    ("product.product", "article, item, sku, service"),
    ("product.template", "article, item, service"),
    ("project.task", "ticket, to-do, issue"),
    (
        "purchase.order",
        "rfq, request for quotation, supplier order",
    ),
    ("res.country.state", "province, region"),
    (
        "res.partner",
        "customer, client, vendor, supplier, company, address, person",
    ),
    ("res.partner.category", "contact tag"),
    ("res.users", "salesperson, colleague, login"),
    ("sale.order", "quotation, quote, order"),
    ("sale.order.line", "quotation line, order line"),
    ("stock.lot", "serial number, batch"),
    (
        "stock.picking",
        "delivery, shipment, receipt, warehouse transfer",
    ),
    ("stock.quant", "inventory, stock level, quantity on hand"),
];

/// Lists models, one per line: those that match the query, best first, or all by
/// name.
pub fn models(entries: &[&ModelEntry], query: Option<&str>, budget_bytes: usize) -> Rendered {
    // In the singular, which is a part of the plural.
    let singular = |word: &str| word.strip_suffix('s').unwrap_or(word).to_owned();
    let words: Vec<String> = query
        .unwrap_or_default()
        .to_lowercase()
        .split_whitespace()
        .map(singular)
        .collect();
    let mut ranked: Vec<(u8, &ModelEntry)> = entries
        .iter()
        .filter_map(|entry| rank(entry, &words).map(|rank| (rank, *entry)))
        .collect();
    ranked.sort_by(|(a, one), (b, other)| a.cmp(b).then_with(|| one.model.cmp(&other.model)));
    let mut text = String::from("model | label\n");
    let lines = ranked.iter().map(|(_, entry)| {
        let label = one_line(&entry.label, 80);
        match peoples_words(entry).filter(|_| !words.is_empty()) {
            Some(others) => format!("{} | {label} ({others})\n", entry.model),
            None => format!("{} | {label}\n", entry.model),
        }
    });
    let shown = append_lines(&mut text, lines, budget_bytes.saturating_sub(106));
    if shown == 0 {
        text.clear();
    }
    if shown < ranked.len() {
        append(
            &mut text,
            format_args!("{} more models; give a query\n", ranked.len() - shown),
        );
    }
    Rendered { text, shown }
}

fn peoples_words(entry: &ModelEntry) -> Option<&'static str> {
    let mut known = PEOPLES_WORDS.iter();
    let found = known.find(|(model, _)| *model == entry.model.as_str());
    found.map(|(_, words)| *words)
}

/// Returns how well a model matches (less is better) if all words are in its name, its
/// label or what people call it: exactly, then at the beginning, then anywhere.
fn rank(entry: &ModelEntry, words: &[String]) -> Option<u8> {
    let name = entry.model.as_str();
    let label = entry.label.to_lowercase();
    let others = peoples_words(entry).unwrap_or_default();
    let is_in = |word: &String| {
        [name, &*label, others]
            .iter()
            .any(|text| text.contains(&**word))
    };
    if !words.iter().all(is_in) {
        return None;
    }
    let whole = words.join(" ");
    let is_whole = |text: &str| text.strip_suffix('s').unwrap_or(text) == whole;
    Some(
        if is_whole(name) || is_whole(&label) || others.split(", ").any(is_whole) {
            0
        } else if name.starts_with(&whole) || label.starts_with(&whole) {
            1
        } else {
            2
        },
    )
}

#[cfg(test)]
mod tests {
    use super::{models, parse_models};

    #[test]
    fn a_query_finds_models_by_name_and_label() {
        let entries = parse_models(
            br#"[{"model":"sale.order","display_name":"Sales Order"},
                 {"model":"sale.order.line","display_name":"Sales Order Line"},
                 {"model":"account.move","display_name":"Journal Entry"},{"model":"BAD","display_name":"x"}]"#,
        )
        .unwrap();
        let all: Vec<_> = entries.iter().collect();
        insta::assert_snapshot!(models(&all, Some("Order sale"), 999).text, @r"
        model | label
        sale.order | Sales Order (quotation, quote, order)
        sale.order.line | Sales Order Line (quotation line, order line)
        ");
        insta::assert_snapshot!(models(&all, Some("Invoices"), 999).text, @r"
        model | label
        account.move | Journal Entry (invoice, customer invoice, bill, vendor bill, credit note, refund)
        ");
        assert_eq!(models(&all, Some("customer invoices"), 999).shown, 1);
        assert_eq!(models(&all, None, 999).shown, 3);
        assert_eq!(models(&all, Some("zebra"), 999).shown, 0);
        insta::assert_snapshot!(models(&all, None, 170).text, @r"
        model | label
        account.move | Journal Entry
        2 more models; give a query
        ");
    }
}
