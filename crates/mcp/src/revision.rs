//! The protocol revisions.

/// A revision of MCP that we speak, oldest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Revision {
    /// 2025-03-26: the first with Streamable HTTP; the only one with batches.
    V2025_03_26,
    /// 2025-06-18: the version header, elicitation, structured content.
    V2025_06_18,
    /// 2025-11-25.
    V2025_11_25,
    /// 2026-07-28: no handshake, every request carries what it needs.
    V2026_07_28,
}

/// The two ways in which revisions work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProtocolEra {
    /// `initialize` first.
    Handshake,
    /// Every request stands alone.
    Stateless,
}

impl Revision {
    /// The newest that is negotiated by `initialize`.
    pub const NEWEST_HANDSHAKE: Self = Self::V2025_11_25;
    /// What a request without any sign of a revision is taken for
    /// (2025-06-18, transports, "Protocol Version Header").
    pub const ASSUMED: Self = Self::V2025_03_26;
    /// Those in which every request stands alone.
    pub const STATELESS: [Self; 1] = [Self::V2026_07_28];
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::V2025_03_26,
        Self::V2025_06_18,
        Self::V2025_11_25,
        Self::V2026_07_28,
    ];

    /// The revision as it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// The revision of a text, if we speak it.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|revision| revision.as_str() == text)
    }

    /// How it works.
    pub fn era(self) -> ProtocolEra {
        if self >= Self::V2026_07_28 {
            ProtocolEra::Stateless
        } else {
            ProtocolEra::Handshake
        }
    }

    /// Whether a text looks like a revision from the stateless era, known or
    /// not: a date from 2026-07-28 on.
    pub fn looks_stateless(text: &str) -> bool {
        let date = text.len() == 10
            && text.bytes().enumerate().all(|(at, b)| {
                if matches!(at, 4 | 7) {
                    b == b'-'
                } else {
                    b.is_ascii_digit()
                }
            });
        date && text >= Self::V2026_07_28.as_str()
    }
}
