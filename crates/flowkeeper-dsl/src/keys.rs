//! Names of the properties that tie an app to its stream, as Spring Cloud Stream and SCDF spell them.

/// Where an app reads from.
pub const INPUT_DESTINATION: &str = "spring.cloud.stream.bindings.input.destination";
/// The consumer group under which it reads.
pub const INPUT_GROUP: &str = "spring.cloud.stream.bindings.input.group";
/// The content type of what it reads.
pub const INPUT_CONTENT_TYPE: &str = "spring.cloud.stream.bindings.input.contentType";
/// Where an app writes to.
pub const OUTPUT_DESTINATION: &str = "spring.cloud.stream.bindings.output.destination";
/// The content type of what it writes.
pub const OUTPUT_CONTENT_TYPE: &str = "spring.cloud.stream.bindings.output.contentType";
/// The groups for which the broker must keep what it writes, even before they first connect.
pub const OUTPUT_REQUIRED_GROUPS: &str = "spring.cloud.stream.bindings.output.producer.requiredGroups";

/// Prefix of everything about an app's input.
pub const INPUT_BINDING_PREFIX: &str = "spring.cloud.stream.bindings.input.";
/// Prefix of everything about an app's output.
pub const OUTPUT_BINDING_PREFIX: &str = "spring.cloud.stream.bindings.output.";

/// The stream an app belongs to.
pub const STREAM_NAME: &str = "spring.cloud.dataflow.stream.name";
/// The label of an app within its stream.
pub const APP_LABEL: &str = "spring.cloud.dataflow.stream.app.label";
/// The type of an app: `source`, `processor`, `sink` or `app`.
pub const APP_TYPE: &str = "spring.cloud.dataflow.stream.app.type";

/// Prefix of what the deployer reads.
pub const DEPLOYER_PREFIX: &str = "spring.cloud.deployer.";
/// Prefix of the release options, which are split off before an app sees its properties.
pub const RELEASE_PREFIX: &str = "spring.cloud.dataflow.skipper";
