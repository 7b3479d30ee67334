//! How freely somebody may change records.

/// How freely somebody may change records, from not at all to at once. An
/// instance has one, and each role may lower it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum WriteMode {
    /// Nothing is changed.
    ReadOnly,
    /// A change is shown first, and made when a person says so.
    RequireHuman,
    /// A change is shown first, and made when it is asked for a second time.
    Confirm,
    /// A change is made at once.
    #[default]
    Direct,
}

impl WriteMode {
    /// The modes in which something is changed, the freest first.
    pub const WRITING: [Self; 3] = [Self::Direct, Self::Confirm, Self::RequireHuman];

    /// Whether a change is shown before it is made.
    pub fn requires_preview(self) -> bool {
        match self {
            Self::ReadOnly | Self::RequireHuman | Self::Confirm => true,
            Self::Direct => false,
        }
    }
}
