//! Lists of records by id and name.

use serde::Deserialize;
use serde_json::Value;

use super::{Rendered, append_lines};
use gatepost_base::text::{MAX_CELL_CHARS, one_line};

/// One record, as `name_search` or as `search_read` returns it.
#[derive(Deserialize)]
#[serde(untagged)]
enum NamedRecord {
    Pair(i64, Value),
    Record { id: i64, display_name: Value },
}

/// Lists the records in a response of `name_search`, `[[id, name], …]`, or of a
/// search for `display_name`: one per line, at most `limit`. Also returns whether
/// there were more.
///
/// # Errors
/// If the response is not such a list.
pub fn names(
    answer: &[u8],
    limit: u32,
    budget_bytes: usize,
) -> Result<(Rendered, bool), serde_json::Error> {
    let found = parse_names(answer)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut text = String::from("id | name\n");
    let lines = found
        .iter()
        .take(limit)
        .map(|(id, name)| format!("{id} | {}\n", one_line(name, MAX_CELL_CHARS)));
    let shown = append_lines(&mut text, lines, budget_bytes);
    if shown == 0 {
        text.clear();
    }
    Ok((Rendered { text, shown }, shown < found.len()))
}

/// Parses such a response.
///
/// # Errors
/// If the response is not such a list.
pub fn parse_names(answer: &[u8]) -> Result<Vec<(i64, String)>, serde_json::Error> {
    let found: Vec<NamedRecord> = serde_json::from_slice(answer)?;
    Ok(found
        .into_iter()
        .map(|one| match one {
            NamedRecord::Pair(id, name)
            | NamedRecord::Record {
                id,
                display_name: name,
                // Odoo sends `false` for an empty name.
            } => (id, name.as_str().unwrap_or_default().to_owned()),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn each_id_and_name_is_on_one_line() {
        let (shaped, more) =
            names(br#"[[15,"Azure"],[27,"Azure, Bo|b"],[34,"x"]]"#, 2, 999).unwrap();
        insta::assert_snapshot!(shaped.text, @r"
        id | name
        15 | Azure
        27 | Azure, Bo\|b
        ");
        assert!(more);
        let searched = br#"[{"id":15,"display_name":"Azure"},{"id":16,"display_name":false}]"#;
        let (shaped, more) = names(searched, 2, 999).unwrap();
        assert_eq!(shaped.text, "id | name\n15 | Azure\n16 | \n");
        assert!(!more);
        assert!(names(b"{}", 2, 999).is_err());
    }
}
