//! From a checked configuration to a gateway.

use std::{sync::Arc, time::Duration};

use super::{Checked, Instance};
use crate::{
    access::{self, InstanceSettings},
    gateway::{Door, Gateway, Routes},
    names::InstanceName,
    upstream::{ApiKey, InvalidLink, Link, LinkSettings},
};

/// An instance that no gateway can be built with.
#[derive(Debug, thiserror::Error)]
#[error("`instances.{name}`: {source}")]
pub struct CannotAssemble {
    name: InstanceName,
    source: InvalidLink,
}

impl Checked {
    /// The gateway that this configuration describes. Nothing is connected yet.
    ///
    /// # Errors
    /// [`CannotAssemble`] names the instance and the setting.
    pub fn assemble(&self) -> Result<Gateway, CannotAssemble> {
        let mut instances = Vec::with_capacity(self.config.instances.len());
        for (name, instance) in &self.config.instances {
            let link = Link::new(link_settings(instance)).map_err(|source| CannotAssemble {
                name: name.clone(),
                source,
            })?;
            let web_url = instance.web_url.as_deref().unwrap_or(&instance.url);
            let settings = InstanceSettings {
                name: name.clone(),
                link,
                // Checked: every instance has one.
                service_key: self
                    .secrets
                    .get(name)
                    .cloned()
                    .unwrap_or_else(|| ApiKey::new("")),
                service_key_writes: instance.service_key_writes,
                credentials: self.credentials.get(name).cloned().unwrap_or_default(),
                web_url: web_url.trim_end_matches('/').into(),
                schema_ttl: Duration::from_secs(instance.schema_ttl_s),
            };
            instances.push((
                Arc::new(access::Instance::new(settings)),
                instance.public_urls.clone(),
            ));
        }
        Ok(Gateway {
            routes: Routes::new(instances),
            door: Door {
                keyring: self.keyring.clone(),
                anonymous: self.config.server.anonymous_role.clone(),
                // Who can read the configuration and its secrets may do all that it opens.
                local: self.config.roles.keys().cloned().collect(),
            },
            policy: self.config.policy(),
            allowed_origins: self.config.server.allowed_origins.clone(),
            max_body_bytes: self.config.server.max_body_bytes,
        })
    }
}

fn link_settings(instance: &Instance) -> LinkSettings {
    LinkSettings {
        url: instance.url.clone(),
        database: instance.database.clone(),
        ca_file: instance.ca_file.clone(),
        connect_timeout: Duration::from_millis(instance.connect_timeout_ms),
        timeout: Duration::from_millis(instance.timeout_ms),
        max_answer_bytes: instance.max_answer_bytes,
        max_in_flight: instance.max_in_flight,
        max_waiting: instance.max_waiting,
        max_wait: Duration::from_millis(instance.max_wait_ms),
    }
}
