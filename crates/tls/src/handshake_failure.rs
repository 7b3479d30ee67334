//! Why a TLS handshake with a server failed, in the words of an administrator.

use std::{error::Error, io};

use jiff::Timestamp;
use rustls::{CertificateError, InvalidMessage, pki_types::UnixTime};

use super::validity::minute;

/// What a server speaks where it does not speak TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeerProtocol {
    /// HTTP.
    Http,
    /// The protocol of Redis.
    Redis,
}

/// Why a TLS handshake failed. `Display` is the cause, for the administrator.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HandshakeFailure {
    /// The server shows the certificate of an authority as its own.
    #[error(
        "the server shows a certificate of an authority (CA:TRUE) as its own, which TLS clients must refuse"
    )]
    AuthorityAsServer,
    /// The server's certificate has ended.
    #[error("the server's certificate ended{}", on(*.0))]
    Ended(Option<Timestamp>),
    /// The server's certificate is not valid yet.
    #[error("the server's certificate is not valid yet{}", before(*.0))]
    NotYetValid(Option<Timestamp>),
    /// The server's answer is not TLS. Which protocol it is remains unknown.
    #[error("this port does not speak TLS; perhaps it speaks plain {}", .0.name())]
    NotTls(PeerProtocol),
    /// Any other reason, in the words of the TLS library.
    #[error("the TLS handshake failed: {0}")]
    Other(String),
    /// Any other property of the server's certificate, in our words.
    #[error("the server's certificate {0}")]
    Unusable(&'static str),
    /// No trusted authority issued the server's certificate.
    #[error(
        "the server's certificate is self-signed, or from an authority that is not trusted here"
    )]
    UnknownIssuer,
    /// The certificate is for other names.
    #[error("the server's certificate is not for the name `{expected}`{}", but_for(.presented))]
    WrongName {
        /// The name in the URL.
        expected: String,
        /// The names in the certificate.
        presented: Vec<String>,
    },
}

impl HandshakeFailure {
    /// The failure of a handshake in an error or its causes, if there is one.
    pub fn find(error: &(dyn Error + 'static), peer: PeerProtocol) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<rustls::Error>() {
                return Some(Self::of(error, peer));
            }
            // The source of an I/O error is that of the error inside it.
            let inside = error
                .downcast_ref::<io::Error>()
                .and_then(|error| error.get_ref());
            if let Some(inside) = inside {
                return Self::find(inside, peer);
            }
            next = error.source();
        }
        None
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "rustls adds errors; those without a text of ours have its own"
    )]
    fn of(error: &rustls::Error, peer: PeerProtocol) -> Self {
        let time = |time: &UnixTime| {
            let seconds = i64::try_from(time.as_secs()).ok()?;
            Timestamp::from_second(seconds).ok()
        };
        match error {
            rustls::Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => Self::NotTls(peer),
            rustls::Error::InvalidCertificate(invalid) => match invalid {
                CertificateError::Expired => Self::Ended(None),
                CertificateError::ExpiredContext { not_after, .. } => Self::Ended(time(not_after)),
                CertificateError::NotValidYet => Self::NotYetValid(None),
                CertificateError::NotValidYetContext { not_before, .. } => {
                    Self::NotYetValid(time(not_before))
                }
                // A signature does not fit an authority of the same name.
                CertificateError::BadSignature | CertificateError::UnknownIssuer => {
                    Self::UnknownIssuer
                }
                CertificateError::NotValidForNameContext {
                    expected,
                    presented,
                } => Self::wrong_name(&expected.to_str(), presented),
                CertificateError::Other(other)
                    if matches!(
                        other.0.downcast_ref::<webpki::Error>(),
                        Some(webpki::Error::CaUsedAsEndEntity)
                    ) =>
                {
                    Self::AuthorityAsServer
                }
                other => {
                    unusable(other).map_or_else(|| Self::Other(other.to_string()), Self::Unusable)
                }
            },
            other => Self::Other(other.to_string()),
        }
    }

    /// The certificate is for these names, in webpki's form, and not for this one.
    pub(super) fn wrong_name(expected: &str, presented: &[String]) -> Self {
        Self::WrongName {
            expected: expected.to_owned(),
            presented: presented.iter().map(|name| plain_name(name)).collect(),
        }
    }

    /// Whether the URL has to change, not `ca_file`.
    pub fn is_about_url(&self) -> bool {
        match self {
            Self::NotTls(_) | Self::Other(_) | Self::WrongName { .. } => true,
            Self::AuthorityAsServer
            | Self::Ended(_)
            | Self::NotYetValid(_)
            | Self::UnknownIssuer
            | Self::Unusable(_) => false,
        }
    }

    /// What the administrator can do.
    pub fn remedy(&self) -> String {
        match self {
            Self::AuthorityAsServer => "make a server certificate: `openssl req -x509 -newkey rsa:2048 -noenc -days 365 -keyout key.pem -out cert.pem -subj /CN=HOST -addext subjectAltName=DNS:HOST -addext basicConstraints=critical,CA:FALSE`; the server gets both files, and `ca_file` names a copy of cert.pem. Or let your authority sign one, and name the authority in `ca_file`".to_owned(),
            Self::Ended(_) => "renew it on the server; if it is new, compare the clocks".to_owned(),
            Self::NotYetValid(_) => "compare the clocks of this machine and of the server".to_owned(),
            Self::NotTls(peer) => format!("write `{}` instead of `{}` if it has no TLS, or correct the port", peer.schemes().0, peer.schemes().1),
            Self::Other(_) => "check that the port speaks TLS 1.2 or 1.3".to_owned(),
            Self::UnknownIssuer => "set `ca_file` to a PEM file with the certificate of that authority (of a self-signed one, with the certificate itself); if `ca_file` is set, it holds another one. If the authority is a public one, the server has to send its intermediate certificates too".to_owned(),
            Self::Unusable(_) => "issue another certificate for the server, of version 3, with an RSA key of 2048 bits or more or an EC key, a signature with SHA-256, and `extendedKeyUsage = serverAuth`".to_owned(),
            Self::WrongName { .. } => "write a name from the certificate in the URL, or issue a certificate for this name (as subjectAltName)".to_owned(),
        }
    }
}

