//! A callable method and its Python signature.

use serde_json::Value;

use super::{error::FakeOdooError, invocation::Invocation, transaction::Transaction};

/// The body of a method that reads.
pub(super) type ReadBody = fn(&Invocation<'_>) -> Result<Value, FakeOdooError>;

/// The body of a method that writes.
pub(super) type WriteBody =
    fn(&mut Transaction<'_>, &Invocation<'_>) -> Result<Value, FakeOdooError>;

/// A method: which models have it, how it is called, and its body.
pub(super) struct Method {
    pub(super) name: &'static str,
    /// The model that has it; `*` for all, `thread` for those with messages.
    pub(super) scope: &'static str,
    /// The model that introduces it, as Odoo documents it.
    pub(super) model: &'static str,
    /// The module that introduces it.
    pub(super) module: &'static str,
    /// The Python signature with its annotations.
    pub(super) signature: &'static str,
    /// Odoo's decorators: a `model` method takes no ids, a `readonly` one does not write.
    pub(super) api: Vec<&'static str>,
    pub(super) body: MethodBody,
}

/// The body of a method.
#[derive(Clone, Copy)]
pub(super) enum MethodBody {
    Read(ReadBody),
    Write(WriteBody),
}

/// One parameter of a signature.
#[derive(Debug, PartialEq)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) annotation: Option<&'static str>,
    /// The default in Python syntax.
    pub(super) default: Option<&'static str>,
    /// Whether it collects all arguments without a parameter (`**kwargs`).
    pub(super) variadic: bool,
}

impl Method {
    /// The parameters in the signature.
    pub(super) fn parameters(&self) -> Vec<Parameter> {
        let inside = self
            .signature
            .split_once('(')
            .map_or("", |(_, rest)| rest)
            .rsplit_once(')')
            .map_or("", |(inside, _)| inside);
        let mut depth = 0_usize;
        inside
            .split(|one: char| {
                match one {
                    '(' | '[' => depth += 1,
                    ')' | ']' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                one == ',' && depth == 0
            })
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(Parameter::parse)
            .collect()
    }

    /// The return annotation.
    pub(super) fn return_annotation(&self) -> Option<&'static str> {
        self.signature
            .rsplit_once(" -> ")
            .map(|(_, returned)| returned)
    }
}

impl Parameter {
    fn parse(text: &'static str) -> Self {
        let (text, variadic) = text
            .strip_prefix("**")
            .map_or((text, false), |name| (name, true));
        let (text, default) = match text.rsplit_once('=') {
            Some((text, default)) => (text.trim(), Some(default.trim())),
            None => (text, None),
        };
        let (name, annotation) = match text.split_once(':') {
            Some((name, annotation)) => (name.trim(), Some(annotation.trim())),
            None => (text, None),
        };
        Self {
            name,
            annotation,
            default,
            variadic,
        }
    }
}
