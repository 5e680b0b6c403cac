//! Whatever parses prints and reads back; whatever does not can be drawn.
#![no_main]

use flowkeeper_dsl::{PrintStyle, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match parse(None, text) {
        Ok(definition) => {
            // Printing may add quotes and blanks, and so may outgrow the limit.
            match parse(None, &definition.to_dsl()) {
                Ok(again) => assert_eq!(again, definition),
                Err(error) => assert_eq!(error.code().id(), "TEXT_TOO_LONG"),
            }
            definition.regenerate(PrintStyle::Scdf);
            definition.redact(PrintStyle::Faithful);
        }
        Err(error) => {
            error.render();
            error.scdf_message();
        }
    }
});
