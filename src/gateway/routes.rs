//! Maps a host and a path to an instance.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Endpoint, endpoint::EndpointRoute};
use crate::access::Instance;
use gatepost_base::InstanceName;
use gatepost_identity::PROTECTED_RESOURCE_PATH;

/// Which instance a request is for.
///
/// Every instance has the path `/<name>/mcp` on every host, and its public URLs;
/// a single instance also has `/mcp`. ASCII case is ignored because hosted
/// clients are known to change it (`facts/oauth.md`, D6).
#[derive(Debug, Default)]
pub struct Routes {
    endpoints: BTreeMap<InstanceName, Arc<Endpoint>>,
    /// By normalized host and path.
    by_public_url: BTreeMap<(String, String), EndpointRoute>,
    /// Scheme, host and port of all public URLs.
    origins: Vec<String>,
    /// The hosts that are served; empty for every host.
    hosts: BTreeSet<String>,
}

impl Routes {
    /// Routes for these endpoints. `hosts` are served in addition to those of
    /// the public URLs.
    pub fn new(endpoints: Vec<Endpoint>, hosts: &[String]) -> Self {
        let mut routes = Self {
            hosts: hosts.iter().map(|host| normalized_host(host)).collect(),
            ..Self::default()
        };
        for endpoint in endpoints.into_iter().map(Arc::new) {
            for (url_index, url) in endpoint.public_urls.iter().enumerate() {
                let Ok(url) = url.parse::<http::Uri>() else {
                    continue;
                };
                let (Some(scheme), Some(authority)) = (url.scheme_str(), url.authority()) else {
                    continue;
                };
                let host = normalized_host(authority.as_str());
                routes.origins.push(format!("{scheme}://{host}"));
                routes.hosts.insert(host.clone());
                let route = EndpointRoute {
                    endpoint: Arc::clone(&endpoint),
                    url_index,
                };
                let key = (host, normalized_path(url.path()));
                routes.by_public_url.insert(key, route);
            }
            let name = endpoint.instance.name().clone();
            routes.endpoints.insert(name, endpoint);
        }
        routes
    }

    /// The endpoint of a host and a path.
    ///
    /// Dot segments, empty segments, encoded characters and unknown names find
    /// nothing: only canonical paths are routes.
    pub(super) fn find(&self, host: Option<&str>, path: &str) -> Option<EndpointRoute> {
        if !is_canonical_path(path) {
            return None;
        }
        let path = normalized_path(path);
        if let Some(host) = host
            && let key = (normalized_host(host), path.clone())
            && let Some(route) = self.by_public_url.get(&key)
        {
            return Some(route.clone());
        }
        let endpoint = if is_bare_path(&path) && self.endpoints.len() == 1 {
            self.endpoints.values().next()
        } else {
            let name = path.strip_prefix('/')?.strip_suffix("/mcp")?;
            self.endpoints.get(name)
        };
        endpoint.map(EndpointRoute::canonical)
    }

    /// The endpoint of an instance.
    pub(super) fn named(&self, name: &InstanceName) -> Option<EndpointRoute> {
        self.endpoints.get(name).map(EndpointRoute::canonical)
    }

    /// The endpoint whose metadata are at this path: where RFC 9728 section 3.1
    /// puts them, after the path of the resource (as older clients ask), or at
    /// the root of a host that has only one public URL.
    pub(super) fn metadata_resource(
        &self,
        host: Option<&str>,
        path: &str,
    ) -> Option<EndpointRoute> {
        if !is_canonical_path(path) {
            return None;
        }
        let of = path
            .strip_prefix(PROTECTED_RESOURCE_PATH)
            .or_else(|| path.strip_suffix(PROTECTED_RESOURCE_PATH))?;
        let route = if of.is_empty() {
            let host = normalized_host(host?);
            let mut at_host = self
                .by_public_url
                .iter()
                .filter(|((one, _), _)| *one == host);
            let (_, route) = at_host.next().filter(|_| at_host.next().is_none())?;
            route.clone()
        } else {
            self.find(host, of)?
        };
        route.resource().is_some().then_some(route)
    }

    /// The paths and public URLs at which clients reach an instance.
    pub fn addresses(&self) -> BTreeSet<String> {
        let only = (self.endpoints.len() == 1).then(|| "/mcp".to_owned());
        let own = self.endpoints.iter().flat_map(|(name, endpoint)| {
            let path = std::iter::once(format!("/{name}/mcp"));
            path.chain(endpoint.public_urls.iter().cloned())
        });
        own.chain(only).collect()
    }

    /// All instances, in the order of their names.
    pub fn instances(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.endpoints.values().map(|endpoint| &endpoint.instance)
    }

    /// All endpoints, in the order of their instances' names.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.values().map(|endpoint| &**endpoint)
    }

    /// Whether this host is served; `None` if every host is.
    pub(super) fn serves_host(&self, host: &str) -> Option<bool> {
        let host = normalized_host(host);
        (!self.hosts.is_empty()).then(|| self.hosts.contains(&host))
    }

    /// Whether any public URL has this origin.
    pub(super) fn is_public_origin(&self, origin: &str) -> bool {
        self.origins.iter().any(|public| public == origin)
    }
}

/// Whether the path names no instance, so that only a single one has it.
pub(super) fn is_bare_path(path: &str) -> bool {
    normalized_path(path) == "/mcp"
}

fn is_canonical_path(path: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-' | b'_' | b'.');
    path.bytes().all(is_allowed)
        && !path.contains("//")
        && !path.split('/').any(|step| step == "." || step == "..")
}

/// A path in lower case, without a trailing slash.
fn normalized_path(path: &str) -> String {
    let path = path.strip_suffix('/').unwrap_or(path);
    path.to_ascii_lowercase()
}

/// Host and port in lower case, without a default port.
pub(super) fn normalized_host(authority: &str) -> String {
    let host = authority.to_ascii_lowercase();
    let plain = host
        .strip_suffix(":443")
        .or_else(|| host.strip_suffix(":80"))
        .unwrap_or(&host);
    plain.to_owned()
}
