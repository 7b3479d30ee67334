//! From a path and a host to an instance.

use std::{collections::BTreeMap, sync::Arc};

use crate::{access::Instance, names::InstanceName};

/// Which instance a request is for.
///
/// Every instance has `/<name>/mcp`, whatever the host; its public URLs are
/// routes of their own; and where there is only one, `/mcp` is its too. Names
/// are matched without regard to ASCII case, for hosted clients are known to
/// rewrite it (`facts/oauth.md`, D6).
#[derive(Debug, Default)]
pub struct Routes {
    instances: BTreeMap<InstanceName, Arc<Instance>>,
    /// Host (lower case, default port left out) and path to instance.
    public: BTreeMap<(String, String), InstanceName>,
    /// Scheme, host and port of all public URLs.
    origins: Vec<String>,
}

impl Routes {
    /// Routes for these instances, each with its public URLs.
    pub fn new(instances: Vec<(Arc<Instance>, Vec<String>)>) -> Self {
        let mut routes = Self::default();
        for (instance, urls) in instances {
            let name = instance.name().clone();
            for url in urls {
                let Ok(url) = url.parse::<http::Uri>() else {
                    continue;
                };
                let (Some(scheme), Some(authority)) = (url.scheme_str(), url.authority()) else {
                    continue;
                };
                let host = plain_host(authority.as_str());
                routes.origins.push(format!("{scheme}://{host}"));
                routes
                    .public
                    .insert((host, plain_path(url.path())), name.clone());
            }
            routes.instances.insert(name, instance);
        }
        routes
    }

    /// The instance that a request to this host and path is for.
    ///
    /// Dot segments, empty segments, encoded characters and unknown names all
    /// find nothing: the path must be one we would have written.
    pub fn find(&self, host: Option<&str>, path: &str) -> Option<&Arc<Instance>> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-' | b'_' | b'.');
        if !path.bytes().all(fits)
            || path.contains("//")
            || path.split('/').any(|s| s == "." || s == "..")
        {
            return None;
        }
        let path = plain_path(path);
        if let Some(host) = host
            && let Some(name) = self.public.get(&(plain_host(host), path.clone()))
        {
            return self.instances.get(name);
        }
        if path == "/mcp" && self.instances.len() == 1 {
            return self.instances.values().next();
        }
        let name = path.strip_prefix('/')?.strip_suffix("/mcp")?;
        self.instances.get(name)
    }

    /// The instance of a name.
    pub fn instance(&self, name: &InstanceName) -> Option<&Arc<Instance>> {
        self.instances.get(name)
    }

    /// All instances, in the order of their names.
    pub fn instances(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.instances.values()
    }

    /// Whether any public URL has this host.
    pub fn is_public_host(&self, host: &str) -> bool {
        let host = plain_host(host);
        self.public.keys().any(|(public, _)| *public == host)
    }

    /// Whether any public URL has this origin.
    pub fn is_public_origin(&self, origin: &str) -> bool {
        self.origins.iter().any(|public| public == origin)
    }
}

/// A path in lower case, without a slash at its end.
fn plain_path(path: &str) -> String {
    let path = path.strip_suffix('/').unwrap_or(path);
    path.to_ascii_lowercase()
}

/// Host and port in lower case, without the port that the scheme implies.
fn plain_host(authority: &str) -> String {
    let host = authority.to_ascii_lowercase();
    let plain = host
        .strip_suffix(":443")
        .or_else(|| host.strip_suffix(":80"))
        .unwrap_or(&host);
    plain.to_owned()
}
