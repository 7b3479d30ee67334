//! From when to when a certificate is valid.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

/// How long before its end a certificate counts as one that ends soon.
const ENDS_SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// From when to when a certificate is valid (RFC 5280, section 4.1.2.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CertificateValidity {
    /// The first second.
    pub not_before: Timestamp,
    /// The last second.
    pub not_after: Timestamp,
}

/// What an administrator has to know about the validity of a certificate. `Display`
/// names the date.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CertificateProblem {
    /// It ended then, so clients refuse it.
    Ended(Timestamp),
    /// It ends then, in at most 30 days, whose number is the second value.
    EndsSoon(Timestamp, i64),
    /// It is valid only from then on, so clients refuse it.
    NotYetValid(Timestamp),
}

impl CertificateValidity {
    /// What is wrong with the certificate at this time; `None` if it is valid and
    /// does not end within 30 days.
    pub fn problem(&self, now: Timestamp) -> Option<CertificateProblem> {
        let left = self.not_after.duration_since(now);
        if now < self.not_before {
            Some(CertificateProblem::NotYetValid(self.not_before))
        } else if left.is_negative() {
            Some(CertificateProblem::Ended(self.not_after))
        } else if left <= ENDS_SOON {
            let days = left.as_hours() / 24;
            Some(CertificateProblem::EndsSoon(self.not_after, days))
        } else {
            None
        }
    }
}

impl CertificateProblem {
    /// Whether clients refuse the certificate now.
    pub fn is_refused(&self) -> bool {
        match self {
            Self::Ended(_) | Self::NotYetValid(_) => true,
            Self::EndsSoon(..) => false,
        }
    }

    /// What the administrator can do.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Ended(_) | Self::EndsSoon(..) => {
                "renew it; a running gateway loads the new files by itself"
            }
            Self::NotYetValid(_) => {
                "compare the clocks of this machine and of the one that issued it"
            }
        }
    }
}

impl fmt::Display for CertificateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(at) => write!(
                f,
                "the certificate ended on {}, so clients refuse it",
                minute(*at)
            ),
            Self::EndsSoon(at, days) => {
                let left = match days {
                    0 => "within a day".to_owned(),
                    1 => "in 1 day".to_owned(),
                    days => format!("in {days} days"),
                };
                write!(f, "the certificate ends on {}, {left}", minute(*at))
            }
            Self::NotYetValid(at) => write!(
                f,
                "the certificate is not valid before {}, so clients refuse it",
                minute(*at)
            ),
        }
    }
}

/// `2027-02-18 14:18 UTC`.
pub(super) fn minute(time: Timestamp) -> impl fmt::Display {
    time.strftime("%Y-%m-%d %H:%M UTC")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::CertificateValidity;

    #[test]
    fn validity_is_a_problem_before_it_begins_and_from_30_days_before_its_end() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let validity = CertificateValidity {
            not_before: time("2026-01-01T00:00:00Z"),
            not_after: time("2026-12-31T23:59:59Z"),
        };
        let lines = [
            "2025-12-31T23:59:59Z",
            "2026-01-01T00:00:00Z",
            "2026-12-01T23:59:58Z",
            "2026-12-01T23:59:59Z",
            "2026-12-30T12:00:00Z",
            "2026-12-31T23:59:59Z",
            "2027-01-01T00:00:00Z",
        ]
        .map(|now| {
            let problem = validity.problem(time(now));
            let text = problem.map_or_else(
                || "-".to_owned(),
                |problem| format!("{problem} (refused: {})", problem.is_refused()),
            );
            format!("{now}: {text}")
        });
        insta::assert_snapshot!(lines.join("\n"));
    }
}
