//! What the arguments of a tool name, for the audit record of a denial.

use serde_json::Value;

use gatepost_odoo::{MethodName, ModelName, RecordId};

/// The model, method and records that a tool's arguments name, as far as they
/// can be read. For the audit record of a tool call that was denied before it
/// became a call to Odoo; no decision depends on it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ArgumentSummary {
    /// The model.
    pub model: Option<ModelName>,
    /// The method.
    pub method: Option<MethodName>,
    /// The records.
    pub ids: Vec<RecordId>,
}

impl ArgumentSummary {
    /// Reads the arguments, and ignores what is malformed.
    pub fn from_json(arguments: &str) -> Self {
        let Ok(Value::Object(arguments)) = serde_json::from_str(arguments) else {
            return Self::default();
        };
        let text = |name: &str| arguments.get(name).and_then(Value::as_str);
        let all = arguments.get("ids").and_then(Value::as_array);
        let one = arguments.get("id");
        Self {
            model: text("model").and_then(|name| ModelName::try_from(name).ok()),
            method: text("method").and_then(|name| MethodName::try_from(name).ok()),
            ids: all
                .into_iter()
                .flatten()
                .chain(one)
                .filter_map(Value::as_i64)
                .filter_map(|id| RecordId::try_from(id).ok())
                .collect(),
        }
    }

    /// Drops the method and records if the arguments name another model than this.
    pub(super) fn limited_to_model(self, model: Option<&ModelName>) -> Self {
        match model {
            Some(model) if self.model.as_ref() != Some(model) => Self {
                model: Some(model.clone()),
                ..Self::default()
            },
            Some(_) | None => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ArgumentSummary;

    #[test]
    fn invalid_arguments_give_an_empty_summary() {
        for arguments in [
            "",
            "[]",
            "7",
            r#"{"model":7,"ids":"x","id":[],"method":{}}"#,
            r#"{"model":"No Model","ids":[0,-3,1.5,"7",null],"method":"_x"}"#,
        ] {
            assert_eq!(
                ArgumentSummary::from_json(arguments),
                ArgumentSummary::default(),
                "{arguments}"
            );
        }
    }

    #[test]
    fn summary_has_model_method_and_record_ids() {
        let summary = ArgumentSummary::from_json(
            r#"{"model":"sale.order","method":"action_confirm","ids":[7,"x",8],"values":{"ids":[9]}}"#,
        );
        assert_eq!(summary.model.unwrap().as_str(), "sale.order");
        assert_eq!(summary.method.unwrap().to_string(), "action_confirm");
        let ids: Vec<u32> = summary.ids.into_iter().map(super::RecordId::get).collect();
        assert_eq!(ids, [7, 8]);
        assert_eq!(ArgumentSummary::from_json(r#"{"id":44}"#).ids.len(), 1);
    }
}
