//! A change that takes another one back.

use jiff::Timestamp;

use super::{
    created, deleted,
    entry::{Kind, Stored, Used, recall},
    updated,
};
use crate::{
    access::{Access, Denied},
    changes::{Change, Done, Found, Proposal, Report, Since, change::ODOO_AT_WORK},
};

/// A change that takes another one back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TakeBack {
    name: String,
}

/// A text that is no name of a change.
#[derive(Debug, thiserror::Error)]
#[error(
    "this is no name of a change: they are twelve letters and digits, such as `k3v9mwq2x7pd`, and stand below the answer of the tool that made the change; copy it from there"
)]
pub struct InvalidChangeName;

impl TakeBack {
    /// Takes back the change of this name.
    ///
    /// # Errors
    /// [`InvalidChangeName`].
    pub fn of(name: &str) -> Result<Self, InvalidChangeName> {
        let name = name.trim();
        if name.len() != 12 || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(InvalidChangeName);
        }
        Ok(Self {
            name: name.to_ascii_lowercase(),
        })
    }

    async fn recall(&self, access: &Access<'_>) -> Result<Stored, Denied> {
        recall(access, &self.name).await?.ok_or_else(|| {
            Denied::Unfit(format!(
                "no change `{}` is known; nothing was changed. Only changes that you made yourself in this Odoo instance can be taken back, for {} h. Retrying will not help: change the records themselves",
                self.name,
                access.ledger.settings().keep_undo.as_secs() / 3600
            ))
        })
    }

    /// Refuses what was taken back, or is being taken back.
    async fn is_open(&self, access: &Access<'_>, stored: &Stored) -> Result<(), Denied> {
        let Some(used) = &stored.entry.used else {
            return Ok(());
        };
        if used.done {
            return Err(was_taken_back(used));
        }
        // Somebody began, and it is not known how that ended.
        let since = Since {
            newest: used.newest,
            ..Since::moment(used.at)
        };
        match self.look_for(access, stored, &since).await? {
            Found::Done(_) => Err(was_taken_back(used)),
            Found::Not | Found::Unclear(_) if is_fresh(used) => Err(Denied::Unfit(format!(
                "another call is taking this change back, or its answer was lost; nothing was done now. Call again in {} s: then it is found out",
                left_of(used)
            ))),
            Found::Unclear(look) if stored.entry.kind == Kind::Delete => {
                Err(Denied::Unfit(format!(
                    "this change was begun to be taken back at {:.0}, and whether that was done cannot be said for sure; nothing was done now. {look} Only if they are not there, make the records with create_records",
                    used.at
                )))
            }
            // How each record is now decides.
            Found::Not | Found::Unclear(_) => Ok(()),
        }
    }

    async fn look_for(
        &self,
        access: &Access<'_>,
        stored: &Stored,
        since: &Since,
    ) -> Result<Found, Denied> {
        match stored.entry.kind {
            Kind::Create => created::find(access, &stored.entry).await,
            Kind::Delete => deleted::find(access, &stored.entry, since).await,
            Kind::Update => updated::find(access, &stored.entry).await,
        }
    }
}

impl Change for TakeBack {
    async fn propose(&self, access: &Access<'_>) -> Result<Proposal, Denied> {
        let stored = self.recall(access).await?;
        // Boxed: it looks at much.
        Box::pin(self.is_open(access, &stored)).await?;
        let entry = &stored.entry;
        match entry.kind {
            Kind::Create => Box::pin(created::propose(access, entry)).await,
            Kind::Delete => Box::pin(deleted::propose(access, entry)).await,
            Kind::Update => Box::pin(updated::propose(access, entry)).await,
        }
    }

    async fn claim(
        &self,
        access: &Access<'_>,
        name: Option<&str>,
        since: &Since,
    ) -> Result<(), Denied> {
        let stored = self.recall(access).await?;
        if let Some(used) = &stored.entry.used
            && (used.done || is_fresh(used))
        {
            return Err(was_taken_back(used));
        }
        let mut entry = stored.entry.clone();
        entry.used = Some(Used {
            at: since.at,
            by: name.map(str::to_owned),
            done: false,
            newest: since.newest,
        });
        if stored.replace_by(&entry).await? {
            return Ok(());
        }
        Err(Denied::Unfit(
            "another call is taking this change back; nothing was done now. Call again in 10 s to hear what came of it".to_owned(),
        ))
    }

    async fn give_back(&self, access: &Access<'_>) -> Result<(), Denied> {
        let stored = self.recall(access).await?;
        let mut entry = stored.entry.clone();
        entry.used = None;
        // Whoever was faster has put something truer there.
        stored.replace_by(&entry).await.map(|_first| ())
    }

    async fn find(&self, access: &Access<'_>, since: &Since) -> Result<Found, Denied> {
        let stored = self.recall(access).await?;
        Box::pin(self.look_for(access, &stored, since)).await
    }

    async fn report(&self, access: &Access<'_>, done: &Done) -> Result<Report, Denied> {
        let Some(stored) = recall(access, &self.name).await? else {
            // Its time is over, or there was no room for it; done it is.
            return Ok(Report {
                text: "The change was taken back.".to_owned(),
                after: None,
            });
        };
        let mut entry = stored.entry.clone();
        if !entry.used.as_ref().is_some_and(|used| used.done) {
            entry.used = Some(Used {
                at: done.at,
                by: done.undo.clone(),
                done: true,
                newest: None,
            });
            let noted = stored.replace_by(&entry).await;
            if let Err(error) = noted {
                // Then it stays begun, and is found out.
                tracing::warn!(error = %error, "Failed to note that a change was taken back");
            }
        }
        match entry.kind {
            Kind::Create => created::report(access, &entry, done).await,
            Kind::Delete => Box::pin(deleted::report(access, &entry, done)).await,
            Kind::Update => Box::pin(updated::report(access, &entry, done)).await,
        }
    }
}

fn was_taken_back(used: &Used) -> Denied {
    let again = match &used.by {
        Some(name) => format!("; to make it again, undo_change with `change`: \"{name}\""),
        None => String::new(),
    };
    Denied::Unfit(format!(
        "this change was taken back at {:.0}; nothing was done now{again}",
        used.at
    ))
}

/// Whether Odoo may still be at work on it.
fn is_fresh(used: &Used) -> bool {
    left_of(used) > 0
}

fn left_of(used: &Used) -> u64 {
    let age = Timestamp::now().duration_since(used.at).unsigned_abs();
    ODOO_AT_WORK.saturating_sub(age).as_secs()
}
