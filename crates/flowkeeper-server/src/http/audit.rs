//! `/audit-records`: what was done by whom.

use axum::extract::State;
use flowkeeper_api::audit::{AuditActionType, AuditOperationType, AuditRecord};
use flowkeeper_api::error::ErrorBody;
use flowkeeper_api::hal::{Paged, SelfLink};

use super::base::Base;
use super::error::Problem;
use super::paging::{Order, Paging};
use super::params::{Params, Segments};
use super::respond::{Hal, Json};
use crate::app::Error;
use crate::app::audit::{self, Action, Filter, Kind};
use crate::meta::record;
use crate::state::AppState;

/// What records can be sorted by.
const SORTABLE: [&str; 7] =
    ["id", "createdOn", "createdBy", "auditAction", "auditOperation", "correlationId", "platformName"];

/// Records, oldest first unless sorted otherwise.
#[utoipa::path(get, path = "/audit-records", tag = "audit",
    params(("actions" = Option<String>, Query), ("operations" = Option<String>, Query),
        ("fromDate" = Option<String>, Query), ("toDate" = Option<String>, Query),
        ("page" = Option<u32>, Query), ("size" = Option<u32>, Query), ("sort" = Option<String>, Query)),
    responses((status = 200, body = Paged<AuditRecord>), (status = 400, body = ErrorBody), (status = 500, body = ErrorBody)))]
pub(super) async fn list(
    State(state): State<AppState>,
    base: Base,
    paging: Paging,
    params: Params,
) -> Result<Hal<Paged<AuditRecord>>, Problem> {
    let words = |name: &str| -> Vec<String> {
        let text = params.get(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let action = |word: &String| {
        let found = Action::ALL.into_iter().find(|action| action.words().1 == word);
        found.ok_or_else(|| {
            Problem::not_one_of("actions", &Action::ALL.map(|action| action.words().1).join(", "))
        })
    };
    let kind = |word: &String| {
        let found = Kind::ALL.into_iter().find(|kind| kind.words().1 == word);
        found.ok_or_else(|| {
            Problem::not_one_of("operations", &Kind::ALL.map(|kind| kind.words().1).join(", "))
        })
    };
    let time = |name: &str| {
        params.get(name).filter(|text| !text.is_empty()).map(|text| audit::read_time(&text)).transpose()
    };
    let filter = Filter {
        actions: words("actions").iter().map(action).collect::<Result<_, _>>()?,
        kinds: words("operations").iter().map(kind).collect::<Result<_, _>>()?,
        from: time("fromDate")?,
        to: time("toDate")?,
    };
    if filter.from.is_some() && filter.to.is_some() && filter.from > filter.to {
        return Err(Error::DateRange.into());
    }
    let mut records = audit::list(&state.meta.model(), &filter);
    paging.sort(
        "AuditRecord",
        &SORTABLE,
        &mut records,
        |order: &Order, (left_id, left), (right_id, right)| match order.property.as_str() {
            "createdOn" => left.at.cmp(&right.at),
            "createdBy" => {
                order.texts(left.by.as_deref().unwrap_or_default(), right.by.as_deref().unwrap_or_default())
            }
            "auditAction" => order_of_action(&left.action).cmp(&order_of_action(&right.action)),
            "auditOperation" => order_of_kind(&left.kind).cmp(&order_of_kind(&right.kind)),
            "correlationId" => order.texts(&left.subject, &right.subject),
            "platformName" => left.platform.cmp(&right.platform),
            _ => left_id.cmp(right_id),
        },
    )?;
    let total = records.len();
    let records = paging.cut(records).into_iter().map(|(number, record)| resource(&base, number, &record));
    Ok(Hal(paging.page(&base, "/audit-records", records.collect(), total)))
}

/// One record.
#[utoipa::path(get, path = "/audit-records/{id}", tag = "audit", params(("id" = u64, Path)),
    responses((status = 200, body = AuditRecord), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn get(
    State(state): State<AppState>,
    base: Base,
    Segments(id): Segments<String>,
) -> Result<Hal<AuditRecord>, Problem> {
    let number: u64 = id.parse().map_err(|_| Problem::mismatch("id", &id, "a whole number"))?;
    let stored = number.checked_sub(1).and_then(|number| u32::try_from(number).ok());
    let model = state.meta.model();
    let found = stored.and_then(|stored| Some((stored, model.audit.get(&stored)?)));
    let (stored, record) = found.ok_or(Error::NoAuditRecord(number))?;
    Ok(Hal(resource(&base, stored, record)))
}

/// What records can be about.
#[utoipa::path(get, path = "/audit-records/audit-operation-types", tag = "audit",
    responses((status = 200, body = Vec<AuditOperationType>)))]
pub(super) async fn operation_types() -> Json<Vec<AuditOperationType>> {
    let kind = |kind: Kind| {
        let (id, key, name) = kind.words();
        AuditOperationType { id, name: name.to_owned(), key: key.to_owned() }
    };
    Json(Kind::ALL.map(kind).to_vec())
}

/// What can be done.
#[utoipa::path(get, path = "/audit-records/audit-action-types", tag = "audit",
    responses((status = 200, body = Vec<AuditActionType>)))]
pub(super) async fn action_types() -> Json<Vec<AuditActionType>> {
    let action = |action: Action| {
        let (id, key, name, description) = action.words();
        AuditActionType {
            id,
            name: name.to_owned(),
            description: description.to_owned(),
            key: key.to_owned(),
            name_with_description: format!("{name} ({description})"),
        }
    };
    Json(Action::ALL.map(action).to_vec())
}

/// Ids begin with 1, numbers of records with 0.
fn resource(base: &Base, number: u32, record: &record::AuditRecord) -> AuditRecord {
    let id = u64::from(number) + 1;
    AuditRecord {
        audit_record_id: id,
        created_by: record.by.clone(),
        correlation_id: record.subject.clone(),
        audit_data: record.data.clone(),
        created_on: record.at.clone(),
        audit_action: record.action.clone(),
        audit_operation: record.kind.clone(),
        platform_name: record.platform.clone(),
        links: SelfLink::new(base.href_of(&["audit-records", &id.to_string()])),
    }
}

/// SCDF sorts by the number of the word.
fn order_of_action(key: &str) -> u32 {
    Action::ALL.into_iter().find(|action| action.words().1 == key).map_or(0, |action| action.words().0)
}

fn order_of_kind(key: &str) -> u32 {
    Kind::ALL.into_iter().find(|kind| kind.words().1 == key).map_or(0, |kind| kind.words().0)
}
