//! The bundled apps as the server sees them. It does not link them: the composition root hands their descriptions in.

use std::fmt;
use std::sync::Arc;

use crate::meta::AppKind;

/// Scheme of the URI of a bundled app: `builtin:<type>/<name>`.
pub const BUILTIN: &str = "builtin:";

/// All bundled apps; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    apps: Arc<[BundledApp]>,
}

/// Checks options given to an app: full names with values, or one sentence that says what is wrong and what to do.
pub type CheckOptions =
    Arc<dyn Fn(&[(String, String)]) -> Result<Vec<(String, String)>, String> + Send + Sync>;

/// One bundled app.
#[derive(Clone)]
pub struct BundledApp {
    pub kind: AppKind,
    pub name: String,
    pub version: String,
    pub summary: String,
    pub options: Vec<BundledOption>,
    pub check: CheckOptions,
}

/// One option of a bundled app.
#[derive(Clone, Debug)]
pub struct BundledOption {
    /// Full name: `http.supplier.path-pattern`.
    pub name: String,
    /// What people type: `path-pattern`.
    pub short_name: String,
    /// `java.lang.String`, `java.lang.Integer`, …
    pub java_type: String,
    pub default: Option<String>,
    pub description: String,
}

impl BundledApp {
    /// The URI under which it is registered.
    pub fn uri(&self) -> String {
        format!("{BUILTIN}{}/{}", self.kind.name(), self.name)
    }
}

impl fmt::Debug for BundledApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BundledApp({}:{})", self.kind.name(), self.name)
    }
}

impl Catalog {
    pub fn new(apps: Vec<BundledApp>) -> Catalog {
        Catalog { apps: apps.into() }
    }

    pub fn apps(&self) -> &[BundledApp] {
        &self.apps
    }

    /// The bundled app that a registered URI means.
    pub fn by_uri(&self, uri: &str) -> Option<&BundledApp> {
        self.apps.iter().find(|app| app.uri() == uri)
    }
}
