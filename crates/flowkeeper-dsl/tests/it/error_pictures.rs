//! Errors as people see them: SCDF's picture to the letter, and ours.

use flowkeeper_dsl::{MAX_TEXT_BYTES, ParseError, parse};

fn error(text: &str) -> ParseError {
    parse(Some("s1"), text).expect_err(text)
}

/// The right-hand sides were recorded from SCDF 2.11.5.
#[test]
fn pictures_are_drawn_as_recorded() {
    for (text, picture) in [
        ("time | | log", "118E:(pos 7): expected app name but found '|'\ntime | | log\n    *  ^\n"),
        ("time |", "112E:(pos 6): Unexpectedly ran out of input\ntime |\n    * ^\n"),
        (
            "time --format='abc | log",
            "107E:(pos 14): Cannot find terminating ' for string\ntime --format='abc | log\n              ^\n",
        ),
        (
            "time --= | log",
            "111E:(pos 7): Unexpected token.  Expected '=' but was '{1}'\ntime --= | log\n    *  ^\n",
        ),
        ("time,log", "115E:(pos 4): unexpected data in stream definition ','\ntime,log\n    ^\n"),
        (
            "time | filter | filter | log",
            "143E:(pos 16): label 'filter' should be unique but app 'filter' (at position 1) and app 'filter' \
             (at position 2) both use it\ntime | filter | filter | log\n                ^\n",
        ),
        (
            "time | log --level",
            "112E:(pos 18): Unexpectedly ran out of input\ntime | log --level\n          *       ^\n",
        ),
        ("time > | log", "133E:(pos 7): Expected destination prefix but found '|'\ntime > | log\n    *  ^\n"),
        ("| log", "118E:(pos 0): expected app name but found '|'\n| log\n^\n"),
        ("", "112E:(pos 0): Unexpectedly ran out of input^\n"),
    ] {
        assert_eq!(error(text).scdf_message(), picture);
    }
    let name = parse(Some("bad name_1"), "time | log").unwrap_err();
    assert_eq!(name.scdf_message(), "122E:(pos 0): illegal name for a stream 'bad name_1'\nbad name_1\n^\n");
}

#[test]
fn a_picture_starts_with_the_line_that_is_wrong_and_keeps_stars_of_other_lines_out() {
    let picture = error("a --b='x\ny' c").scdf_message();
    assert_eq!(picture, "100E:(pos 12): Found unexpected data after stream definition: 'c'\ny' c\n  *^\n");
    let picture = error("a\n| b").scdf_message();
    assert_eq!(picture, "100E:(pos 1): Found unexpected data after stream definition: '\n'\na\n| b\n *");
}

#[test]
fn quotes_vanish_from_some_messages() {
    for (text, message) in [
        ("foo -- name=value", "101E:(pos 7): No whitespace allowed between -- and option name"),
        ("foo --name =value", "102E:(pos 11): No whitespace allowed after argument name and before ="),
        ("foo --name= value", "103E:(pos 12): No whitespace allowed after = and before option value"),
        ("a | b || c", "169E:(pos 6): do not mix | and || when specifying a list of applications"),
        (":x > a || b", "170E:(pos 7): do not use || between source/processor/sink apps in a stream, use |"),
    ] {
        assert_eq!(error(text).to_string(), message);
    }
}

#[test]
fn our_picture_has_the_line_a_caret_and_a_hint() {
    assert_eq!(
        error("time | | log").render(),
        "118E:(pos 7): expected app name but found '|'\n  time | | log\n         ^\nhint: write an app name here; \
         names start with a letter, a digit or `_`"
    );
    assert_eq!(
        error("tïme").render(),
        "115E:(pos 1): unexpected data in stream definition 'ï'\n  tïme\n   ^\nhint: remove the character, or put \
         the value that contains it in single quotes: `--name='a (b)'`"
    );
}

/// SCDF answers these with a null pointer.
#[test]
fn a_destination_may_touch_what_follows() {
    assert_eq!(parse(None, ":x>:y").unwrap(), parse(None, ":x > :y").unwrap());
    assert_eq!(parse(None, ":x/--group=g > log").unwrap(), parse(None, ":x/ --group=g > log").unwrap());
    assert_eq!(
        error(":tap:stream:s1 > log").to_string(),
        "111E:(pos 4): Unexpected token.  Expected 'gt(>)' but was ':'"
    );
    assert_eq!(error("a > :x.").to_string(), "112E:(pos 7): Unexpectedly ran out of input");
    assert_eq!(error(":x.> log").to_string(), "171E:(pos 3): unexpected data in destination name '>'");
}

#[test]
fn a_long_text_is_refused_unread() {
    let fits = format!("a --b={}", "x".repeat(MAX_TEXT_BYTES - 6));
    assert_eq!(parse(None, &fits).unwrap().apps()[0].args()[0].value.len(), MAX_TEXT_BYTES - 6);
    let error = error(&format!("{fits}x"));
    assert_eq!(error.to_string(), "900E:(pos 0): the definition is longer than 262144 bytes");
}
