//! The certificate and private key of a TLS server, in two PEM files.

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use rustls::{
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer, ServerName,
        pem::{self, PemObject, SectionKind},
    },
    sign::CertifiedKey,
};
use x509_parser::parse_x509_certificate;

use super::{CertificateValidity, HandshakeFailure, handshake_failure::unusable};

/// A certificate chain with its private key, which fit together.
#[derive(Debug)]
pub struct ServerCertificate {
    /// For the handshakes.
    pub certified_key: Arc<CertifiedKey>,
    /// From when to when the server's own certificate is valid.
    pub validity: CertificateValidity,
    /// Whether it is the certificate of an authority (RFC 5280, section 4.2.1.9), which
    /// some clients refuse from a server.
    pub is_authority: bool,
}

/// The contents of both files, not parsed yet.
#[derive(PartialEq, Eq)]
pub struct ServerCertificateFiles<'a> {
    paths: [&'a Path; 2],
    /// The certificate chain in PEM, the server's own first.
    pub certificate: Vec<u8>,
    /// The private key in PEM.
    pub key: Vec<u8>,
}

/// A certificate, or its key, that cannot be used. `Display` is for the
/// administrator, names the file and never contains the key.
#[derive(Debug, thiserror::Error)]
pub enum InvalidServerCertificate {
    /// The file of the certificate cannot be used.
    #[error("{0} {1}")]
    Certificate(PathBuf, #[source] InvalidPemFile),
    /// The file of the key cannot be used.
    #[error("{0} {1}")]
    Key(PathBuf, #[source] InvalidPemFile),
    /// The key belongs to another certificate.
    #[error("the private key in {key} does not belong to the first certificate in {certificate}")]
    KeyMismatch {
        /// The file with the certificate.
        certificate: PathBuf,
        /// The file with the key.
        key: PathBuf,
    },
}

/// Why one of the two files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidPemFile {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    CannotRead(#[source] io::Error),
    /// A section of it has no end.
    #[error("is cut off: a line `-----BEGIN …-----` has no line `-----END …-----`")]
    CutOff,
    /// What it holds cannot be parsed.
    #[error("is damaged: its contents cannot be parsed")]
    Damaged(#[source] Box<dyn Error + Send + Sync>),
    /// The private key is encrypted.
    #[error("holds a private key that is encrypted with a passphrase")]
    EncryptedKey,
    /// It holds a certificate where a private key is needed.
    #[error("holds a certificate and no private key")]
    HoldsCertificate,
    /// It holds a private key where a certificate is needed.
    #[error("holds a private key and no certificate")]
    HoldsKey,
    /// Nothing in it is what is needed.
    #[error("holds no {0} in PEM")]
    Nothing(&'static str),
    /// The private key is not one that the TLS library can use.
    #[error("holds a private key that is damaged, or of a kind that is not supported")]
    UnsupportedKey(#[source] rustls::Error),
    /// The certificate has a property that TLS servers cannot have, in our words.
    #[error("holds a certificate that {0}")]
    Unusable(&'static str),
}

impl<'a> ServerCertificateFiles<'a> {
    /// Reads both files.
    ///
    /// # Errors
    /// [`InvalidPemFile::CannotRead`] for the one that cannot be read.
    pub fn read(certificate: &'a Path, key: &'a Path) -> Result<Self, InvalidServerCertificate> {
        let cannot_read = InvalidPemFile::CannotRead;
        Ok(Self {
            paths: [certificate, key],
            certificate: fs::read(certificate).map_err(|error| {
                InvalidServerCertificate::Certificate(certificate.to_owned(), cannot_read(error))
            })?,
            key: fs::read(key).map_err(|error| {
                InvalidServerCertificate::Key(key.to_owned(), cannot_read(error))
            })?,
        })
    }

    /// Parses both, and checks that they fit together. Whether the certificate is
    /// valid now is not checked ([`CertificateValidity::problem`]).
    ///
    /// # Errors
    /// [`InvalidServerCertificate`].
    pub fn parse(&self) -> Result<ServerCertificate, InvalidServerCertificate> {
        let [certificate_path, key_path] = self.paths.map(Path::to_owned);
        let (chain, validity, is_authority) =
            parse_chain(&self.certificate).map_err(|invalid| {
                InvalidServerCertificate::Certificate(certificate_path.clone(), invalid)
            })?;
        let of_key = |invalid| InvalidServerCertificate::Key(key_path.clone(), invalid);
        let key = parse_key(&self.key).map_err(of_key)?;
        match CertifiedKey::from_der(chain, key, &ring::default_provider()) {
            Ok(certified_key) => Ok(ServerCertificate {
                certified_key: Arc::new(certified_key),
                validity,
                is_authority,
            }),
            Err(rustls::Error::InconsistentKeys(_)) => Err(InvalidServerCertificate::KeyMismatch {
                certificate: certificate_path,
                key: key_path,
            }),
            Err(rustls::Error::InvalidCertificate(error)) => {
                let invalid = unusable(&error).map_or_else(
                    || InvalidPemFile::Damaged(rustls::Error::InvalidCertificate(error).into()),
                    InvalidPemFile::Unusable,
                );
                Err(InvalidServerCertificate::Certificate(
                    certificate_path,
                    invalid,
                ))
            }
            Err(error) => Err(of_key(InvalidPemFile::UnsupportedKey(error))),
        }
    }
}

impl ServerCertificate {
    /// Reads and parses both files.
    ///
    /// # Errors
    /// [`InvalidServerCertificate`].
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, InvalidServerCertificate> {
        ServerCertificateFiles::read(certificate, key)?.parse()
    }

    /// Why clients that connect to this host, a DNS name or an IP address, refuse it;
    /// `None` if they do not.
    pub fn wrong_name(&self, host: &str) -> Option<HandshakeFailure> {
        let name = ServerName::try_from(host).ok()?;
        let own = self.certified_key.end_entity_cert().ok()?;
        let own = webpki::EndEntityCert::try_from(own).ok()?;
        match own.verify_is_valid_for_subject_name(&name) {
            Err(webpki::Error::CertNotValidForName(context)) => {
                Some(HandshakeFailure::wrong_name(host, &context.presented))
            }
            Ok(()) | Err(_) => None,
        }
    }
}

impl InvalidServerCertificate {
    /// The key of `[server.tls]` that names the file.
    pub fn setting(&self) -> &'static str {
        match self {
            Self::Certificate(..) => "certificate_file",
            Self::Key(..) | Self::KeyMismatch { .. } => "key_file",
        }
    }

    /// Whether a file cannot be read, as while it is being replaced.
    pub fn is_unreadable(&self) -> bool {
        matches!(
            self,
            Self::Certificate(_, InvalidPemFile::CannotRead(_))
                | Self::Key(_, InvalidPemFile::CannotRead(_))
        )
    }

    /// What the administrator can do; `None` where the text says it.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Certificate(_, problem) | Self::Key(_, problem) => match problem {
                InvalidPemFile::CannotRead(_) => None,
                InvalidPemFile::CutOff | InvalidPemFile::Damaged(_) => {
                    Some("copy the whole file again from where it was issued, or issue it again")
                }
                InvalidPemFile::EncryptedKey => {
                    Some("decrypt it: `openssl pkey -in ENCRYPTED -out KEY`, then `chmod 600 KEY`")
                }
                InvalidPemFile::HoldsCertificate | InvalidPemFile::HoldsKey => Some(
                    "`certificate_file` names the certificate, `key_file` its private key; exchange them if they are the wrong way round",
                ),
                InvalidPemFile::Nothing(_) => Some(
                    "PEM is text that begins with `-----BEGIN`; `openssl x509 -inform der -in FILE` converts a certificate in DER",
                ),
                InvalidPemFile::UnsupportedKey(_) => Some(
                    "copy the whole file again, or make another key: RSA with 2048 to 4096 bits, an EC key on P-256 or P-384, or Ed25519",
                ),
                InvalidPemFile::Unusable(_) => {
                    Some("issue another one, of version 3, for this key")
                }
            },
            Self::KeyMismatch { .. } => Some(
                "name the key that the certificate was requested with; in a chain, the server's own certificate comes first",
            ),
        }
    }
}

fn parse_chain(
    pem: &[u8],
) -> Result<(Vec<CertificateDer<'static>>, CertificateValidity, bool), InvalidPemFile> {
    let chain = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(of_pem)?;
    let own = chain.first().ok_or_else(|| {
        if contains(pem, is_private_key) {
            InvalidPemFile::HoldsKey
        } else {
            InvalidPemFile::Nothing("certificate")
        }
    })?;
    let (_, parsed) =
        parse_x509_certificate(own).map_err(|error| InvalidPemFile::Damaged(error.into()))?;
    let time = |seconds: i64| {
        Timestamp::from_second(seconds).map_err(|error| InvalidPemFile::Damaged(error.into()))
    };
    let validity = CertificateValidity {
        not_before: time(parsed.validity().not_before.timestamp())?,
        not_after: time(parsed.validity().not_after.timestamp())?,
    };
    let is_authority = parsed.is_ca();
    Ok((chain, validity, is_authority))
}

fn parse_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, InvalidPemFile> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
        if !matches!(error, pem::Error::NoItemsFound) {
            return of_pem(error);
        }
        if pem
            .windows(ENCRYPTED_KEY.len())
            .any(|part| part == ENCRYPTED_KEY)
        {
            InvalidPemFile::EncryptedKey
        } else if contains(pem, |kind| kind == SectionKind::Certificate) {
            InvalidPemFile::HoldsCertificate
        } else {
            InvalidPemFile::Nothing("private key")
        }
    })
}

