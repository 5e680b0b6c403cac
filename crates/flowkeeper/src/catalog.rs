//! Hands the descriptions of the bundled apps to the server, which does not link them.

use std::sync::Arc;

use flowkeeper_apps::AppDescriptor;
use flowkeeper_server::catalog::{BundledApp, BundledOption, Catalog};
use flowkeeper_server::meta::AppKind;

/// All bundled apps.
pub(crate) fn bundled() -> Catalog {
    Catalog::new(flowkeeper_apps::catalog().iter().map(describe).collect())
}

fn describe(app: &'static AppDescriptor) -> BundledApp {
    let options = app.options.iter().map(|option| BundledOption {
        name: option.name.to_owned(),
        short_name: option.name.rsplit('.').next().unwrap_or(option.name).to_owned(),
        java_type: option.java_type.to_owned(),
        default: option.default.map(str::to_owned),
        description: option.description.to_owned(),
    });
    BundledApp {
        kind: match app.kind {
            flowkeeper_apps::AppKind::Source => AppKind::Source,
            flowkeeper_apps::AppKind::Processor => AppKind::Processor,
            flowkeeper_apps::AppKind::Sink => AppKind::Sink,
        },
        name: app.name.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        summary: app.summary.to_owned(),
        options: options.collect(),
        check: Arc::new(move |options| {
            let options: Vec<_> =
                options.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            app.check_options(&options).map_err(|error| error.to_string())
        }),
    }
}
