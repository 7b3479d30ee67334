//! The methods of a model, as Odoo documents them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use gatepost_base::text::{append, html_to_text, one_line, truncated};
use gatepost_odoo::MethodName;
use gatepost_policy::Arguments;

/// The most characters of a signature.
const MAX_SIGNATURE_CHARS: usize = 300;
/// The most characters of a method's summary.
const MAX_SUMMARY_CHARS: usize = 160;
/// The most methods stored for a model; Odoo's largest have two hundred.
const MAX_METHODS: usize = 500;
/// Bytes of a method's documentation that are read for its summary.
const MAX_DOC_BYTES: usize = 8 << 10;

/// Odoo's documentation of the methods of one model.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Documentation {
    methods: BTreeMap<Box<str>, MethodDocumentation>,
}

/// The documentation of one method.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MethodDocumentation {
    /// Its parameters, such as `(partner_ids=null, subtype_ids=null)`.
    pub signature: Box<str>,
    /// Whether it is a method of the model itself (`@api.model`), which takes no
    /// ids.
    pub is_model_method: bool,
    /// The first sentence of its documentation; often empty.
    pub summary: Box<str>,
}

#[derive(Deserialize)]
struct DocPage {
    methods: Map<String, Value>,
}

#[derive(Deserialize)]
struct DocMethod {
    #[serde(default)]
    parameters: Map<String, Value>,
    #[serde(default)]
    api: Vec<String>,
    #[serde(default)]
    doc: Option<String>,
}

impl Documentation {
    /// Parses `/doc-bearer/<model>.json`, which may have 200 kB, and stores
    /// only what is shown.
    ///
    /// # Errors
    /// If it is not such a page. A method that cannot be parsed is skipped.
    pub fn parse(answer: &[u8]) -> Result<Self, serde_json::Error> {
        let page: DocPage = serde_json::from_slice(answer)?;
        let methods = page.methods.into_iter().take(MAX_METHODS);
        let read = methods.filter_map(|(name, described)| {
            let method: DocMethod = serde_json::from_value(described).ok()?;
            Some((name.into(), method.to_documentation()))
        });
        Ok(Self {
            methods: read.collect(),
        })
    }

    /// The names of the documented methods.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.methods.keys().map(|name| &**name)
    }

    /// The documentation of a method.
    pub fn method(&self, name: &MethodName) -> Option<&MethodDocumentation> {
        self.methods.get(name.as_str())
    }
}

impl DocMethod {
    fn to_documentation(&self) -> MethodDocumentation {
        // The `signature` on the page lacks the stars of `**values`.
        let parameters = self.parameters.iter().map(|(name, about)| {
            let of = |key: &str| about.get(key).and_then(Value::as_str);
            let stars = match of("kind") {
                Some("VAR_KEYWORD") => "**",
                Some("VAR_POSITIONAL") => "*",
                Some(_) | None => "",
            };
            let mut parameter = format!("{stars}{name}");
            if let Some(kind) = of("annotation") {
                append(&mut parameter, format_args!(": {kind}"));
            }
            if let Some(default) = about.get("default") {
                append(&mut parameter, format_args!("={default}"));
            }
            parameter
        });
        let signature = parameters.collect::<Vec<_>>().join(", ");
        let summary = html_to_text(truncated(
            self.doc.as_deref().unwrap_or_default(),
            MAX_DOC_BYTES,
        ));
        let summary = summary.trim().split("\n\n").next().unwrap_or_default();
        let summary = summary.split_whitespace().collect::<Vec<_>>().join(" ");
        let summary = summary
            .split_once(". ")
            .map_or(&*summary, |(first, _)| first);
        MethodDocumentation {
            // `|` is no column separator here, but Python's "or".
            signature: format!(
                "({})",
                one_line(&signature, MAX_SIGNATURE_CHARS).replace("\\|", "|")
            )
            .into(),
            is_model_method: self.api.iter().any(|one| one == "model"),
            summary: one_line(summary, MAX_SUMMARY_CHARS).into(),
        }
    }
}

