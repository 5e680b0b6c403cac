//! Completion of stream definitions: apps, taps, labels; and which app's options are asked for.

use std::collections::HashSet;

use super::context::{Context, SoFar};
use super::options::{propose_names, propose_rest_of_value, propose_values};
use super::proposals::Proposals;
use super::{App, AppOption, Detail, Proposal, Registry};
use crate::stream::app::AppType;
use crate::stream::{AppNode, StreamDefinition};

/// What may follow the text of a stream definition.
///
/// ```
/// use flowkeeper_dsl::completion::{App, Detail, Registry, StreamCompletion};
/// use flowkeeper_dsl::{AppType, StreamDefinition};
///
/// struct OneSink;
/// impl Registry for OneSink {
///     fn apps(&self) -> Vec<App<'_>> {
///         vec![App { app_type: AppType::Sink, name: "log" }]
///     }
///     fn streams(&self) -> Vec<&str> {
///         Vec::new()
///     }
///     fn definition(&self, _: &str) -> Option<StreamDefinition> {
///         None
///     }
/// }
///
/// let completion = StreamCompletion::new("time |", Detail::Common);
/// assert_eq!(completion.wanted_app(&OneSink), None);
/// assert_eq!(completion.proposals(&OneSink, &[])[0].text, "time | log");
/// ```
#[derive(Debug)]
pub struct StreamCompletion<'t> {
    text: &'t str,
    detail: Detail,
    context: Context,
}

impl<'t> StreamCompletion<'t> {
    /// Looks at what was typed. A text that is too long for a definition has no proposals.
    pub fn new(text: &'t str, detail: Detail) -> Self {
        Self { text, detail, context: Context::of(text) }
    }

    /// The app whose options [`proposals`](Self::proposals) needs, if it needs any.
    pub fn wanted_app<'r>(&self, registry: &'r dyn Registry) -> Option<App<'r>> {
        let so_far = match &self.context {
            Context::Continuation(so_far) => so_far,
            Context::OptionName { so_far, .. } | Context::OptionValue { so_far, .. } => so_far,
            _ => return None,
        };
        let name = self.registered_name(so_far.last_app()?)?;
        let apps = registry.apps();
        let find = |app_type: &AppType| apps.iter().find(|app| app.app_type == *app_type && app.name == name);
        so_far.types.iter().find_map(find).copied()
    }

    /// The proposals, each text once, in the order of the lists they come from; `options` are those of
    /// [`wanted_app`](Self::wanted_app). They hold 4 MiB of text at most; what does not fit is left out.
    pub fn proposals(&self, registry: &dyn Registry, options: &[AppOption<'_>]) -> Vec<Proposal> {
        let mut proposals = Proposals::default();
        match &self.context {
            Context::Nothing => {}
            Context::Start => propose_apps(&mut proposals, registry, self.text, None, what_begins),
            Context::AfterDestination => {
                propose_apps(&mut proposals, registry, self.text, None, what_reads_a_destination);
            }
            Context::NextApp(so_far) => {
                propose_apps(&mut proposals, registry, self.text, Some(so_far), what_comes_next);
            }
            Context::AppBeside(so_far) => {
                propose_apps(&mut proposals, registry, self.text, Some(so_far), what_runs_beside);
            }
            Context::OptionName { so_far, typed } => {
                let before = &self.text[..so_far.end];
                self.propose_option_names(&mut proposals, options, so_far, before, typed);
            }
            Context::OptionValue { option, .. } => {
                propose_values(&mut proposals, options, self.text, option);
            }
            Context::Tap => self.propose_taps(&mut proposals, registry),
            Context::Continuation(so_far) => self.continue_from(so_far, &mut proposals, registry, options),
        }
        proposals.into_vec()
    }

    fn continue_from(
        &self,
        so_far: &SoFar,
        proposals: &mut Proposals,
        registry: &dyn Registry,
        options: &[AppOption<'_>],
    ) {
        self.propose_option_names(proposals, options, so_far, self.text, "");
        let Some(last) = so_far.last_app() else { return };
        if self.text.ends_with(' ') && !self.is_surely_a_sink(last, registry) {
            let before = format!("{}| ", self.text);
            propose_apps(proposals, registry, &before, Some(so_far), what_comes_next);
        }
        if last.args().is_empty() && last.span().end == self.text.len() {
            self.propose_longer_names(proposals, registry, so_far, last);
        }
        // Comes last, because it may take the others back.
        if let Some(arg) = last.args().last().filter(|arg| arg.span.end == self.text.len()) {
            let written = &self.text[arg.span.start..];
            if written.strip_suffix(arg.value.as_str()).is_some_and(|before| before.ends_with('=')) {
                propose_rest_of_value(proposals, options, self.text, &arg.name, &arg.value);
            }
        }
    }

    fn propose_option_names(
        &self,
        proposals: &mut Proposals,
        options: &[AppOption<'_>],
        so_far: &SoFar,
        before: &str,
        typed: &str,
    ) {
        let is_given = |name: &str| so_far.properties.contains_key(name);
        propose_names(proposals, options, self.detail, before, typed, is_given);
    }

    /// Takes the last app's name for the beginning of one.
    fn propose_longer_names(
        &self,
        proposals: &mut Proposals,
        registry: &dyn Registry,
        so_far: &SoFar,
        last: &AppNode,
    ) {
        let Some(typed) = self.registered_name(last) else { return };
        let labels = labels(&so_far.definition);
        for app in registry.apps().iter().filter(|app| so_far.types.contains(&app.app_type)) {
            let Some(rest) = app.name.strip_prefix(typed).filter(|rest| !rest.is_empty()) else { continue };
            if last.is_labelled() {
                proposals.append(self.text, rest, None);
            } else if let Some(rest) = with_free_label(app.name, &labels).strip_prefix(typed) {
                // The label begins with the name, so that it too continues what was typed.
                proposals.append(self.text, rest, None);
            }
        }
    }

    /// Proposes labels of the stream that is named, of apps whose output can be read; without such a stream, streams.
    fn propose_taps(&self, proposals: &mut Proposals, registry: &dyn Registry) {
        let mut parts = self.text.strip_prefix(':').unwrap_or_default().split('.');
        let (stream, label) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        match registry.definition(stream) {
            Some(definition) => {
                let before = format!(":{stream}.");
                for (index, app) in definition.apps().iter().enumerate() {
                    let can_be_read = definition.app_type(index) != AppType::Sink;
                    if can_be_read && app.label().starts_with(label) {
                        proposals.append(&before, app.label(), None);
                    }
                }
            }
            None => {
                let streams = registry.streams();
                let found = streams.iter().filter(|name| name.starts_with(stream));
                found.for_each(|name| proposals.append(":", name, None));
            }
        }
    }

    /// The name by which the registry knows an app, if it is to be asked.
    ///
    /// SCDF asks by label and so finds nothing about an app that has one, or something about another app. Its clients
    /// know the answers without, so only [`Detail::All`] asks by the right name.
    fn registered_name<'a>(&self, app: &'a AppNode) -> Option<&'a str> {
        (self.detail == Detail::All || app.label() == app.name()).then(|| app.name())
    }

    fn is_surely_a_sink(&self, app: &AppNode, registry: &dyn Registry) -> bool {
        let Some(name) = self.registered_name(app) else { return false };
        let apps = registry.apps();
        let is_a = |app_type: AppType| apps.contains(&App { app_type, name });
        is_a(AppType::Sink) && !is_a(AppType::Processor)
    }
}

