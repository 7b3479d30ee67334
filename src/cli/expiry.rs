//! Time spans on the command line.

use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

/// A span such as `90d`: a whole number of hours, days or weeks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Expiry(SignedDuration);

/// A text that is not such a span.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write a whole number of hours, days or weeks, such as `12h`, `90d` or `8w`; at most ten years"
)]
pub(super) struct InvalidExpiry;

const MAX_HOURS: i64 = 10 * 366 * 24;

impl Expiry {
    /// The time this long after `now`.
    pub(super) fn after(self, now: Timestamp) -> Timestamp {
        now.saturating_add(self.0).unwrap_or(Timestamp::MAX)
    }

    /// The time this long before `now`.
    pub(super) fn before(self, now: Timestamp) -> Timestamp {
        now.saturating_sub(self.0).unwrap_or(Timestamp::MIN)
    }
}

impl FromStr for Expiry {
    type Err = InvalidExpiry;

    fn from_str(text: &str) -> Result<Self, InvalidExpiry> {
        let units = [("h", 1), ("d", 24), ("w", 7 * 24)];
        units
            .iter()
            .find_map(|(unit, hours)| Some((text.strip_suffix(unit)?, hours)))
            .filter(|(number, _)| number.bytes().all(|digit| digit.is_ascii_digit()))
            .and_then(|(number, hours)| number.parse::<i64>().ok()?.checked_mul(*hours))
            .filter(|hours| (1..=MAX_HOURS).contains(hours))
            .map(|hours| Self(SignedDuration::from_hours(hours)))
            .ok_or(InvalidExpiry)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::Expiry;

    #[test]
    fn expiry_is_a_number_with_a_unit() {
        let after = |text: &str| {
            text.parse::<Expiry>()
                .map(|span| span.after(Timestamp::UNIX_EPOCH).to_string())
        };
        assert_eq!(after("12h").unwrap(), "1970-01-01T12:00:00Z");
        assert_eq!(after("90d").unwrap(), "1970-04-01T00:00:00Z");
        assert_eq!(after("2w").unwrap(), "1970-01-15T00:00:00Z");
        for bad in [
            "",
            "d",
            "90",
            "0d",
            "-1d",
            "+1d",
            "1.5d",
            "90 d",
            "1y",
            "99999999999999999999h",
            "9000000000000000000w",
            "4000d",
        ] {
            assert!(after(bad).is_err(), "{bad}");
        }
    }
}
