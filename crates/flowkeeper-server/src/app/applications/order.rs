//! In which order streams that were changed together are started: readers before writers, as the apps within a stream.

use flowkeeper_dsl::StreamDefinition;

/// Places of streams, by their place in the file: whoever reads a destination or taps a stream comes before whoever writes
/// there. Where streams feed each other in a circle, and where nothing binds them, the order of the file counts.
pub(super) fn places(definitions: &[StreamDefinition]) -> Vec<u32> {
    let readers = |writer: usize| -> Vec<usize> {
        let others = (0..definitions.len()).filter(|reader| *reader != writer);
        others.filter(|reader| reads_from(&definitions[*reader], &definitions[writer])).collect()
    };
    let readers: Vec<Vec<usize>> = (0..definitions.len()).map(readers).collect();
    let mut places: Vec<Option<u32>> = vec![None; definitions.len()];
    let mut left: Vec<usize> = (0..definitions.len()).collect();
    for place in 0.. {
        let is_free = |writer: &usize| readers[*writer].iter().all(|reader| places[*reader].is_some());
        let found = left.iter().position(is_free).unwrap_or(0);
        if left.is_empty() {
            break;
        }
        places[left.remove(found)] = Some(place);
    }
    places.into_iter().flatten().collect()
}

/// Whether `reader` gets what `writer` sends: by a destination that both name, or by a tap.
fn reads_from(reader: &StreamDefinition, writer: &StreamDefinition) -> bool {
    let Some(source) = reader.source_destination() else { return false };
    let sink = writer.sink_destination().map(|sink| sink.name.as_str());
    source.name.split(',').map(str::trim).any(|name| {
        let tapped = name.split_once('.').map(|(stream, _)| stream);
        Some(name) == sink || (tapped.is_some() && tapped == writer.name())
    })
}

#[cfg(test)]
mod tests {
    use flowkeeper_dsl::parse;
    use proptest::prelude::*;

    use super::*;

    fn definitions(texts: &[(&str, &str)]) -> Vec<StreamDefinition> {
        texts.iter().map(|(name, text)| parse(Some(name), text).expect("a definition")).collect()
    }

    fn order(texts: &[(&str, &str)]) -> Vec<String> {
        let definitions = definitions(texts);
        let mut order: Vec<_> =
            places(&definitions).into_iter().zip(texts.iter().map(|(name, _)| name)).collect();
        order.sort_unstable();
        order.into_iter().map(|(_, name)| (*name).to_owned()).collect()
    }

    #[test]
    fn readers_come_before_writers() {
        let chain = [("in", "http > :orders"), ("work", ":orders > filter > :good"), ("out", ":good > log")];
        assert_eq!(order(&chain), ["out", "work", "in"]);
        let tap = [("main", "time | log"), ("other", "time | log"), ("tap", ":main.time > log")];
        assert_eq!(order(&tap), ["other", "tap", "main"]);
    }

    #[test]
    fn what_is_not_bound_or_runs_in_a_circle_keeps_the_order_of_the_file() {
        assert_eq!(order(&[("b", "time | log"), ("a", "time | log")]), ["b", "a"]);
        let circle = [("x", ":a > filter > :b"), ("y", ":b > filter > :a"), ("z", "http > :a")];
        assert_eq!(order(&circle), ["x", "y", "z"]);
        assert_eq!(order(&[("self", ":self > filter > :self")]), ["self"]);
        assert!(order(&[]).is_empty());
    }

    proptest! {
        /// Each has a place of its own, and no writer comes before its reader unless they are in a circle.
        #[test]
        fn any_set_of_streams_has_an_order(ends in prop::collection::vec((0u8..5, 0u8..5), 0..8)) {
            let names: Vec<String> = (0..ends.len()).map(|index| format!("s{index}")).collect();
            // Destinations of higher numbers are fed from lower ones only, so there are no circles.
            let texts: Vec<String> =
                ends.iter().map(|(from, more)| format!(":d{from} > filter > :d{}", from + more + 1)).collect();
            let pairs: Vec<_> = names.iter().map(String::as_str).zip(texts.iter().map(String::as_str)).collect();
            let definitions = definitions(&pairs);
            let places = places(&definitions);
            let mut sorted = places.clone();
            sorted.sort_unstable();
            prop_assert!(sorted.iter().enumerate().all(|(index, place)| index as u32 == *place));
            for (reader, its) in definitions.iter().zip(&places) {
                for (writer, other) in definitions.iter().zip(&places) {
                    prop_assert!(!reads_from(reader, writer) || its < other);
                }
            }
        }
    }
}
