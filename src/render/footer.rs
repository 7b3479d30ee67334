//! The line below a result that says which records it covers.

use gatepost_base::text::{append, one_line};
use gatepost_odoo::ModelName;

/// Companies that are named.
const MAX_COMPANIES: usize = 30;

/// What a result covers.
#[derive(Debug)]
pub struct Footer<'a> {
    /// The searched companies, such as `My Company [1]`.
    pub companies: &'a [Box<str>],
    /// Whether archived records are included.
    pub archived: bool,
    /// The address of Odoo's web client and the model, if the result has records.
    pub records: Option<(&'a str, &'a ModelName)>,
}

/// Renders one line that says what a result covers and how to open a record, if it has any.
pub fn footer(covered: &Footer<'_>) -> String {
    let companies: Vec<String> = covered
        .companies
        .iter()
        .take(MAX_COMPANIES)
        .map(|company| one_line(company, 60))
        .collect();
    let rest = covered.companies.len() - companies.len();
    let companies = match (companies.is_empty(), rest) {
        (true, _) => "all".to_owned(),
        (false, 0) => companies.join(", "),
        (false, rest) => format!("{} and {rest} more", companies.join(", ")),
    };
    let archived = if covered.archived {
        "included"
    } else {
        "excluded"
    };
    let mut text = format!("(companies: {companies}; archived records: {archived}");
    if let Some((web_url, model)) = covered.records {
        // Odoo 19, web/static/src/core/browser/router.js: a model without a dot has the prefix `m-`.
        let prefix = if model.as_str().contains('.') {
            ""
        } else {
            "m-"
        };
        append(
            &mut text,
            format_args!("; times: UTC; open one at {web_url}/odoo/{prefix}{model}/<id>"),
        );
    }
    text.push(')');
    text
}

#[cfg(test)]
mod tests {
    use super::{Footer, footer};
    use gatepost_odoo::ModelName;

    #[test]
    fn footer_is_one_line() {
        let model = ModelName::try_from("res.partner").unwrap();
        let companies = ["My Co [1]".into()];
        let covered = Footer {
            companies: &companies,
            archived: false,
            records: Some(("https://odoo.test", &model)),
        };
        insta::assert_snapshot!(footer(&covered), @"(companies: My Co [1]; archived records: excluded; times: UTC; open one at https://odoo.test/odoo/res.partner/<id>)");
        let covered = Footer {
            records: None,
            archived: true,
            ..covered
        };
        insta::assert_snapshot!(footer(&covered), @"(companies: My Co [1]; archived records: included)");
    }
}
