//! What groups and aggregates are called.

use crate::{error::FakeOdooError, value::python_repr};

/// A grouping or an aggregate: `field`, `field.path`, `field:function`.
#[derive(Clone, Copy)]
pub(super) struct Spec<'a> {
    pub(super) text: &'a str,
    pub(super) field: &'a str,
    pub(super) path: Option<&'a str>,
    pub(super) function: Option<&'a str>,
}

impl<'a> Spec<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, FakeOdooError> {
        let (names, function) = match text.split_once(':') {
            Some((names, function)) => (names, Some(function)),
            None => (text, None),
        };
        let (field, path) = match names.split_once('.') {
            Some((field, path)) => (field, Some(path)),
            None => (names, None),
        };
        let is_word = |word: &str| {
            !word.is_empty()
                && word
                    .chars()
                    .all(|one| one.is_ascii_alphanumeric() || one == '_')
        };
        if is_word(field) && function.is_none_or(is_word) {
            Ok(Self {
                text,
                field,
                path,
                function,
            })
        } else {
            Err(FakeOdooError::value_error(format!(
                "Invalid aggregate/groupby specification {}.\n- Valid aggregate specification looks like \"<field_name>:<agg>\" example: \"quantity:sum\".\n- Valid groupby specification looks like \"<no_datish_field_name>\" or \"<datish_field_name>:<granularity>\" example: \"date:month\" or \"<properties_field_name>.<property>:<granularity>\".",
                python_repr(&text.into())
            )))
        }
    }
}