fn of_pem(error: pem::Error) -> InvalidPemFile {
    if matches!(error, pem::Error::MissingSectionEnd { .. }) {
        InvalidPemFile::CutOff
    } else {
        InvalidPemFile::Damaged(error.into())
    }
}

/// The label of an encrypted key (RFC 7468, section 11), which the PEM reader skips.
const ENCRYPTED_KEY: &[u8] = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";

/// Whether PEM text has a section of a kind.
fn contains(mut pem: &[u8], is_wanted: impl Fn(SectionKind) -> bool) -> bool {
    while let Ok(Some((kind, _))) = pem::from_buf(&mut pem) {
        if is_wanted(kind) {
            return true;
        }
    }
    false
}

fn is_private_key(kind: SectionKind) -> bool {
    matches!(
        kind,
        SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertifiedKey, generate_simple_self_signed};

    use super::ServerCertificate;

    #[test]
    fn each_unusable_pair_has_its_own_cause_and_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let pair = || {
            let CertifiedKey { cert, signing_key } =
                generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            (cert.pem(), signing_key.serialize_pem())
        };
        let ((certificate, key), (_, other_key)) = (pair(), pair());
        let encrypted =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let broken = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        let not_base64 = "-----BEGIN CERTIFICATE-----\n<html>\n-----END CERTIFICATE-----\n";
        let broken_key = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n";
        let pairs: [(&str, Option<&str>, Option<&str>); 15] = [
            ("right", Some(&certificate), Some(&key)),
            ("no certificate file", None, Some(&key)),
            ("no key file", Some(&certificate), None),
            ("key as certificate", Some(&key), Some(&key)),
            ("certificate as key", Some(&certificate), Some(&certificate)),
            ("key of another", Some(&certificate), Some(&other_key)),
            ("text as certificate", Some("hello"), Some(&key)),
            ("text as key", Some(&certificate), Some("hello")),
            ("encrypted key", Some(&certificate), Some(encrypted)),
            ("cut certificate", Some(broken), Some(&key)),
            (
                "unfinished certificate",
                Some("-----BEGIN CERTIFICATE-----\nMIIB\n"),
                Some(&key),
            ),
            ("certificate not in base 64", Some(not_base64), Some(&key)),
            ("cut key", Some(&certificate), Some(broken_key)),
            (
                "unfinished key",
                Some(&certificate),
                Some("-----BEGIN PRIVATE KEY-----\nMIIB\n"),
            ),
            (
                "certificate of version 1",
                Some(include_str!(
                    "../../../tests/fixtures/identity/version_1_certificate.pem"
                )),
                Some(include_str!("../../../tests/fixtures/identity/ec_p256.pem")),
            ),
        ];
        let lines = pairs.map(|(name, certificate, key)| {
            let file = |name: &str, text: Option<&str>| {
                let path = folder.path().join(name);
                drop(fs::remove_file(&path));
                text.inspect(|text| fs::write(&path, text).unwrap());
                path
            };
            let (certificate, key) = (file("cert.pem", certificate), file("key.pem", key));
            match ServerCertificate::load(&certificate, &key) {
                Ok(_) => format!("{name}: usable"),
                Err(error) => format!(
                    "{name}: {}: {error}\n    {}",
                    error.setting(),
                    error.remedy().unwrap_or("-")
                ),
            }
        });
        let folder = folder.path().display().to_string();
        insta::assert_snapshot!(lines.join("\n").replace(&folder, "/etc"));
    }
}
