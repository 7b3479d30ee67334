//! The context a tool call asks for, checked against the Odoo user.

use serde::Deserialize;

use super::{OdooSession, OdooUser, OperationError};
use gatepost_odoo::{Context, RecordId};

/// Company, language and time zone of the call.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContextRequest {
    /// Ids of the companies to look in; all companies of the user when left out.
    #[serde(default)]
    company_ids: Option<Vec<RecordId>>,
    #[serde(default)]
    lang: Option<String>,
    #[serde(default)]
    tz: Option<String>,
}

impl OdooSession<'_> {
    /// The context to call in: what was asked for, checked; where nothing was,
    /// every company of the user, said outright instead of left to Odoo.
    ///
    /// # Errors
    /// [`Denied::Context`] names what the user has instead.
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
                clip(lang),
                user.languages
                    .iter()
                    .map(|code| format!("`{code}`"))
                    .collect::<Vec<_>>()
                    .join(", ")
            )));
        }
        // Odoo takes any text and silently means UTC.
        if let Some(tz) = &request.tz
            && jiff::tz::TimeZone::get(tz).is_err()
        {
            return Err(OperationError::InvalidContext(format!(
                "`{}` is not a time zone; use an IANA name such as `Europe/Brussels`",
                clip(tz)
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
    let Some(asked) = request.company_ids.as_ref().filter(|ids| !ids.is_empty()) else {
        return Ok(user.companies.iter().map(|company| company.id).collect());
    };
    for id in asked {
        if !user.companies.iter().any(|company| company.id == *id) {
            let known = user
                .companies
                .iter()
                .map(|company| format!("{} ({})", company.id, company.name))
                .collect::<Vec<_>>();
            return Err(OperationError::InvalidContext(format!(
                "company {id} is not one this Odoo user may use; use one of {}",
                known.join(", ")
            )));
        }
    }
    Ok(asked.clone())
}

fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}
