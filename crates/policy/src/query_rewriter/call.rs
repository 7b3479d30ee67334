//! Rewrites each kind of call.

use super::{QueriedFields, QueryRewriter};
use crate::{Forbidden, Incomplete, membership::membership_search};
use gatepost_odoo::{
    Call, Context, Domain, FieldName, ModelName, Operation, Operator, Order, Request, Search,
};

impl QueryRewriter<'_> {
    /// The call, if every field in it is visible, limited to the records that the
    /// rules cover.
    ///
    /// # Errors
    /// [`Incomplete`].
    pub(crate) fn rewrite(&self, call: Call) -> Result<Call, Incomplete> {
        let (model, operation) = (call.model().clone(), call.operation());
        self.rules.allow(&model, operation)?;
        let mut queried = QueriedFields::new();
        let request = match call.request().clone() {
            Request::Aggregate(aggregation) => {
                Request::Aggregate(self.rewrite_aggregation(&model, operation, aggregation)?)
            }
            Request::Count(domain) => {
                let domain = self.rewrite_domain(&model, domain, &mut queried)?;
                Request::Count(domain.and(self.row_filter_of_query(&model, operation, &queried)?))
            }
            Request::Defaults(fields) => {
                // Defaults belong to no record, so a row filter does not apply.
                let queried = fields.iter().cloned().collect();
                self.row_filter(&model, operation, &queried)?;
                Request::Defaults(fields)
            }
            Request::Fields => Request::Fields,
            Request::Models => Request::Models,
            Request::NameSearch {
                name,
                domain,
                limit,
            } => self.rewrite_name_search(&model, operation, &name, domain, limit)?,
            Request::Read { ids, fields } => {
                queried.extend(fields.iter().cloned());
                let filter = self.row_filter_of_query(&model, operation, &queried)?;
                let fields = fields_or_id(fields);
                if filter.is_empty() {
                    Request::Read { ids, fields }
                } else {
                    // A search checks the ids and reads the fields in one call.
                    let mut search = membership_search(&model, &ids, filter);
                    let context = Context {
                        include_archived: true,
                        ..call.context().clone()
                    };
                    if let Request::Search(parts) = search.request().clone() {
                        search = search.with_request(Request::Search(Search { fields, ..parts }));
                    }
                    return Ok(search.in_context(context));
                }
            }
            Request::Search(search) => self.rewrite_search(&model, operation, search)?,
            Request::WhoAmI => Request::WhoAmI,
            // `WriteAuthorizer` handles changes. The documentation shows hidden
            // fields, so only a system query reads it.
            Request::Create(_)
            | Request::Delete(_)
            | Request::Documentation
            | Request::Load(_)
            | Request::Run { .. }
            | Request::Write { .. } => {
                return Err(Forbidden::operation_on(&model, operation).into());
            }
        };
        Ok(call.with_request(request))
    }

    fn rewrite_search(
        &self,
        model: &ModelName,
        operation: Operation,
        search: Search,
    ) -> Result<Request, Incomplete> {
        let fields = search.fields.iter().chain(&search.answer_fields);
        let mut queried: QueriedFields = fields.cloned().collect();
        self.authorize_order(model, &search.order, &mut queried)?;
        let domain = self.rewrite_domain(model, search.domain, &mut queried)?;
        let order = if search.order.is_empty() && !self.rules.exposes_all_fields(model) {
            // The model's default order may use a hidden field.
            Order::by_id_descending()
        } else {
            search.order
        };
        Ok(Request::Search(Search {
            domain: domain.and(self.row_filter_of_query(model, operation, &queried)?),
            fields: fields_or_id(search.fields),
            order,
            ..search
        }))
    }

    fn rewrite_name_search(
        &self,
        model: &ModelName,
        operation: Operation,
        name: &str,
        domain: Domain,
        limit: u32,
    ) -> Result<Request, Incomplete> {
        let display_name = FieldName::known("display_name");
        let mut queried = QueriedFields::from([display_name.clone()]);
        let domain = self.rewrite_domain(model, domain, &mut queried)?;
        if self.rules.is_unrestricted_everywhere() {
            return Ok(Request::NameSearch {
                name: name.to_owned(),
                domain: domain.and(self.row_filter_of_query(model, operation, &queried)?),
                limit,
            });
        }
        let named = self.name_filter(model, Operator::Ilike, &name.into())?;
        Ok(Request::Search(Search {
            domain: named
                .and(domain)
                .and(self.row_filter(model, operation, &queried)?),
            fields: vec![display_name],
            answer_fields: Vec::new(),
            order: Order::by_id_descending(),
            offset: 0,
            limit,
        }))
    }
}

/// The fields to send: for an empty list Odoo returns every field.
fn fields_or_id(fields: Vec<FieldName>) -> Vec<FieldName> {
    if fields.is_empty() {
        vec![FieldName::known("id")]
    } else {
        fields
    }
}
