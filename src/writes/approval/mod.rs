//! Approval of a write: by a person through elicitation, or by the model with a
//! token from the preview.

pub(crate) mod approve;
pub(crate) mod token;
