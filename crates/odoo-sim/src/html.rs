//! HTML as Odoo keeps it.

/// Text as HTML: nothing in it is markup.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// What is kept of HTML: no scripts, no handlers, and a paragraph around bare
/// text. A sketch of Odoo's `html_sanitize`.
pub(super) fn sanitize(html: &str) -> String {
    let mut kept = String::new();
    let mut rest = html;
    while let Some((before, tag)) = rest.split_once('<') {
        kept.push_str(before);
        let Some((tag, after)) = tag.split_once('>') else {
            // What never closes is no tag.
            kept.push_str("&lt;");
            rest = tag;
            continue;
        };
        if tag.to_lowercase().starts_with("script") {
            rest = after.split_once("</script>").map_or("", |(_, after)| after);
            continue;
        }
        kept.push('<');
        kept.push_str(&strip_event_handlers(tag));
        kept.push('>');
        rest = after;
    }
    kept.push_str(rest);
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
    if kept.is_empty() || blocks.iter().any(|block| kept.starts_with(block)) {
        kept
    } else {
        format!("<p>{kept}</p>")
    }
}

/// A tag without its `on…` attributes.
fn strip_event_handlers(tag: &str) -> String {
    let mut kept = tag.to_owned();
    while let Some(at) = kept.find(" on") {
        let (before, after) = kept.split_at(at);
        let after = after
            .split_once('=')
            .and_then(|(_, value)| {
                let quote = value.chars().next().filter(|one| "\"'".contains(*one))?;
                value.get(1..)?.split_once(quote)
            })
            .map_or("", |(_, after)| after);
        kept = format!("{before}{after}");
    }
    kept
}
