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
    struct Row {
        model: String,
        display_name: Box<str>,
    }

    let rows: Vec<Row> = serde_json::from_slice(answer)?;
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

/// Lists models, one per line: those that match the query, best first, or all by
/// name.
pub fn models(entries: &[&ModelEntry], query: Option<&str>, budget_bytes: usize) -> Rendered {
    let words: Vec<String> = query
        .unwrap_or_default()
        .to_lowercase()
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let mut ranked: Vec<(u8, &ModelEntry)> = entries
        .iter()
        .filter_map(|entry| rank(entry, &words).map(|rank| (rank, *entry)))
        .collect();
    ranked.sort_by(|(a, one), (b, other)| a.cmp(b).then_with(|| one.model.cmp(&other.model)));
    let mut text = String::from("model | label\n");
    let lines = ranked
        .iter()
        .map(|(_, entry)| format!("{} | {}\n", entry.model, one_line(&entry.label, 80)));
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

/// Returns how well a model matches (less is better) if all words are in its name
/// or label: exactly, then at the beginning, then anywhere.
fn rank(entry: &ModelEntry, words: &[String]) -> Option<u8> {
    let name = entry.model.as_str();
    let label = entry.label.to_lowercase();
    if !words
        .iter()
        .all(|word| name.contains(word.as_str()) || label.contains(word.as_str()))
    {
        return None;
    }
    let whole = words.join(" ");
    Some(if name == whole || label == whole {
        0
    } else if name.starts_with(&whole) || label.starts_with(&whole) {
        1
    } else {
        2
    })
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
        sale.order | Sales Order
        sale.order.line | Sales Order Line
        ");
        assert_eq!(models(&all, None, 999).shown, 3);
        assert_eq!(models(&all, Some("zebra"), 999).shown, 0);
        assert!(models(&all, None, 170).text.contains("more models"));
    }
}
