//! HTML as Odoo stores it.

/// Escapes text for HTML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Removes scripts and event handlers and wraps bare text in a paragraph. A sketch
/// of Odoo's `html_sanitize`.
pub(super) fn sanitize(html: &str) -> String {
    let mut clean = String::new();
    let mut rest = html;
    while let Some((before, tag)) = rest.split_once('<') {
        clean.push_str(before);
        let Some((tag, after)) = tag.split_once('>') else {
            // Without another `>`, every further `<` is text.
            clean.push_str("&lt;");
            clean.push_str(&tag.replace('<', "&lt;"));
            rest = "";
            break;
        };
        let name = tag.get(..6).unwrap_or_default();
        if name.eq_ignore_ascii_case("script") {
            rest = after.split_once("</script>").map_or("", |(_, after)| after);
            continue;
        }
        clean.push('<');
        clean.push_str(&strip_event_handlers(tag));
        clean.push('>');
        rest = after;
    }
    clean.push_str(rest);
    let blocks = [
        "<p",
        "<div",
        "<ul",
        "<ol",
        "<h",
        "<table",
        "<span",
        "<blockquote",
    ];
    if clean.is_empty() || blocks.iter().any(|block| clean.starts_with(block)) {
        clean
    } else {
        format!("<p>{clean}</p>")
    }
}

/// Removes the `on…` attributes of a tag.
fn strip_event_handlers(tag: &str) -> String {
    let mut clean = String::with_capacity(tag.len());
    let mut rest = tag;
    while let Some((before, handler)) = rest.split_once(" on") {
        clean.push_str(before);
        rest = handler
            .split_once('=')
            .and_then(|(_, value)| {
                let quote = value.chars().next().filter(|one| "\"'".contains(*one))?;
                value.get(1..)?.split_once(quote)
            })
            .map_or("", |(_, after)| after);
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::sanitize;

    #[test]
    fn scripts_and_event_handlers_are_removed_and_text_is_wrapped() {
        for (html, clean) in [
            ("a", "<p>a</p>"),
            ("<p>a</p>", "<p>a</p>"),
            ("<p>1 < 2 < 3", "<p>1 &lt; 2 &lt; 3"),
            ("<p>a<SCRIPT>x</script>b</p>", "<p>ab</p>"),
            (
                "<p onclick=\"a()\" class=\"c\" onload='b()' id=\"d\">a</p>",
                "<p class=\"c\" id=\"d\">a</p>",
            ),
            ("", ""),
        ] {
            assert_eq!(sanitize(html), clean, "{html}");
        }
    }

    #[test]
    fn unclosed_brackets_are_escaped_in_one_pass() {
        // Quadratic work on 4 MB would take hours.
        let clean = sanitize(&"<".repeat(4 << 20));
        assert_eq!(clean.len(), "<p></p>".len() + 4 * (4 << 20));
        let clean = sanitize(&format!("<p{}>", " on='".repeat(1 << 20)));
        assert_eq!(clean, "<p>");
    }
}
