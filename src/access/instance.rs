//! One Odoo instance, with what is remembered of it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use moka::future::Cache;

use super::{
    Company, Denied, OdooUser, Tally,
    facts::{CompanyRow, LanguageRow, UserRow, WhoAmI},
};
use crate::{
    names::InstanceName,
    odoo::{Call, Inquiry, ModelName, Schema},
    policy::{Forbidden, Permitted},
    shape::{self, ModelEntry},
    upstream::{ApiKey, CallError, Link},
};

/// Models whose fields are remembered, per instance.
const REMEMBERED_MODELS: u64 = 300;

/// What an instance is made of.
#[derive(Debug)]
pub struct InstanceSettings {
    /// Its name.
    pub name: InstanceName,
    /// The way there.
    pub link: Link,
    /// The key of the Odoo user that calls act as.
    pub key: ApiKey,
    /// The address of its web client, without a slash at the end.
    pub web_url: Box<str>,
    /// How long what Odoo says of its models and fields is believed.
    pub schema_ttl: Duration,
}

/// One Odoo instance: the way there, the user we are there, and what Odoo said
/// of its fields and models to that user.
#[derive(Debug)]
pub struct Instance {
    settings: InstanceSettings,
    schemas: Cache<ModelName, Arc<Schema>>,
    models: Cache<(), Arc<[ModelEntry]>>,
    user: Cache<(), Arc<OdooUser>>,
}

impl Instance {
    /// An instance of which nothing is known yet.
    pub fn new(settings: InstanceSettings) -> Self {
        let ttl = settings.schema_ttl;
        Self {
            schemas: Cache::builder()
                .max_capacity(REMEMBERED_MODELS)
                .time_to_live(ttl)
                .build(),
            models: Cache::builder().max_capacity(1).time_to_live(ttl).build(),
            user: Cache::builder().max_capacity(1).time_to_live(ttl).build(),
            settings,
        }
    }

    /// Its name.
    pub fn name(&self) -> &InstanceName {
        &self.settings.name
    }

    /// The address of its web client.
    pub fn web_url(&self) -> &str {
        &self.settings.web_url
    }

    /// Whether Odoo answers at all.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn ping(&self) -> Result<(), CallError> {
        self.settings.link.ping().await
    }

    pub(super) async fn send(&self, call: &Permitted<Call>) -> Result<Bytes, CallError> {
        self.settings.link.send(call, &self.settings.key).await
    }

    /// Asks a question of our own; look-ups of the same thing at the same time
    /// are joined by the caches around this.
    async fn ask(&self, call: &Permitted<Call>, tally: &Tally) -> Result<Bytes, Denied> {
        let begun = std::time::Instant::now();
        let answer = self.send(call).await;
        tally.count(begun.elapsed());
        Ok(answer?)
    }

    pub(super) async fn schema(
        &self,
        model: &ModelName,
        call: &Permitted<Call>,
        tally: &Tally,
    ) -> Result<Arc<Schema>, Denied> {
        let look_up = async {
            let answer = self.ask(call, tally).await?;
            Ok::<_, Denied>(Arc::new(Schema::parse(&answer)?))
        };
        Ok(self.schemas.try_get_with_by_ref(model, look_up).await?)
    }

    pub(super) async fn models(
        &self,
        call: &Permitted<Call>,
        tally: &Tally,
    ) -> Result<Arc<[ModelEntry]>, Denied> {
        let look_up = async {
            let answer = self.ask(call, tally).await?;
            Ok::<_, Denied>(shape::parse_models(&answer)?.into())
        };
        Ok(self.models.try_get_with((), look_up).await?)
    }

    pub(super) async fn user(
        &self,
        permit: impl Fn(&Inquiry) -> Result<Permitted<Call>, Forbidden>,
        tally: &Tally,
    ) -> Result<Arc<OdooUser>, Denied> {
        let look_up = async {
            let ask = async |inquiry: Inquiry| self.ask(&permit(&inquiry)?, tally).await;
            let me: WhoAmI = serde_json::from_slice(&ask(Inquiry::WhoAmI).await?)?;
            let answer = ask(Inquiry::User(me.uid)).await?;
            let rows: Vec<UserRow> = serde_json::from_slice(&answer)?;
            let mut companies = Vec::new();
            if let Some(row) = rows.into_iter().next() {
                let (default, name) = row.company_id;
                companies.push(Company { id: default, name });
                let others: Vec<_> = row
                    .company_ids
                    .into_iter()
                    .filter(|id| *id != default)
                    .collect();
                // Names are a courtesy: a user who may not read companies goes without.
                let named: Vec<CompanyRow> = if others.is_empty() {
                    Vec::new()
                } else {
                    match ask(Inquiry::Companies(others.clone())).await {
                        Ok(answer) => serde_json::from_slice(&answer)?,
                        Err(Denied::Call(error)) if error.is_fault() => Vec::new(),
                        Err(denied) => return Err(denied),
                    }
                };
                companies.extend(others.into_iter().map(|id| {
                    Company {
                        id,
                        name: named
                            .iter()
                            .find(|row| row.id == id)
                            .map_or_else(Box::default, |row| row.name.clone()),
                    }
                }));
            }
            let languages: Vec<LanguageRow> =
                serde_json::from_slice(&ask(Inquiry::Languages).await?)?;
            let languages = languages.into_iter().map(|row| row.code).collect();
            Ok::<_, Denied>(Arc::new(OdooUser {
                id: me.uid,
                companies,
                languages,
            }))
        };
        Ok(self.user.try_get_with((), look_up).await?)
    }
}
