//! How freely a caller may change records.

gatepost_base::words! {
    /// How freely a caller may change records.
    ///
    /// From not at all to at once, so the order of the variants means something. An
    /// instance has one, and each role may lower it.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
    pub enum WriteMode {
        /// Changes are refused.
        ReadOnly = "read_only",
        /// A change is previewed, and made when a person approves it.
        RequireHuman = "require_human",
        /// A change is previewed, and made when the call is repeated to confirm it.
        Confirm = "confirm",
        /// A change is made at once.
        #[default]
        Direct = "direct",
    }

    /// The word for it in reports, such as `require_human`.
    pub fn as_str(self);
}

impl WriteMode {
    /// The modes that allow changes, the freest first.
    pub const WRITING: [Self; 3] = [Self::Direct, Self::Confirm, Self::RequireHuman];

    /// Whether a change is previewed before it is made.
    pub fn requires_preview(self) -> bool {
        match self {
            Self::ReadOnly | Self::RequireHuman | Self::Confirm => true,
            Self::Direct => false,
        }
    }
}