/// Lists the methods that may be called, one per line, with their arguments and
/// summaries.
pub fn methods(
    open: &BTreeMap<MethodName, Vec<Arguments>>,
    documentation: Option<&Documentation>,
    wanted: impl Fn(&MethodName) -> bool,
    budget_bytes: usize,
) -> String {
    let open: Vec<_> = open.iter().filter(|(name, _)| wanted(name)).collect();
    let mut text = String::new();
    if open.is_empty() {
        return text;
    }
    text.push_str("methods (call_method):\n");
    for (at, (name, arguments)) in open.iter().enumerate() {
        let line = method_line(
            name,
            arguments,
            documentation.and_then(|all| all.method(name)),
        );
        if text.len() + line.len() + 40 > budget_bytes {
            append(
                &mut text,
                format_args!("and {} more methods\n", open.len() - at),
            );
            break;
        }
        text.push_str(&line);
    }
    text
}

fn method_line(
    name: &MethodName,
    arguments: &[Arguments],
    documented: Option<&MethodDocumentation>,
) -> String {
    if name.as_str() == "message_post" {
        return format!("{name}: use the tool post_message\n");
    }
    let mut line = name.to_string();
    if arguments.is_empty() {
        if let Some(documented) = documented {
            line.push_str(&documented.signature);
        }
    } else {
        let accepted: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        append(
            &mut line,
            format_args!(" with {}", accepted.join("; or with ")),
        );
    }
    if let Some(documented) = documented {
        if documented.is_model_method {
            line.push_str(", without ids");
        }
        if !documented.summary.is_empty() {
            append(&mut line, format_args!(": {}", documented.summary));
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::{Documentation, methods};
    use gatepost_odoo::MethodName;
    use gatepost_policy::Arguments;

    /// As a real Odoo 19 documents these methods of `crm.lead`.
    fn documentation() -> Documentation {
        let page = json!({"model": "crm.lead", "fields": {"name": {"type": "char"}}, "methods": {
            "action_set_lost": {"signature": "(additional_values)",
                "parameters": {"additional_values": {"kind": "VAR_KEYWORD"}}, "model": "crm.lead", "module": "crm",
                "doc": "<div class=\"document\">\n\n\n<p>Lost semantic: probability = 0 AND active = False</p>\n</div>"},
            "copy": {"signature": "(default=None) -> list[int]",
                "parameters": {"default": {"default": null, "annotation": "ValuesType | None"}}, "doc": null},
            "get_empty_list_help": {"parameters": {"help_message": {}}, "api": ["model", "readonly"]},
            "message_post": {"parameters": {}, "doc": "<p>Post.</p>"},
            "odd": 7, "odder": {"parameters": [1]},
        }});
        Documentation::parse(page.to_string().as_bytes()).unwrap()
    }

    fn callable(names: &[&str]) -> BTreeMap<MethodName, Vec<Arguments>> {
        let open = names.iter().map(|name| {
            let taken = match *name {
                "action_set_lost" => vec![Arguments::default()],
                _ => Vec::new(),
            };
            (MethodName::try_from(*name).unwrap(), taken)
        });
        open.collect()
    }

    #[test]
    fn methods_are_listed_with_arguments_and_summary() {
        let names = [
            "action_set_lost",
            "copy",
            "get_empty_list_help",
            "message_post",
            "odd",
        ];
        let page = documentation();
        let listed = |documentation| methods(&callable(&names), documentation, |_| true, 9_999);
        insta::assert_snapshot!(listed(Some(&page)), @r#"
        methods (call_method):
        action_set_lost with no arguments: Lost semantic: probability = 0 AND active = False
        copy(default: ValuesType | None=null)
        get_empty_list_help(help_message), without ids
        message_post: use the tool post_message
        odd
        "#);
        insta::assert_snapshot!(listed(None), @r#"
        methods (call_method):
        action_set_lost with no arguments
        copy
        get_empty_list_help
        message_post: use the tool post_message
        odd
        "#);
        let one = methods(
            &callable(&names),
            None,
            |name| name.as_str().contains("lost"),
            9_999,
        );
        assert_eq!(
            one,
            "methods (call_method):\naction_set_lost with no arguments\n"
        );
        assert_eq!(methods(&callable(&[]), None, |_| true, 9_999), "");
        let short = methods(&callable(&names), None, |_| true, 120);
        assert!(short.len() <= 140, "{short}");
        insta::assert_snapshot!(short, @r"
        methods (call_method):
        action_set_lost with no arguments
        copy
        and 3 more methods
        ");
    }

    #[test]
    fn invalid_documentation_page_is_an_error() {
        for odd in ["", "[]", "{}", "null", r#"{"methods": []}"#, "<html>"] {
            assert!(Documentation::parse(odd.as_bytes()).is_err(), "{odd}");
        }
    }
}
