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
            // An unclosed `<` is text.
            clean.push_str("&lt;");
            rest = tag;
            continue;
        };
        if tag.to_lowercase().starts_with("script") {
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
    let mut clean = tag.to_owned();
    while let Some(at) = clean.find(" on") {
        let (before, after) = clean.split_at(at);
        let after = after
            .split_once('=')
            .and_then(|(_, value)| {
                let quote = value.chars().next().filter(|one| "\"'".contains(*one))?;
                value.get(1..)?.split_once(quote)
            })
            .map_or("", |(_, after)| after);
        clean = format!("{before}{after}");
    }
    clean
}
