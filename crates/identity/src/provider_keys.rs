//! Verifies signatures with the current keys of a provider.

use std::{sync::Arc, time::Duration};

use super::{
    Now, TokenError, TokenRejected,
    jwks::{FetchedKeys, KeyCache, KeySet},
    jwt::JwtError,
    provider_endpoints::ProviderEndpoints,
    provider_error::{LastProviderError, ProviderError, ProviderUnavailable},
};

/// The longest key set that is read, in bytes.
const MAX_KEYS_BYTES: usize = 256 << 10;

/// The keys of one provider.
pub(super) struct ProviderKeys {
    endpoints: Arc<ProviderEndpoints>,
    cache: KeyCache,
    /// How the last fetch failed, if it did.
    pub(super) last_error: LastProviderError,
}

impl ProviderKeys {
    pub(super) fn new(endpoints: Arc<ProviderEndpoints>, cache: KeyCache) -> Arc<Self> {
        Arc::new(Self {
            endpoints,
            cache,
            last_error: LastProviderError::default(),
        })
    }

    /// Fetches the keys if there are none.
    pub(super) async fn load(
        self: &Arc<Self>,
        now: Now,
    ) -> Result<Arc<KeySet>, ProviderUnavailable> {
        let fetch = Arc::clone(self).fetch(now);
        self.cache.keys(fetch, now.monotonic).await
    }

    /// The result of `verify` with the current keys, or with newer ones if it
    /// needs a key that is not among them. `issued` is when the JWT was signed, in
    /// seconds since 1970, as it says itself.
    ///
    /// # Errors
    /// If the keys are not known, or `verify` rejects the JWT.
    pub(super) async fn verify_with<T>(
        self: &Arc<Self>,
        verify: impl Fn(&KeySet) -> Result<T, JwtError>,
        issued: Option<f64>,
        now: Now,
    ) -> Result<T, TokenError> {
        let needed = match verify(&*self.load(now).await?) {
            Ok(payload) => return Ok(payload),
            Err(JwtError::Rejected(why)) => return Err(why.into()),
            Err(JwtError::NeedsKey(id)) => id,
        };
        let fetch = Arc::clone(self).fetch(now);
        let age = issued.and_then(|issued| {
            Duration::try_from_secs_f64(now.wall.as_duration().as_secs_f64() - issued).ok()
        });
        let keys = self
            .cache
            .keys_with_id(&needed, age, fetch, now.monotonic)
            .await?;
        verify(&keys).map_err(|error| match error {
            JwtError::Rejected(why) => why.into(),
            JwtError::NeedsKey(_) => TokenRejected::UnknownKey.into(),
        })
    }

    async fn fetch(self: Arc<Self>, now: Now) -> Result<FetchedKeys, ProviderUnavailable> {
        let fetched = self.fetch_once(now).await;
        self.last_error.record(&fetched);
        fetched
    }

    async fn fetch_once(&self, now: Now) -> Result<FetchedKeys, ProviderUnavailable> {
        let url = self.endpoints.jwks_url(now).await?;
        let response = self.endpoints.http.get(&url, MAX_KEYS_BYTES).await;
        let response = response.map_err(|error| ProviderError::Unreachable((&error).into()))?;
        if response.status != http::StatusCode::OK {
            let why = format!("its keys: {}", response.describe_status());
            return Err(ProviderError::InvalidResponse(why.into()).into());
        }
        let max_age = response.max_age();
        Ok((response.body, max_age))
    }
}
