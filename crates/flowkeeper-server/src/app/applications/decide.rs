//! What becomes of one stream of an application, and how that is written.

use flowkeeper_api::applications::{ChangeAction, StreamChange};
use flowkeeper_deploy::record::{Group, Manifest};
use flowkeeper_dsl::StreamDefinition;
use flowkeeper_engine::binding::Properties;

use super::super::Error;
use super::super::audit::{self, Action};
use super::super::deploy::{Next, prepare};
use super::super::streams::operation;
use super::change::{Before, Goal};
use super::member::{Present, Target, consequences};
use crate::clock;
use crate::meta::record::{AuditRecord, MemberRecord, StreamRecord, WantRecord, WantState};
use crate::meta::{AppKey, Write};
use crate::state::AppState;

/// What is decided about one stream.
pub(super) struct Decided {
    pub(super) change: StreamChange,
    /// Its place in the next release of the application; `None`: it is removed.
    pub(super) member: Option<MemberRecord>,
    /// What is written of it; `None`: nothing.
    pub(super) step: Option<Step>,
    /// Registered versions that it uses.
    pub(super) apps: Vec<(AppKey, String)>,
}

pub(super) enum Step {
    Create { record: Box<StreamRecord>, release: Option<Box<Manifest>> },
    Set { next: Box<Next>, record: Box<StreamRecord>, release: Option<Box<Manifest>> },
}

impl Before {
    /// Decides about a stream of the goal.
    pub(super) async fn decide(
        &self,
        state: &AppState,
        goal: &Goal,
        target: &Target,
        definition: &StreamDefinition,
        group: Group,
    ) -> Result<Decided, Error> {
        match self.streams.get(&target.name) {
            None => self.create(state, goal, target, definition, group).await,
            Some(present) if present.current.is_none() => {
                self.rewrite(state, goal, target, definition, group, present).await
            }
            Some(present) if goal.spare_running => {
                if self.ailing.contains(&target.name) {
                    return self.rewrite(state, goal, target, definition, group, present).await;
                }
                let release = present.current.as_ref().map_or(0, |current| current.release.n);
                Ok(unchanged(target, release))
            }
            Some(present) => replace(state, goal, target, definition, group, present).await,
        }
    }

