//! What this server is, in SCDF's words.

use axum::extract::State;
use flowkeeper_api::about::{
    About, Build, Commit, Component, Deployer, FeatureInfo, Git, GitAndBuildInfo, MonitoringDashboardInfo,
    RuntimeEnvironment, Security, SecurityInfo, VersionInfo,
};
use flowkeeper_api::hal::SelfLink;
use indexmap::IndexMap;

use super::base::Base;
use super::respond::Hal;
use crate::state::AppState;

/// The version of SCDF whose API this is; its clients choose by it what they ask for.
const SPOKEN: &str = "2.11.5";
/// The version of SCDF's dashboard that belongs to it.
const DASHBOARD: &str = "3.4.6";

/// Version of the API, features, and what runs apps.
#[utoipa::path(get, path = "/about", tag = "server", responses((status = 200, body = About)))]
pub(super) async fn about(State(state): State<AppState>, base: Base) -> Hal<About> {
    let component = |name: &str, version: &str| Component {
        name: name.to_owned(),
        version: version.to_owned(),
        url: None,
    };
    let platform = IndexMap::from([(state.settings.platform.clone(), "local".to_owned())]);
    let shell = Component { url: Some(String::new()), ..component("Spring Cloud Data Flow Shell", SPOKEN) };
    Hal(About {
        feature_info: FeatureInfo {
            analytics_enabled: true,
            streams_enabled: true,
            tasks_enabled: true,
            schedules_enabled: false,
            monitoring_dashboard_type: "NONE".to_owned(),
        },
        version_info: VersionInfo {
            implementation: component("spring-cloud-dataflow-server", SPOKEN),
            core: component("Spring Cloud Data Flow Core", SPOKEN),
            dashboard: component("Spring Cloud Dataflow UI", DASHBOARD),
            shell,
        },
        security_info: Security::default(),
        runtime_environment: RuntimeEnvironment {
            app_deployer: Deployer {
                platform_specific_info: platform,
                platform_type: "Skipper Managed".to_owned(),
                ..deployer("Flowkeeper agents")
            },
            task_launchers: vec![Deployer {
                platform_type: "Local".to_owned(),
                ..deployer("LocalTaskLauncher")
            }],
        },
        monitoring_dashboard_info: MonitoringDashboardInfo {
            url: String::new(),
            refresh_interval: 15,
            dashboard_type: "NONE".to_owned(),
            source: "default-scdf-source".to_owned(),
        },
        git_and_build_info: build(),
        links: SelfLink::new(base.href("/about")),
    })
}

/// Whether one has to authenticate, and who one is.
#[utoipa::path(get, path = "/security/info", tag = "server", responses((status = 200, body = SecurityInfo)))]
pub(super) async fn security_info(base: Base) -> Hal<SecurityInfo> {
    Hal(SecurityInfo { security: Security::default(), links: SelfLink::new(base.href("/security/info")) })
}

/// What this program was built from.
pub(super) fn build() -> GitAndBuildInfo {
    GitAndBuildInfo {
        // The dashboard reads the commit and cannot do without; a source tree need not be a repository.
        git: Git { branch: String::new(), commit: Commit { id: String::new(), time: String::new() } },
        build: Build {
            artifact: env!("CARGO_PKG_NAME").to_owned(),
            name: "Flowkeeper Server".to_owned(),
            time: String::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            group: "flowkeeper".to_owned(),
        },
    }
}

fn deployer(name: &str) -> Deployer {
    Deployer {
        deployer_implementation_version: env!("CARGO_PKG_VERSION").to_owned(),
        deployer_name: name.to_owned(),
        deployer_spi_version: SPOKEN.to_owned(),
        ..Deployer::default()
    }
}
