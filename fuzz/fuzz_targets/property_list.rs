//! No property list, argument list or name makes the readers panic.
#![no_main]

use flowkeeper_dsl::properties::{
    extract_deployer_properties, parse_argument_list, parse_property_list, relaxed_names, remove_quoting,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(properties) = parse_property_list(text) {
        extract_deployer_properties(&properties, "app");
    }
    remove_quoting(&parse_argument_list(text));
    assert!(relaxed_names(text).contains(text));
});
