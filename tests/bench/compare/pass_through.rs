//! Pingora's own proxy, passing through what it receives: the least that a proxy on
//! the gateway's foundation costs.

use std::{net::SocketAddr, path::PathBuf};

use async_trait::async_trait;
use pingora::{
    listeners::tls::TlsSettings,
    server::{Server, configuration::ServerConf},
    upstreams::peer::HttpPeer,
};
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

/// Where it listens and passes requests to.
#[derive(clap::Args)]
pub(super) struct PassThroughArguments {
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    listen_tls: SocketAddr,
    #[arg(long)]
    certificate: PathBuf,
    #[arg(long)]
    key: PathBuf,
    #[arg(long)]
    upstream: SocketAddr,
}

struct PassThrough(SocketAddr);

#[async_trait]
impl ProxyHttp for PassThrough {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        (): &mut Self::CTX,
    ) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.0, false, String::new())))
    }
}

/// Serves until the process is ended.
pub(super) fn serve(arguments: &PassThroughArguments) {
    let settings = ServerConf {
        threads: 2,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, settings);
    server.bootstrap();
    let mut proxy = http_proxy_service(&server.configuration, PassThrough(arguments.upstream));
    proxy.add_tcp(&arguments.listen.to_string());
    let [certificate, key] =
        [&arguments.certificate, &arguments.key].map(|path| path.to_str().unwrap());
    let mut tls = TlsSettings::intermediate(certificate, key).unwrap();
    tls.enable_h2();
    proxy.add_tls_with_settings(&arguments.listen_tls.to_string(), None, tls);
    server.add_service(proxy);
    server.run_forever();
}
