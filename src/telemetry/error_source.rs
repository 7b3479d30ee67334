//! Who caused a request to fail.

gatepost_base::words! {
    /// Who caused a request to fail. The edge logs it as `refusal.blame`, and
    /// metrics have it as the label `blame`.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub enum ErrorSource {
        /// The client sent something that cannot be served.
        Client = "client",
        /// The identity provider did not answer.
        Identity = "identity",
        /// Odoo rejected the call or did not answer.
        Odoo = "odoo",
        /// Policy forbids the request.
        Policy = "policy",
        /// A store that requests depend on is unavailable: Redis, the file of the
        /// state store, or the disk of the audit journal. Each has a metric and an
        /// alert of its own.
        Storage = "storage",
        /// Gatepost itself failed.
        Us = "us",
    }

    /// The word in logs and metric labels.
    pub fn as_str(self);
}
