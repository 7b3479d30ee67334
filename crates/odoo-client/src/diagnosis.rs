//! Why an Odoo cannot be used, in the words of its administrator.

use std::{error::Error, io};

use tokio::time::error::Elapsed;

use super::{
    CallError, ForeignCause, OdooClient, UnknownOutcome, call_error::size, exchange::MAX_HEAD_BYTES,
};
use gatepost_base::{Diagnosis, error_chain};
use gatepost_odoo::OdooError;
use gatepost_tls::{HandshakeFailure, PeerProtocol};

const CREATE_KEY: &str = "create a key in Odoo as the user that calls should act as (Preferences, Security, Add API Key), in this database; keys end, for users who are no administrators after 90 days at most";

impl OdooClient {
    /// What the failure of a read with this client means for the administrator.
    pub fn diagnose(&self, error: &CallError) -> Diagnosis {
        match error {
            CallError::Busy { .. } => Diagnosis::new(
                "max_in_flight",
                "the gateway has as many calls in flight or waiting as its limits for this Odoo allow (`max_in_flight`, `max_calls_per_second`)",
                "check again in a minute; if it stays so, find out why Odoo answers slowly, or raise the limits as far as Odoo can bear",
            ),
            CallError::Paused { .. } => Diagnosis::new(
                "max_calls_per_second",
                "Odoo, or the proxy in front of it, accepts no more calls for the moment",
                "check again in a minute; if it stays so, set `max_calls_per_second` to what the server allows",
            ),
            CallError::CutOff(source) => self.diagnose_cut_off(&**source),
            CallError::Fault(error) => self.diagnose_fault(error),
            CallError::NotOdoo(response)
            | CallError::OutcomeUnknown(UnknownOutcome::NotOdoo(response)) => {
                let setting = match response.cause {
                    ForeignCause::LoginPage => "database",
                    ForeignCause::Throttled => "max_calls_per_second",
                    ForeignCause::Blocked
                    | ForeignCause::Compressed
                    | ForeignCause::Other
                    | ForeignCause::Redirect
                    | ForeignCause::RequestTooLarge
                    | ForeignCause::Unavailable => "url",
                };
                let cause = match response.cause {
                    ForeignCause::Other => format!(
                        "{}; it begins with `{}`",
                        response.what(),
                        response.excerpt()
                    ),
                    ForeignCause::Blocked
                    | ForeignCause::Compressed
                    | ForeignCause::LoginPage
                    | ForeignCause::Redirect
                    | ForeignCause::RequestTooLarge
                    | ForeignCause::Throttled
                    | ForeignCause::Unavailable => response.what(),
                };
                Diagnosis::new(setting, cause, response.remedy())
            }
            CallError::NotSent(source)
            | CallError::OutcomeUnknown(UnknownOutcome::Internal(source)) => Diagnosis::new(
                "url",
                format!("the request could not be sent: {source}"),
                "check `url` and `database` for characters that do not belong there",
            ),
            CallError::OutcomeUnknown(
                UnknownOutcome::CutOff(source) | UnknownOutcome::Unreadable(source),
            ) => self.diagnose_cut_off(&**source),
            CallError::TimedOut { limit }
            | CallError::OutcomeUnknown(UnknownOutcome::TimedOut { limit }) => Diagnosis::new(
                "url",
                format!(
                    "{} accepts connections, but did not answer within {} s",
                    self.address().authority,
                    limit.as_secs_f32()
                ),
                "check that Odoo runs and has free workers; its log shows whether the request arrived",
            ),
            CallError::TooLarge { limit }
            | CallError::OutcomeUnknown(UnknownOutcome::TooLarge { limit }) => Diagnosis::new(
                "url",
                format!("the answer is larger than {}", size(*limit)),
                if *limit == self.max_answer_bytes() {
                    "check that `url` is the address of an Odoo 19 or later, or raise `max_answer_bytes`"
                } else {
                    "check that `url` is the address of an Odoo 19 or later"
                },
            ),
            CallError::Unreachable(source) => self.diagnose_unreachable(&**source),
        }
    }

