//! What an answer covers.

use gatepost_base::text::one_line;
use gatepost_odoo::ModelName;

/// What an answer covers.
#[derive(Debug)]
pub struct Footer<'a> {
    /// The companies, such as `My Company [1]`.
    pub companies: &'a [Box<str>],
    /// Whether archived records are among them.
    pub archived: bool,
    /// The address of Odoo's web client.
    pub web_url: &'a str,
    /// The model.
    pub model: &'a ModelName,
}

/// One line on what an answer covers, and how to open one of its records.
pub fn footer(covered: &Footer<'_>) -> String {
    let companies: Vec<String> = covered
        .companies
        .iter()
        .map(|company| one_line(company, 60))
        .collect();
    let companies = if companies.is_empty() {
        "all".to_owned()
    } else {
        companies.join(", ")
    };
    let archived = if covered.archived {
        "included"
    } else {
        "left out"
    };
    // Odoo 19, web/static/src/core/browser/router.js: a model without a dot has the prefix `m-`.
    let prefix = if covered.model.as_str().contains('.') {
        ""
    } else {
        "m-"
    };
    format!(
        "(companies: {companies}; archived records: {archived}; times: UTC; open one at {}/odoo/{prefix}{}/<id>)",
        covered.web_url, covered.model
    )
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
            web_url: "https://odoo.test",
            model: &model,
        };
        insta::assert_snapshot!(footer(&covered), @"(companies: My Co [1]; archived records: left out; times: UTC; open one at https://odoo.test/odoo/res.partner/<id>)");
    }
}
