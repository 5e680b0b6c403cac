//! What all handlers share, as an explicit list.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::app::options::OptionsReader;
use crate::catalog::Catalog;
use crate::meta::Meta;
use crate::metrics::Metrics;
use crate::run::Settings;

/// Shared parts; cheap to clone.
#[derive(Clone, Debug)]
pub struct AppState {
    pub meta: Meta,
    pub catalog: Catalog,
    pub options: OptionsReader,
    pub metrics: Metrics,
    /// ZooKeeper's servers, as configured, with the chroot.
    pub zookeeper: Arc<str>,
    pub settings: Arc<Settings>,
    /// For requests to app instances (actuator) and remote lists of apps.
    pub client: reqwest::Client,
    /// Ends what would else be answered for ever.
    pub stopping: CancellationToken,
}