    fn diagnose_fault(&self, error: &OdooError) -> Diagnosis {
        let database = self.database();
        match error {
            OdooError::KeyRejected => {
                Diagnosis::new("api_key", "Odoo does not accept this API key", CREATE_KEY)
            }
            OdooError::UnknownDatabase => match database {
                Some(name) => Diagnosis::new(
                    "database",
                    format!(
                        "this Odoo has no database `{name}`, or does not serve it under this name of a host"
                    ),
                    format!(
                        "write the name as Odoo's database manager shows it ({}/web/database/manager); Odoo's `dbfilter` may hide it",
                        self.url()
                    ),
                ),
                None => Diagnosis::new(
                    "database",
                    "this Odoo has no database, or several, and `database` does not say which one to use",
                    format!(
                        "set `database` to a name that Odoo's database manager shows ({}/web/database/manager)",
                        self.url()
                    ),
                ),
            },
            OdooError::UnknownMethod | OdooError::UnknownModel => Diagnosis::new(
                "url",
                "this Odoo does not know the method `res.users/context_get`",
                "check that it is an Odoo 19 or later; older versions have no JSON/2 API",
            ),
            OdooError::Access(_) => Diagnosis::new(
                "api_key",
                "the Odoo user of this API key may not even read its own account",
                "use the key of an internal user, with the groups that its work needs",
            ),
            OdooError::Arguments(_)
            | OdooError::Conflict
            | OdooError::Database
            | OdooError::IdentityCheck
            | OdooError::Invalid(_)
            | OdooError::MissingRecord
            | OdooError::Rows(_)
            | OdooError::RuleViolation(_)
            | OdooError::Unknown => Diagnosis::new(
                "url",
                format!(
                    "Odoo answered the question for the key's own user with an error ({})",
                    error.kind()
                ),
                "Odoo's log has the details, at this time",
            ),
        }
    }

    fn diagnose_cut_off(&self, source: &(dyn Error + 'static)) -> Diagnosis {
        if let Some(failure) = HandshakeFailure::find(source, PeerProtocol::Http) {
            return of_handshake(&failure);
        }
        let parsed = source.downcast_ref::<hyper::Error>();
        if parsed.is_some_and(hyper::Error::is_parse_too_large) {
            Diagnosis::new(
                "url",
                format!(
                    "the header of the server's answer is larger than {}, or has more than 100 fields",
                    size(MAX_HEAD_BYTES)
                ),
                "check that `url` is the address of an Odoo 19 or later, and which header fields the proxy in front of it adds",
            )
        } else if !parsed.is_some_and(hyper::Error::is_parse) {
            Diagnosis::new(
                "url",
                format!(
                    "the server closed the connection before its answer was complete ({})",
                    with_causes(source)
                ),
                "check that Odoo runs, and the logs of Odoo and of the proxy in front of it",
            )
        } else {
            let remedy = if self.address().tls {
                "check that `url` is the address of an Odoo 19 or later"
            } else {
                "write `https://` in `url` if this port speaks TLS, otherwise check that it is Odoo's"
            };
            Diagnosis::new(
                "url",
                "the server answers with something that is not valid HTTP",
                remedy,
            )
        }
    }

    fn diagnose_unreachable(&self, source: &(dyn Error + 'static)) -> Diagnosis {
        if let Some(failure) = HandshakeFailure::find(source, PeerProtocol::Http) {
            return of_handshake(&failure);
        }
        let address = self.address();
        let (host, port) = (&address.host, address.port);
        if source.is::<Elapsed>() {
            return Diagnosis::new(
                "url",
                format!("no connection to {host}, port {port}, could be opened in time"),
                "check the address, whether the DNS of this machine answers, and whether a firewall drops the packets",
            );
        }
        let kind = source.downcast_ref::<io::Error>().map(io::Error::kind);
        match kind {
            Some(io::ErrorKind::ConnectionRefused) => Diagnosis::new(
                "url",
                format!("nothing accepts connections at {host}, port {port}"),
                "check that Odoo runs, and the host and port; in a container, `localhost` is the container itself",
            ),
            Some(io::ErrorKind::UnexpectedEof) if address.tls => Diagnosis::new(
                "url",
                "the server closed the connection during the TLS handshake",
                "check that this port speaks TLS, and the server's log",
            ),
            _ => {
                let cause = with_causes(source);
                if cause.contains("failed to lookup address") {
                    return Diagnosis::new(
                        "url",
                        format!("the name `{host}` has no address here ({cause})"),
                        "check the name, and the DNS of this machine; in Compose, a service is found by its name from the same network only",
                    );
                }
                Diagnosis::new(
                    "url",
                    format!("no connection to {host}, port {port}, can be opened: {cause}"),
                    "check the address, routes and firewalls",
                )
            }
        }
    }
}

fn of_handshake(failure: &HandshakeFailure) -> Diagnosis {
    let setting = if failure.is_about_url() {
        "url"
    } else {
        "ca_file"
    };
    Diagnosis::new(setting, failure.to_string(), failure.remedy())
}

fn with_causes(error: &(dyn Error + 'static)) -> String {
    error_chain::sources(error)
        .map_or_else(|| error.to_string(), |causes| format!("{error}: {causes}"))
}
