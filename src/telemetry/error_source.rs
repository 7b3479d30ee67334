//! Who caused a request to fail.

/// Who caused a request to fail. The edge logs it as `refusal.blame`, and
/// metrics have it as the label `blame`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ErrorSource {
    /// The client sent something that cannot be served.
    Client,
    /// The identity provider did not answer.
    Identity,
    /// Odoo rejected the call or did not answer.
    Odoo,
    /// Policy forbids the request.
    Policy,
    /// A store that requests depend on is unavailable: Redis, the file of the
    /// state store, or the disk of the audit journal. Each has a metric and an
    /// alert of its own.
    Storage,
    /// Gatepost itself failed.
    Us,
}

impl ErrorSource {
    /// The word in logs and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Identity => "identity",
            Self::Odoo => "odoo",
            Self::Policy => "policy",
            Self::Storage => "storage",
            Self::Us => "us",
        }
    }
}
