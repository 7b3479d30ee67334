//! What is wrong with a service around the gateway.

/// What is wrong with a service around the gateway, for its administrator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnosis {
    /// The key in the service's section of the configuration that most likely has to
    /// change, such as `url`.
    pub setting: &'static str,
    /// The cause, which may contain addresses.
    pub cause: String,
    /// What to do.
    pub remedy: String,
}

impl Diagnosis {
    /// A diagnosis.
    pub fn new(setting: &'static str, cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            setting,
            cause: cause.into(),
            remedy: remedy.into(),
        }
    }
}
