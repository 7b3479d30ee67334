//! The words by which logs, metrics and audit records name variants.

/// Defines an enum with a word behind each variant, `WORDS` with all of them, and
/// the method that returns the one of a variant.
///
/// ```
/// gatepost_base::words! {
///     /// A side of a road.
///     pub enum Side {
///         /// The left one.
///         Left = "left",
///         /// The right one, at this distance in metres.
///         Right(u32) = "right",
///     }
///
///     /// The word for it in the log.
///     pub fn as_str(&self);
/// }
///
/// assert_eq!(Side::Right(7).as_str(), "right");
/// assert_eq!(Side::WORDS, ["left", "right"]);
/// ```
#[macro_export]
macro_rules! words {
    (@method $(#[$meta:meta])* $vis:vis fn $method:ident(&$self:ident); $($variant:ident = $word:literal),+) => {
        $(#[$meta])*
        $vis fn $method(&$self) -> &'static str {
            match $self {
                $(Self::$variant { .. } => $word),+
            }
        }
    };
    (@method $(#[$meta:meta])* $vis:vis fn $method:ident($self:ident); $($variant:ident = $word:literal),+) => {
        $(#[$meta])*
        $vis fn $method($self) -> &'static str {
            match $self {
                $(Self::$variant { .. } => $word),+
            }
        }
    };
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident {
            $(
                $(#[$variant_meta:meta])*
                $variant:ident $(($($tuple:tt)*))? $({ $($fields:tt)* })? = $word:literal
            ),+ $(,)?
        }

        $(#[$method_meta:meta])*
        $method_vis:vis fn $method:ident($($receiver:tt)+);
    ) => {
        $(#[$meta])*
        $vis enum $name {
            $($(#[$variant_meta])* $variant $(($($tuple)*))? $({ $($fields)* })?),+
        }

        impl $name {
            /// The words of all variants.
            pub const WORDS: [&'static str; [$($word),+].len()] = [$($word),+];

            $crate::words! {
                @method $(#[$method_meta])* $method_vis fn $method($($receiver)+);
                $($variant = $word),+
            }
        }
    };
}
