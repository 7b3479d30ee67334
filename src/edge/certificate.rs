//! The listeners' certificate, reloaded when its files change.

use std::{
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use arc_swap::ArcSwap;
use pingora::listeners::tls::Acceptor;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use tokio::time::sleep;
use tracing::{info, warn};
use x509_parser::parse_x509_certificate;

use crate::config::Tls;
use gatepost_base::{digest::parts_digest, sync::lock};

/// How often the files are checked.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// The certificate for the next handshake.
#[derive(Debug)]
pub(super) struct Certificate {
    files: Tls,
    current: ArcSwap<CertifiedKey>,
    /// Of the files that were read last, valid or not, so that each error is logged once.
    last_fingerprint: Mutex<[u8; 32]>,
}

/// A certificate that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadCertificate {
    /// A file cannot be read.
    #[error("`{setting}`: cannot read `{path}`: {source}")]
    CannotRead {
        /// The setting that names the file.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A file has the wrong content.
    #[error("`{setting}`: `{path}` is not {expected} in PEM")]
    NotPem {
        /// The setting that names the file.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What it should contain.
        expected: &'static str,
        /// The reason.
        source: pem::Error,
    },
    /// Certificate and key do not match, or cannot be used.
    #[error("`server.tls`: certificate and key do not match: {0}")]
    UnusablePair(#[source] rustls::Error),
    /// The TLS library rejects its own defaults.
    #[error("`server.tls`: cannot set up TLS: {0}")]
    TlsSetup(#[source] rustls::Error),
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// [`BadCertificate`].
    pub(super) fn load(files: &Tls) -> Result<Self, BadCertificate> {
        let (certificate, key) = read_files(files)?;
        let fingerprint = parts_digest(&[&certificate, &key]);
        Ok(Self {
            current: ArcSwap::from_pointee(parse(files, &certificate, &key)?),
            files: files.clone(),
            last_fingerprint: Mutex::new(fingerprint),
        })
    }

    /// TLS 1.2 and 1.3 with this certificate, offering HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    /// [`BadCertificate::TlsSetup`].
    pub(super) fn acceptor(self: &Arc<Self>) -> Result<Acceptor, BadCertificate> {
        // Named here, so that the default provider of the process is not used or set.
        let provider = Arc::new(ring::default_provider());
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Self>::clone(self);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(BadCertificate::TlsSetup)?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Tickets instead of a session table, so that any number of clients can resume.
        config.ticketer = ring::Ticketer::new().map_err(BadCertificate::TlsSetup)?;
        Ok(Acceptor::from_server_config(Arc::new(config)))
    }

    /// Reloads the files if they changed. A pair that cannot be used is logged once,
    /// and the current one stays.
    ///
    /// # Errors
    /// [`BadCertificate`].
    pub(super) fn reload(&self) -> Result<(), BadCertificate> {
        let result = self.reload_if_changed();
        log_reload(&result);
        result.map(drop)
    }

    /// When the server's own certificate expires, in seconds since 1970; `None` if
    /// that cannot be parsed.
    pub(super) fn expires_at(&self) -> Option<i64> {
        let current = self.current.load();
        let (_, certificate) = parse_x509_certificate(current.cert.first()?).ok()?;
        Some(certificate.validity().not_after.timestamp())
    }

    /// Reloads until the process ends.
    pub(super) async fn watch(self: Arc<Self>) {
        let mut was_missing = false;
        loop {
            sleep(POLL_INTERVAL).await;
            let certificate = Arc::clone(&self);
            // Reading files blocks.
            let reload = move || certificate.reload_if_changed();
            match tokio::task::spawn_blocking(reload).await {
                Ok(result) => {
                    let missing = matches!(result, Err(BadCertificate::CannotRead { .. }));
                    // Logged once, not every two seconds.
                    if !(missing && was_missing) {
                        log_reload(&result);
                    }
                    was_missing = missing;
                }
                Err(e) => warn!(error = %e, "Failed to reload the certificate"),
            }
        }
    }

    #[cfg(test)]
    pub(super) fn current_certificate(&self) -> CertificateDer<'static> {
        self.current.load().cert.first().cloned().unwrap()
    }

    /// Whether the files changed.
    fn reload_if_changed(&self) -> Result<bool, BadCertificate> {
        let (certificate, key) = read_files(&self.files)?;
        let fingerprint = parts_digest(&[&certificate, &key]);
        if std::mem::replace(&mut *lock(&self.last_fingerprint), fingerprint) == fingerprint {
            return Ok(false);
        }
        let current = parse(&self.files, &certificate, &key)?;
        self.current.store(Arc::new(current));
        Ok(true)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn log_reload(result: &Result<bool, BadCertificate>) {
    match result {
        Ok(true) => info!("Loaded the new certificate"),
        Ok(false) => {}
        Err(e) => warn!(error = %e, "Failed to load the new certificate; the current one stays"),
    }
}

const CERTIFICATE_SETTING: &str = "server.tls.certificate_file";
const KEY_SETTING: &str = "server.tls.key_file";

fn read_files(files: &Tls) -> Result<(Vec<u8>, Vec<u8>), BadCertificate> {
    let file = |setting, path: &PathBuf| {
        fs::read(path).map_err(|source| BadCertificate::CannotRead {
            setting,
            path: path.clone(),
            source,
        })
    };
    Ok((
        file(CERTIFICATE_SETTING, &files.certificate_file)?,
        file(KEY_SETTING, &files.key_file)?,
    ))
}

fn parse(files: &Tls, certificate: &[u8], key: &[u8]) -> Result<CertifiedKey, BadCertificate> {
    let not_pem = |setting, path: &PathBuf, expected| {
        let path = path.clone();
        move |source| BadCertificate::NotPem {
            setting,
            path,
            expected,
            source,
        }
    };
    let chain = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<Vec<_>, _>>()
        .and_then(|chain| {
            if chain.is_empty() {
                return Err(pem::Error::NoItemsFound);
            }
            Ok(chain)
        })
        .map_err(not_pem(
            CERTIFICATE_SETTING,
            &files.certificate_file,
            "a certificate",
        ))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(not_pem(
        KEY_SETTING,
        &files.key_file,
        "a private key",
    ))?;
    CertifiedKey::from_der(chain, key, &ring::default_provider())
        .map_err(BadCertificate::UnusablePair)
}
