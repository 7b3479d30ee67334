//! Ids with their names.

use super::{
    Shaped,
    text::{CELL_CHARS, one_line},
};

/// The records in an answer of `name_search`, `[[id, name], …]`, one a line,
/// at most `limit` of them; and whether there were more.
///
/// # Errors
/// When the answer is not such a list.
pub fn names(
    answer: &[u8],
    limit: u32,
    budget_bytes: usize,
) -> Result<(Shaped, bool), serde_json::Error> {
    let found: Vec<(i64, Option<String>)> = serde_json::from_slice(answer)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut text = String::new();
    let mut shown = 0;
    for (id, name) in found.iter().take(limit) {
        let line = format!(
            "{id} | {}\n",
            one_line(name.as_deref().unwrap_or_default(), CELL_CHARS)
        );
        if text.len() + line.len() + 10 > budget_bytes {
            break;
        }
        if shown == 0 {
            text.push_str("id | name\n");
        }
        text.push_str(&line);
        shown += 1;
    }
    Ok((Shaped { text, shown }, shown < found.len()))
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn ids_and_names_stand_one_a_line() {
        let (shaped, more) =
            names(br#"[[15,"Azure"],[27,"Azure, Bo|b"],[34,"x"]]"#, 2, 999).unwrap();
        insta::assert_snapshot!(shaped.text, @r"
        id | name
        15 | Azure
        27 | Azure, Bo\|b
        ");
        assert!(more);
        assert!(names(b"{}", 2, 999).is_err());
    }
}
