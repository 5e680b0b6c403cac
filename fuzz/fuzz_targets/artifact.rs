//! No coordinate leads out of a repository, and no other text of a repository or of a setting makes its reader panic.
#![no_main]

use flowkeeper_deploy::artifact::http::shown;
use flowkeeper_deploy::artifact::maven::Coordinate;
use flowkeeper_deploy::artifact::Repository;
use flowkeeper_server::app::options::container::Registry;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(coordinate) = Coordinate::parse(text) {
        let printed = coordinate.to_string();
        assert!(!printed.contains(['/', '\\', '%']) && !printed.contains(".."), "{printed}");
        assert_eq!(Coordinate::parse(&printed).as_ref(), Ok(&coordinate));
    }
    let _ = Repository::parse(text);
    let _ = Registry::parse(text);
    shown(text);
});
