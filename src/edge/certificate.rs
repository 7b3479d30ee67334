//! The listeners' certificate, reloaded when its files change.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use pingora::listeners::tls::Acceptor;
use rustls::{
    ServerConfig,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use tokio::time::sleep;
use tracing::{error, info, warn};

use crate::config::TlsConfig;
use gatepost_base::{digest::parts_digest, sync::lock};
use gatepost_tls::{
    CertificateProblem, InvalidServerCertificate, ServerCertificate, ServerCertificateFiles,
};

/// How often the files are checked.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// The certificate for the next handshake.
#[derive(Debug)]
pub(super) struct Certificate {
    files: TlsConfig,
    current: ArcSwap<ServerCertificate>,
    /// Of the files that were read last, valid or not, so that each error is logged once.
    last_fingerprint: Mutex<[u8; 32]>,
    /// The problem with its validity that was logged last.
    logged_problem: Mutex<Option<CertificateProblem>>,
}

impl Certificate {
    /// Reads the files. Logs a certificate that clients refuse, or soon will.
    ///
    /// # Errors
    /// [`InvalidServerCertificate`].
    pub(super) fn load(files: &TlsConfig) -> Result<Self, InvalidServerCertificate> {
        let read = read_files(files)?;
        let loaded = Self {
            current: ArcSwap::from_pointee(read.parse()?),
            last_fingerprint: Mutex::new(parts_digest(&[&read.certificate, &read.key])),
            logged_problem: Mutex::new(None),
            files: files.clone(),
        };
        loaded.log_problem(Timestamp::now());
        Ok(loaded)
    }

    /// TLS 1.2 and 1.3 with this certificate, offering HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    /// If the TLS library rejects its own defaults.
    pub(super) fn acceptor(self: &Arc<Self>) -> Result<Acceptor, rustls::Error> {
        // Named here, so that the default provider of the process is not used or set.
        let provider = Arc::new(ring::default_provider());
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Self>::clone(self);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Tickets instead of a session table, so that any number of clients can resume.
        config.ticketer = ring::Ticketer::new()?;
        Ok(Acceptor::from_server_config(Arc::new(config)))
    }

    /// Reloads the files if they changed. A pair that cannot be used is logged once,
    /// and the current one stays.
    ///
    /// # Errors
    /// [`InvalidServerCertificate`].
    pub(super) fn reload(&self) -> Result<(), InvalidServerCertificate> {
        let result = self.reload_if_changed();
        log_reload(&result);
        result.map(drop)
    }

    /// What is wrong with the validity of the current certificate; also logged, once.
    pub(super) fn problem(&self, now: Timestamp) -> Option<CertificateProblem> {
        self.log_problem(now);
        self.current.load().validity.problem(now)
    }

    /// When the server's own certificate expires, in seconds since 1970.
    pub(super) fn expires_at(&self) -> i64 {
        self.current.load().validity.not_after.as_second()
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
                    let missing = matches!(&result, Err(error) if error.is_unreadable());
                    // Logged once, not every two seconds.
                    if !(missing && was_missing) {
                        log_reload(&result);
                    }
                    was_missing = missing;
                    self.log_problem(Timestamp::now());
                }
                Err(e) => warn!(error = %e, "Failed to reload the certificate"),
            }
        }
    }

    #[cfg(test)]
    pub(super) fn current_certificate(&self) -> rustls::pki_types::CertificateDer<'static> {
        let current = self.current.load();
        current.certified_key.cert.first().cloned().unwrap()
    }

    /// Whether the files changed.
    fn reload_if_changed(&self) -> Result<bool, InvalidServerCertificate> {
        let read = read_files(&self.files)?;
        let fingerprint = parts_digest(&[&read.certificate, &read.key]);
        if std::mem::replace(&mut *lock(&self.last_fingerprint), fingerprint) == fingerprint {
            return Ok(false);
        }
        self.current.store(Arc::new(read.parse()?));
        Ok(true)
    }

    /// Logs that clients refuse the certificate, or soon will: once, and each day
    /// of its last 30 anew.
    fn log_problem(&self, now: Timestamp) {
        let problem = self.current.load().validity.problem(now);
        if std::mem::replace(&mut *lock(&self.logged_problem), problem) == problem {
            return;
        }
        let file = self.files.certificate_file.display();
        match problem {
            Some(problem) if problem.is_refused() => error!(
                %problem,
                remedy = problem.remedy(),
                %file,
                "Found a certificate of the listeners that clients refuse"
            ),
            Some(problem) => warn!(
                %problem,
                remedy = problem.remedy(),
                %file,
                "Found a certificate of the listeners that ends soon"
            ),
            None => {}
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.load().certified_key))
    }
}

fn log_reload(result: &Result<bool, InvalidServerCertificate>) {
    match result {
        Ok(true) => info!("Loaded the new certificate"),
        Ok(false) => {}
        Err(e) => warn!(error = %e, "Failed to load the new certificate; the current one stays"),
    }
}

fn read_files(files: &TlsConfig) -> Result<ServerCertificateFiles<'_>, InvalidServerCertificate> {
    ServerCertificateFiles::read(&files.certificate_file, &files.key_file)
}
