//! The protocol revisions.

gatepost_base::words! {
    /// A supported revision of MCP, oldest first.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
    pub enum Revision {
        /// 2025-03-26: the first with Streamable HTTP; the only one with batches.
        V2025_03_26 = "2025-03-26",
        /// 2025-06-18: the version header, elicitation, structured content.
        V2025_06_18 = "2025-06-18",
        /// 2025-11-25.
        V2025_11_25 = "2025-11-25",
        /// 2026-07-28: no handshake, every request is self-contained.
        V2026_07_28 = "2026-07-28",
    }

    /// The name on the wire.
    pub fn as_str(self);
}

/// The two generations of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProtocolEra {
    /// A connection starts with `initialize`.
    Handshake,
    /// Every request is self-contained.
    Stateless,
}

impl Revision {
    /// The newest revision that `initialize` negotiates.
    pub const NEWEST_HANDSHAKE: Self = Self::V2025_11_25;
    /// The revision of a request that names none
    /// (2025-06-18, transports, "Protocol Version Header").
    pub const ASSUMED: Self = Self::V2025_03_26;
    /// The stateless revisions.
    pub const STATELESS: [Self; 1] = [Self::V2026_07_28];
    /// All revisions.
    pub const ALL: [Self; 4] = [
        Self::V2025_03_26,
        Self::V2025_06_18,
        Self::V2025_11_25,
        Self::V2026_07_28,
    ];

    /// Parses a name; `None` if the revision is not supported.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|revision| revision.as_str() == text)
    }

    /// The era of the revision.
    pub fn era(self) -> ProtocolEra {
        if self >= Self::V2026_07_28 {
            ProtocolEra::Stateless
        } else {
            ProtocolEra::Handshake
        }
    }
}