impl PeerProtocol {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Redis => "Redis",
        }
    }

    /// The URL schemes without and with TLS.
    fn schemes(self) -> (&'static str, &'static str) {
        match self {
            Self::Http => ("http://", "https://"),
            Self::Redis => ("redis://", "rediss://"),
        }
    }
}

/// What is wrong with a certificate that no other variant describes, where it is known.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "rustls and webpki add errors; those without a text of ours have their own"
)]
pub(super) fn unusable(invalid: &CertificateError) -> Option<&'static str> {
    Some(match invalid {
        CertificateError::BadEncoding => "is damaged: it cannot be parsed",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "is not for TLS servers (its extendedKeyUsage has no serverAuth)"
        }
        CertificateError::Revoked => "is revoked",
        CertificateError::UnhandledCriticalExtension => {
            "has a critical extension that is not supported"
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "or one that issued it has a signature that is not accepted, such as one with SHA-1 or a key that is too short"
        }
        CertificateError::Other(other) => match other.0.downcast_ref::<webpki::Error>()? {
            webpki::Error::UnsupportedCertVersion => "is not of version 3 of X.509",
            _ => return None,
        },
        _ => return None,
    })
}

/// `DnsName("odoo")` as `odoo`, as webpki shows the names of a certificate.
fn plain_name(name: &str) -> String {
    let inside = name
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'));
    inside.unwrap_or(name).trim_matches('"').to_owned()
}

fn on(time: Option<Timestamp>) -> String {
    time.map_or_else(String::new, |time| format!(" on {}", minute(time)))
}

fn before(time: Option<Timestamp>) -> String {
    time.map_or_else(String::new, |time| {
        format!(", but from {} on", minute(time))
    })
}

