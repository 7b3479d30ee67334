//! One client over stdin and stdout.
