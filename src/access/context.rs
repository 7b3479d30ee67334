//! The context that a tool call requests, checked against the Odoo user.

use serde::Deserialize;

use super::{OdooSession, OdooUser, OperationError};
use gatepost_base::text::first_chars;
use gatepost_odoo::{Context, RecordId};

/// The most companies that a request may name.
const MAX_COMPANIES: usize = 500;
/// Companies or languages that an error names.
const MAX_SHOWN: usize = 50;

/// The requested companies, language and time zone.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContextRequest {
    /// All companies of the user if absent or empty.
    #[serde(default)]
    company_ids: Option<Vec<RecordId>>,
    #[serde(default)]
    lang: Option<String>,
    #[serde(default)]
    tz: Option<String>,
}

impl OdooSession<'_> {
    /// Returns the context for a call, and the names of its companies. Without a
    /// request it names every company of the user, because Odoo would otherwise
    /// use the default one.
    ///
    /// # Errors
    /// [`OperationError::InvalidContext`] names the values that the user may use.
    pub async fn context(
        &self,
        request: Option<&ContextRequest>,
        archived: bool,
    ) -> Result<(Context, Vec<Box<str>>), OperationError> {
        let user = self.user().await?;
        let nothing = ContextRequest::default();
        let request = request.unwrap_or(&nothing);
        let company_ids = requested_company_ids(request, &user)?;
        if let Some(lang) = &request.lang
            && !user.languages.iter().any(|known| **known == **lang)
        {
            return Err(OperationError::InvalidContext(format!(
                "`{}` is not an installed language; use one of {}",
                first_chars(lang, 40),
                user.languages
                    .iter()
                    .take(MAX_SHOWN)
                    .map(|code| format!("`{code}`"))
                    .collect::<Vec<_>>()
                    .join(", ")
            )));
        }
        // Odoo accepts any text and silently uses UTC.
        if let Some(tz) = &request.tz
            && jiff::tz::TimeZone::get(tz).is_err()
        {
            return Err(OperationError::InvalidContext(format!(
                "`{}` is not a time zone; use an IANA name such as `Europe/Brussels`",
                first_chars(tz, 40)
            )));
        }
        let covered = user
            .companies
            .iter()
            .filter(|company| company_ids.contains(&company.id))
            .map(|company| format!("{} [{}]", company.name, company.id).into())
            .collect();
        let context = Context {
            company_ids,
            lang: request.lang.clone(),
            tz: request.tz.clone(),
            include_archived: archived,
        };
        Ok((context, covered))
    }
}

fn requested_company_ids(
    request: &ContextRequest,
    user: &OdooUser,
) -> Result<Vec<RecordId>, OperationError> {
    let Some(requested) = request.company_ids.as_ref().filter(|ids| !ids.is_empty()) else {
        return Ok(user.companies.iter().map(|company| company.id).collect());
    };
    if requested.len() > MAX_COMPANIES {
        return Err(OperationError::InvalidContext(format!(
            "`company_ids` takes at most {MAX_COMPANIES} companies, not {}",
            requested.len()
        )));
    }
    let mut ids: Vec<RecordId> = Vec::with_capacity(requested.len());
    for id in requested {
        if ids.contains(id) {
            continue;
        }
        ids.push(*id);
        if !user.companies.iter().any(|company| company.id == *id) {
            let known = user
                .companies
                .iter()
                .take(MAX_SHOWN)
                .map(|company| format!("{} ({})", company.id, company.name))
                .collect::<Vec<_>>();
            return Err(OperationError::InvalidContext(format!(
                "this Odoo user may not use company {id}; use one of {}",
                known.join(", ")
            )));
        }
    }
    Ok(ids)
}
