//! The words by which logs, metrics and audit records name errors.

/// Gives an error enum its `KINDS` and `kind()` from one table of words and
/// variants, inside an `impl`.
#[macro_export]
macro_rules! kinds {
    ($($word:literal => $variant:pat),+ $(,)?) => {
        /// Every word that [`kind`](Self::kind) returns.
        pub const KINDS: [&'static str; [$($word),+].len()] = [$($word),+];

        /// The word for it in logs, metrics and audit records.
        pub fn kind(&self) -> &'static str {
            match self {
                $($variant => $word),+
            }
        }
    };
}
