//! Types that `Debug` does not show.

/// Implements `Debug` for types with secrets: only their name is shown.
#[macro_export]
macro_rules! opaque_debug {
    ($($name:ident $(<$lifetime:lifetime>)?),+ $(,)?) => {$(
        impl std::fmt::Debug for $name $(<$lifetime>)? {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )+};
}
