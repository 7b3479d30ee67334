//! From a path and a host to an instance.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::TokenPolicy;
use crate::access::Instance;
use gatepost_base::InstanceName;
use gatepost_identity::{PROTECTED_RESOURCE_PATH, ProtectedResource};

/// One instance as clients reach it.
#[derive(Debug)]
pub struct Endpoint {
    /// The instance.
    pub instance: Arc<Instance>,
    /// Whose tokens it takes.
    pub token_policy: TokenPolicy,
    /// Its public URLs; the first is the one to show.
    pub public_urls: Vec<String>,
    /// The same as clients of OAuth see them; none where no provider vouches.
    pub protected_resources: Vec<ProtectedResource>,
}

/// Which instance a request is for.
///
/// Every instance has `/<name>/mcp`, whatever the host; its public URLs are
/// routes of their own; and where there is only one, `/mcp` is its too. Names
/// are matched without regard to ASCII case, for hosted clients are known to
/// rewrite it (`facts/oauth.md`, D6).
#[derive(Debug, Default)]
pub struct Routes {
    endpoints: BTreeMap<InstanceName, Endpoint>,
    /// Host (lower case, default port left out) and path to the instance, and
    /// which of its URLs it is.
    public_routes: BTreeMap<(String, String), (InstanceName, usize)>,
    /// Scheme, host and port of all public URLs.
    origins: Vec<String>,
    /// Hosts under which we answer; empty for every host.
    hosts: BTreeSet<String>,
}

impl Routes {
    /// Routes for these endpoints. `hosts` are those under which we answer
    /// besides the ones in public URLs.
    pub fn new(endpoints: Vec<Endpoint>, hosts: &[String]) -> Self {
        let mut routes = Self {
            hosts: hosts.iter().map(|host| normalized_host(host)).collect(),
            ..Self::default()
        };
        for endpoint in endpoints {
            let name = endpoint.instance.name().clone();
            for (index, url) in endpoint.public_urls.iter().enumerate() {
                let Ok(url) = url.parse::<http::Uri>() else {
                    continue;
                };
                let (Some(scheme), Some(authority)) = (url.scheme_str(), url.authority()) else {
                    continue;
                };
                let host = normalized_host(authority.as_str());
                routes.origins.push(format!("{scheme}://{host}"));
                routes.hosts.insert(host.clone());
                let claim = (host, normalized_path(url.path()));
                routes.public_routes.insert(claim, (name.clone(), index));
            }
            routes.endpoints.insert(name, endpoint);
        }
        routes
    }

    /// The instance that a request to this host and path is for, and under
    /// which of its names.
    ///
    /// Dot segments, empty segments, encoded characters and unknown names all
    /// find nothing: the path must be one we would have written.
    pub fn find(
        &self,
        host: Option<&str>,
        path: &str,
    ) -> Option<(&Endpoint, Option<&ProtectedResource>)> {
        if !is_canonical_path(path) {
            return None;
        }
        let path = normalized_path(path);
        if let Some(host) = host
            && let Some((name, index)) = self
                .public_routes
                .get(&(normalized_host(host), path.clone()))
        {
            let endpoint = self.endpoints.get(name)?;
            return Some((endpoint, endpoint.protected_resources.get(*index)));
        }
        let endpoint = if path == "/mcp" && self.endpoints.len() == 1 {
            self.endpoints.values().next()
        } else {
            let name = path.strip_prefix('/')?.strip_suffix("/mcp")?;
            self.endpoints.get(name)
        };
        endpoint.map(|endpoint| (endpoint, endpoint.protected_resources.first()))
    }

    /// The resource whose metadata stand at this path: where RFC 9728 section
    /// 3.1 puts them, behind the resource (as older clients ask), or at the
    /// root of a host that has only one.
    pub fn metadata_resource(&self, host: Option<&str>, path: &str) -> Option<&ProtectedResource> {
        if !is_canonical_path(path) {
            return None;
        }
        let of = path
            .strip_prefix(PROTECTED_RESOURCE_PATH)
            .or_else(|| path.strip_suffix(PROTECTED_RESOURCE_PATH))?;
        if !of.is_empty() {
            return self.find(host, of)?.1;
        }
        let host = normalized_host(host?);
        let mut at_host = self
            .public_routes
            .iter()
            .filter(|((one, _), _)| *one == host);
        let (_, (name, index)) = at_host.next()?;
        let only = at_host.next().is_none();
        self.endpoints
            .get(name)?
            .protected_resources
            .get(*index)
            .filter(|_| only)
    }

    /// The instance of a name.
    pub fn instance(&self, name: &InstanceName) -> Option<&Arc<Instance>> {
        self.endpoints.get(name).map(|endpoint| &endpoint.instance)
    }

    /// All instances, in the order of their names.
    pub fn instances(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.endpoints.values().map(|endpoint| &endpoint.instance)
    }

    /// All endpoints, in the order of their instances' names.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.values()
    }

    /// The endpoint of an instance.
    pub(super) fn endpoint(&self, name: &InstanceName) -> Option<&Endpoint> {
        self.endpoints.get(name)
    }

    /// Whether we answer under this host; `None` when we answer under all.
    pub fn answers_to(&self, host: &str) -> Option<bool> {
        let host = normalized_host(host);
        (!self.hosts.is_empty()).then(|| self.hosts.contains(&host))
    }

    /// Whether any public URL has this origin.
    pub fn is_public_origin(&self, origin: &str) -> bool {
        self.origins.iter().any(|public| public == origin)
    }
}

fn is_canonical_path(path: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-' | b'_' | b'.');
    path.bytes().all(fits)
        && !path.contains("//")
        && !path.split('/').any(|step| step == "." || step == "..")
}

/// A path in lower case, without a slash at its end.
fn normalized_path(path: &str) -> String {
    let path = path.strip_suffix('/').unwrap_or(path);
    path.to_ascii_lowercase()
}

/// Host and port in lower case, without the port that the scheme implies.
pub(super) fn normalized_host(authority: &str) -> String {
    let host = authority.to_ascii_lowercase();
    let plain = host
        .strip_suffix(":443")
        .or_else(|| host.strip_suffix(":80"))
        .unwrap_or(&host);
    plain.to_owned()
}
