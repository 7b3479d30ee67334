//! What Odoo stored, after a write.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    ids::id_ranges,
    records::{MAX_RECORDS, PreviewRenderer, joined, quoted, title, with_others},
};
use crate::access::RecordSnapshot;
use gatepost_base::text::{append, append_html_line};
use gatepost_odoo::{FieldKind, RecordId};

/// Characters of one value.
const MAX_CHARS: usize = 160;

impl PreviewRenderer<'_> {
    /// Written records by their names, one per line, with the values that Odoo stored
    /// in the fields that `fields` selects of a record at a place. What is the same in
    /// all records is said once, below, after `label`.
    ///
    /// Of many records the first are shown, and the ids of all.
    pub fn stored_records<'v>(
        &self,
        ids: &[RecordId],
        records: &'v RecordSnapshot,
        label: &str,
        fields: impl Fn(usize, &'v Map<String, Value>) -> Vec<&'v str>,
    ) -> String {
        let stored = ids.iter().enumerate().filter_map(|(place, id)| {
            let row = records.row(*id)?;
            let values = fields(place, row).into_iter().filter_map(|name| {
                let value = self.stored_value(name, row.get(name)?);
                Some((name, format!("{name}: {value}")))
            });
            Some((*id, values.collect::<Vec<_>>()))
        });
        let stored: BTreeMap<RecordId, Vec<(&str, String)>> = stored.collect();
        let first = stored.values().next();
        let mut common = first.cloned().unwrap_or_default();
        common.retain(|value| stored.values().all(|values| values.contains(value)));
        let line = |id: &RecordId| {
            let values = stored.get(id).into_iter().flatten();
            let own: Vec<String> = values
                .filter(|value| !common.contains(value))
                .map(|(_, text)| text.clone())
                .collect();
            let title = title(*id, records, MAX_CHARS);
            match own.as_slice() {
                [] => title,
                [_, ..] => format!("{title}: {}", joined(own.into_iter())),
            }
        };
        let some = ids.get(..MAX_RECORDS).unwrap_or(ids);
        let mut text = with_others(some, records, line);
        if ids.len() > some.len() {
            append(&mut text, format_args!("\nAll ids: {}", id_ranges(ids)));
        }
        if !common.is_empty() {
            let place = if ids.len() > 1 { " in all" } else { "" };
            let values = joined(common.into_iter().map(|(_, text)| text));
            append(&mut text, format_args!("\n{label}{place}: {values}"));
        }
        text
    }

    /// One value as Odoo stored it; of HTML its text.
    fn stored_value(&self, name: &str, value: &Value) -> String {
        let field = self.schema.field(name);
        match (field.map(|field| field.kind), value.as_str()) {
            (Some(FieldKind::Html), Some(html)) if !html.is_empty() => {
                let mut text = String::new();
                append_html_line(&mut text, html, MAX_CHARS);
                quoted(&text)
            }
            (_, _) => self.value(field, value),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::PreviewRenderer;
    use crate::access::{DisplayNames, RecordSnapshot};
    use gatepost_odoo::{ModelName, RecordId, Schema};

    fn stored(rows: &Value, fields: &[&'static str]) -> String {
        let schema = Schema::parse(
            br#"{"name":{"type":"char"},"note":{"type":"html"},"amount":{"type":"monetary"},
                 "user_id":{"type":"many2one","relation":"res.users"},
                 "tag_ids":{"type":"many2many","relation":"crm.tag"}}"#,
        )
        .unwrap();
        let mut names = DisplayNames::new();
        let tag = ModelName::try_from("crm.tag").unwrap();
        names.insert((tag, RecordId::try_from(4).unwrap()), "Gold".to_owned());
        let show = PreviewRenderer {
            schema: &schema,
            names: &names,
        };
        let records = RecordSnapshot::from(rows.clone());
        let ids: Vec<RecordId> = records.rows().map(|(id, _)| id).collect();
        show.stored_records(&ids, &records, "Now", |_, _| fields.to_vec())
    }

    #[test]
    fn stored_values_are_clean_text_and_links_have_names_and_ids() {
        let row = json!({"display_name": "A", "note": "<p>Call <b>\"Ada\"</b></p>",
            "user_id": [6, "Marc Demo"], "tag_ids": [4, 5], "amount": false});
        let text = stored(
            &json!({"7": row}),
            &["note", "user_id", "tag_ids", "amount"],
        );
        insta::assert_snapshot!(text, @r#"
        [7] A
        Now: note: "Call \"Ada\""; user_id: Marc Demo [6]; tag_ids: Gold [4], [5]; amount: (empty)
        "#);
    }

    #[test]
    fn long_stored_values_are_cut() {
        let (note, name) = ("<i>x</i>".repeat(9_000), "y".repeat(9_000));
        let text = stored(
            &json!({"7": {"note": note, "name": name}}),
            &["note", "name"],
        );
        assert!(text.len() < 500, "{text}");
    }

    #[test]
    fn values_that_are_the_same_in_all_records_are_said_once() {
        let rows = json!({"7": {"name": "A", "amount": 5}, "9": {"name": "B", "amount": 5}});
        insta::assert_snapshot!(stored(&rows, &["name", "amount"]), @r#"
        [7]: name: "A"
        [9]: name: "B"
        Now in all: amount: 5
        "#);
    }

    #[test]
    fn many_records_are_shown_with_the_ids_of_all() {
        let rows = (1..=500).map(|id| (id.to_string(), json!({"amount": id})));
        let text = stored(&Value::Object(rows.collect()), &["amount"]);
        assert!(
            text.contains("[20]: amount: 20\nAll ids: [1-500]"),
            "{text}"
        );
    }
}