/// Proposes the apps for whose type there is an explanation, under a label where the definition has their name already.
fn propose_apps(
    proposals: &mut Proposals,
    registry: &dyn Registry,
    before: &str,
    so_far: Option<&SoFar>,
    explain: fn(AppType) -> Option<&'static str>,
) {
    let labels = so_far.map_or_else(HashSet::new, |so_far| labels(&so_far.definition));
    for app in registry.apps() {
        if let Some(explanation) = explain(app.app_type) {
            proposals.append_words(before, &with_free_label(app.name, &labels), Some(explanation));
        }
    }
}

fn what_begins(app_type: AppType) -> Option<&'static str> {
    match app_type {
        AppType::Source => Some("a source that begins the stream"),
        AppType::App => Some("an app that is bound to no other"),
        AppType::Processor | AppType::Sink => None,
    }
}

fn what_reads_a_destination(app_type: AppType) -> Option<&'static str> {
    match app_type {
        AppType::Processor => Some("a processor that reads from the destination"),
        AppType::Sink => Some("a sink that reads from the destination"),
        AppType::App | AppType::Source => None,
    }
}

fn what_runs_beside(app_type: AppType) -> Option<&'static str> {
    (app_type == AppType::App).then_some("an app that runs beside the others")
}

fn what_comes_next(app_type: AppType) -> Option<&'static str> {
    match app_type {
        AppType::Processor => Some("a processor that reads what comes before it"),
        AppType::Sink => Some("a sink that ends the stream"),
        AppType::App | AppType::Source => None,
    }
}

fn labels(definition: &StreamDefinition) -> HashSet<&str> {
    definition.apps().iter().map(AppNode::label).collect()
}

/// The name, after a label where there is an app with this label: `filter2: filter`.
fn with_free_label(name: &str, labels: &HashSet<&str>) -> String {
    if !labels.contains(name) {
        return name.to_owned();
    }
    let mut candidates = (2_u64..).map(|number| format!("{name}{number}"));
    let free = candidates.find(|candidate| !labels.contains(candidate.as_str()));
    free.map_or_else(|| name.to_owned(), |label| format!("{label}: {name}"))
}

#[cfg(test)]
mod tests;