    /// Decides about a stream that is new.
    async fn create(
        &self,
        state: &AppState,
        goal: &Goal,
        target: &Target,
        definition: &StreamDefinition,
        group: Group,
    ) -> Result<Decided, Error> {
        let is_run = goal.deploy || self.is_running;
        // Prepared even when it is only created, so that everything that is wrong is told now.
        let mut prepared = prepare(state, definition, &target.properties(), 1).await?;
        prepared.release.group = Some(group);
        let want = if is_run {
            WantRecord { state: WantState::Deployed, r#gen: 1, rel: 1, ..WantRecord::default() }
        } else {
            WantRecord::default()
        };
        let record = StreamRecord {
            v: 1,
            name: target.name.clone(),
            original: target.text.clone(),
            desc: target.description.clone(),
            want,
            op: operation(),
            application: Some(goal.name.clone()),
            at: clock::now(),
            ..StreamRecord::default()
        };
        let mut details = target.introduction();
        details.extend(is_run.then(|| "is deployed as release 1".to_owned()));
        let release = is_run.then(|| Box::new(prepared.release));
        Ok(Decided {
            change: change(target, ChangeAction::Create, details),
            member: Some(target.member(u32::from(is_run))),
            step: Some(Step::Create { record: Box::new(record), release }),
            apps: prepared.apps,
        })
    }

    /// Decides about a stream that does not run, or that runs and is deployed from scratch.
    async fn rewrite(
        &self,
        state: &AppState,
        goal: &Goal,
        target: &Target,
        definition: &StreamDefinition,
        group: Group,
        present: &Present,
    ) -> Result<Decided, Error> {
        let is_run = goal.deploy || self.is_running;
        let mut details = present.differences(target);
        let is_adopted = present.record().application.is_none();
        if !is_run && details.is_empty() && !is_adopted {
            return Ok(unchanged(target, 0));
        }
        let mut prepared = prepare(state, definition, &target.properties(), present.next.number).await?;
        let mut record = present.next.changed();
        record.application = Some(goal.name.clone());
        record.desc.clone_from(&target.description);
        if present.text != target.text || present.record().original.trim() != target.text {
            record.original.clone_from(&target.text);
            record.rewritten = present.next.number - 1;
        }
        prepared.release.group = Some(group);
        let number = prepared.release.n;
        details.extend(is_adopted.then(|| "is taken in".to_owned()));
        details.extend(is_run.then(|| format!("is deployed as release {number}")));
        let action = if is_run { ChangeAction::Deploy } else { ChangeAction::Update };
        Ok(Decided {
            change: change(target, action, details),
            member: Some(target.member(if is_run { number } else { 0 })),
            step: Some(Step::Set {
                next: Box::new(present.next.clone()),
                record: Box::new(record),
                release: is_run.then(|| Box::new(prepared.release)),
            }),
            apps: if is_run { prepared.apps } else { Vec::new() },
        })
    }

    /// Streams that are gone from the document.
    pub(super) fn removed(&self, goal: &Goal) -> Vec<Decided> {
        let is_gone = |name: &str| !goal.streams.iter().any(|target| target.name == name);
        let gone = self.streams.iter().filter(|(name, _)| is_gone(name));
        gone.map(|(name, present)| {
            let mut record = present.next.changed();
            record.want.state = WantState::Destroyed;
            let details = vec![
                if present.current.is_some() { "is stopped and destroyed" } else { "is destroyed" }
                    .to_owned(),
            ];
            Decided {
                change: StreamChange { stream: name.clone(), action: ChangeAction::Remove, details },
                member: None,
                step: Some(Step::Set {
                    next: Box::new(present.next.clone()),
                    record: Box::new(record),
                    release: None,
                }),
                apps: Vec::new(),
            }
        })
        .collect()
    }
}

/// Decides about a stream that runs.
async fn replace(
    state: &AppState,
    goal: &Goal,
    target: &Target,
    definition: &StreamDefinition,
    group: Group,
    present: &Present,
) -> Result<Decided, Error> {
    let Some(current) = &present.current else { return Ok(unchanged(target, 0)) };
    let mut details = present.differences(target);
    let is_adopted = present.record().application.is_none();
    if details.is_empty() && !is_adopted {
        return Ok(unchanged(target, current.release.n));
    }
    details.extend(is_adopted.then(|| "is taken in".to_owned()));
    let mut record = present.next.changed();
    record.application = Some(goal.name.clone());
    record.desc.clone_from(&target.description);
    let (mut release, mut apps) = (None, Vec::new());
    if present.differs_in_what_runs(target) {
        let prepared = prepare(state, definition, &target.properties(), present.next.number).await?;
        let mut next = prepared.release;
        current.carry_over(&mut next.apps, |_| false)?;
        goal.from.clone_into(&mut next.from);
        next.replaces = Some(current.release.n);
        next.original = (target.text != present.record().original.trim()).then(|| target.text.clone());
        next.group = Some(group);
        details.push(consequences(&current.release, &next));
        release = Some(Box::new(next));
        apps = prepared.apps;
    }
    Ok(Decided {
        change: change(target, ChangeAction::Update, details),
        member: Some(target.member(release.as_ref().map_or(current.release.n, |release| release.n))),
        step: Some(Step::Set { next: Box::new(present.next.clone()), record: Box::new(record), release }),
        apps,
    })
}

impl Decided {
    /// Adds what was decided to `write`.
    pub(super) fn add_to(self, write: Write, goal: &Goal) -> Write {
        let Some(step) = self.step else { return write };
        let text = |record: &StreamRecord| match &self.member {
            Some(member) => member.dsl.clone(),
            None => record.original.clone(),
        };
        let action = match self.change.action {
            ChangeAction::Remove => Action::Delete,
            ChangeAction::Create => Action::Create,
            _ if goal.from == "rollback" => Action::Rollback,
            ChangeAction::Deploy => Action::Deploy,
            _ => Action::Update,
        };
        // One short record each: there may be two hundred of them.
        let noted = |action: Action, record: &StreamRecord| -> [AuditRecord; 1] {
            [audit::stream(action, &record.name, &text(record))]
        };
        match step {
            Step::Create { record, release } => {
                // As with a stream by itself: what is deployed is noted before what is created.
                let write = write.create_stream(&record);
                let write = release.iter().fold(write, |write, release| {
                    write.create_release(&record.name, release).audit(noted(Action::Deploy, &record))
                });
                write.audit(noted(action, &record))
            }
            Step::Set { next, record, release } => {
                let write = write.audit(noted(action, &record));
                match release {
                    Some(release) => next.add_to(write, *record, &release),
                    None => write.set_stream(&next.read, &record),
                }
            }
        }
    }
}

impl Target {
    fn properties(&self) -> Properties {
        self.properties.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

fn change(target: &Target, action: ChangeAction, details: Vec<String>) -> StreamChange {
    StreamChange { stream: target.name.clone(), action, details }
}

fn unchanged(target: &Target, release: u32) -> Decided {
    Decided {
        change: change(target, ChangeAction::Unchanged, Vec::new()),
        member: Some(target.member(release)),
        step: None,
        apps: Vec::new(),
    }
}