fn but_for(names: &[String]) -> String {
    if names.is_empty() {
        return ", and has no names at all (no subjectAltName)".to_owned();
    }
    format!(", but for `{}`", names.join("`, `"))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Cursor},
        sync::Arc,
    };

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
    use rustls::{
        CertificateError, ClientConfig, ClientConnection, RootCertStore, ServerConfig,
        ServerConnection,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName},
    };

    use super::{HandshakeFailure, PeerProtocol};

    /// A self-signed certificate with its key.
    fn certificate(
        change: impl FnOnce(&mut CertificateParams),
    ) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let mut terms = CertificateParams::new(vec!["odoo.example.com".to_owned()]).unwrap();
        change(&mut terms);
        let certificate = terms.self_signed(&key).unwrap();
        (certificate.der().clone(), key.into())
    }

    fn client(trusted: &CertificateDer<'static>) -> ClientConnection {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("odoo.example.com").unwrap();
        ClientConnection::new(Arc::new(config), name).unwrap()
    }

    /// How a client fails to connect to a server with the first certificate, if it
    /// trusts the second.
    fn failure(
        (own, key): (CertificateDer<'static>, PrivateKeyDer<'static>),
        trusted: &CertificateDer<'static>,
    ) -> rustls::Error {
        let mut client = client(trusted);
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own], key)
            .unwrap();
        let mut server = ServerConnection::new(Arc::new(config)).unwrap();
        loop {
            let mut sent = Vec::new();
            client.write_tls(&mut sent).unwrap();
            server.read_tls(&mut Cursor::new(sent)).unwrap();
            server.process_new_packets().unwrap();
            let mut answered = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut answered).unwrap();
            }
            client.read_tls(&mut Cursor::new(answered)).unwrap();
            if let Err(error) = client.process_new_packets() {
                return error;
            }
        }
    }

    /// How a client fails if the server answers with these bytes.
    fn failure_with_answer(answer: &[u8]) -> rustls::Error {
        let mut client = client(&certificate(|_| {}).0);
        client.read_tls(&mut Cursor::new(answer)).unwrap();
        client.process_new_packets().unwrap_err()
    }

    /// The error as Tokio's TLS stream returns it, as the cause of another one.
    #[derive(Debug, thiserror::Error)]
    #[error("connect")]
    struct ConnectError(#[source] io::Error);

    #[test]
    fn each_failed_handshake_has_its_own_cause_and_remedy() {
        let own = |change: fn(&mut CertificateParams)| {
            let pair = certificate(change);
            let trusted = pair.0.clone();
            failure(pair, &trusted)
        };
        let failures = [
            own(|terms| terms.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            own(|terms| terms.not_after = date_time_ymd(2020, 2, 3)),
            own(|terms| terms.not_before = date_time_ymd(4000, 2, 3)),
            failure(certificate(|_| {}), &certificate(|_| {}).0),
            {
                let pair = certificate(|terms| {
                    terms.subject_alt_names =
                        CertificateParams::new(vec!["odoo".to_owned(), "10.0.0.1".to_owned()])
                            .unwrap()
                            .subject_alt_names;
                });
                let trusted = pair.0.clone();
                failure(pair, &trusted)
            },
            own(|terms| terms.subject_alt_names = Vec::new()),
            own(|terms| {
                terms.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
            }),
            rustls::Error::InvalidCertificate(CertificateError::BadEncoding),
            rustls::Error::InvalidCertificate(CertificateError::Revoked),
            rustls::Error::InvalidCertificate(CertificateError::UnhandledCriticalExtension),
            rustls::Error::InvalidCertificate(
                CertificateError::UnsupportedSignatureAlgorithmContext {
                    signature_algorithm_id: vec![1],
                    supported_algorithms: Vec::new(),
                },
            ),
            rustls::Error::InvalidCertificate(CertificateError::Other(rustls::OtherError(
                Arc::new(webpki::Error::UnsupportedCertVersion),
            ))),
            failure_with_answer(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            // A fatal alert: handshake_failure (RFC 8446, section 6).
            failure_with_answer(&[21, 3, 3, 0, 2, 2, 40]),
        ];
        let lines = failures.map(|error| {
            let error = ConnectError(io::Error::new(io::ErrorKind::InvalidData, error));
            let failure = HandshakeFailure::find(&error, PeerProtocol::Http).unwrap();
            format!(
                "{failure}\n    {} (url: {})",
                failure.remedy(),
                failure.is_about_url()
            )
        });
        insta::assert_snapshot!(lines.join("\n"));
        let redis = failure_with_answer(b"-ERR unknown command\r\n");
        let redis = HandshakeFailure::find(&redis, PeerProtocol::Redis).unwrap();
        assert_eq!(redis, HandshakeFailure::NotTls(PeerProtocol::Redis));
        assert!(redis.remedy().contains("`redis://`"));
    }

    #[test]
    fn other_errors_are_no_failed_handshake() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(
            HandshakeFailure::find(&ConnectError(refused), PeerProtocol::Http),
            None
        );
    }
}
