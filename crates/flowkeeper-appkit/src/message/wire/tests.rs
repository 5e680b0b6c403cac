//! The codec against records written by real Spring Cloud Stream apps, and against arbitrary bytes.

use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;

fn golden() -> Json {
    serde_json::from_str(include_str!("../../../tests/data/scst-records.json")).unwrap()
}

/// Header names and bytes of a golden record, in wire order.
fn headers_of(record: &Json) -> Vec<(String, Vec<u8>)> {
    let headers = record["headers"].as_array().cloned().unwrap_or_default();
    headers
        .iter()
        .map(|h| (h["name"].as_str().unwrap().to_owned(), unbase64(h["value_base64"].as_str().unwrap())))
        .collect()
}

fn unbase64(text: &str) -> Vec<u8> {
    let mut bits = 0u32;
    let mut n_bits = 0;
    let mut out = Vec::new();
    for c in text.bytes().filter(|c| *c != b'=') {
        let digit = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        bits = (bits << 6) | u32::from(digit);
        n_bits += 6;
        if n_bits >= 8 {
            n_bits -= 8;
            out.push((bits >> n_bits) as u8);
        }
    }
    out
}

fn decode(headers: &[(String, Vec<u8>)]) -> Headers {
    HeaderDecoder::default().decode(headers.iter().map(|(n, v)| (n.as_str(), v.as_slice())))
}

#[test]
fn every_golden_record_survives_decoding_and_encoding_byte_for_byte() {
    let golden = golden();
    let mut n_records = 0;
    for (name, variant) in golden["variants"].as_object().unwrap() {
        for record in variant["records"].as_array().unwrap() {
            let sent = headers_of(record);
            let again: Vec<(String, Vec<u8>)> = encode_headers(&decode(&sent))
                .into_iter()
                .map(|(n, v)| (n.to_string(), v.to_vec()))
                .collect();
            // Headers keep their order, but a serializer of the sender may have appended one behind the type table, whose
            // own order is a hash map's.
            let (mut sent, mut again) = (sent, again);
            for list in [&mut sent, &mut again] {
                list.sort_by_key(|(n, _)| n == JSON_TYPES);
                if let Some((_, table)) = list.last_mut().filter(|(n, _)| n == JSON_TYPES) {
                    let mut entries: Vec<(String, Json)> = serde_json::from_slice::<Json>(table)
                        .unwrap()
                        .as_object()
                        .unwrap()
                        .clone()
                        .into_iter()
                        .collect();
                    entries.sort_by(|a, b| a.0.cmp(&b.0));
                    *table = format!("{entries:?}").into_bytes();
                }
            }
            assert_eq!(again, sent, "variant {name}, case {}", record["case"]);
            n_records += 1;
        }
    }
    assert_eq!(n_records, 95);
}

#[test]
fn golden_headers_decode_to_their_java_types() {
    let golden = golden();
    let records = golden["variants"]["default"]["records"].as_array().unwrap();
    let header = |case: &str, name: &str| {
        let record = records.iter().find(|r| r["case"] == case).unwrap();
        decode(&headers_of(record)).get(name).cloned().unwrap()
    };
    assert_eq!(header("headers-string", "x-string").to_value(), Value::from("value"));
    assert_eq!(
        header("headers-string-unicode", "x-string").to_value(),
        Value::from("grüß \"quoted\" \\ back")
    );
    assert_eq!(header("headers-int", "x-int").to_value(), Value::Int(42));
    assert_eq!(header("headers-long", "x-long").to_value(), Value::Long(9_007_199_254_740_993));
    assert_eq!(header("headers-double", "x-double").to_value(), Value::Double(0.5));
    assert_eq!(header("headers-boolean", "x-bool").to_value(), Value::Bool(true));
    assert_eq!(header("headers-list", "x-list").to_value(), Value::list(vec!["a".into(), "b".into()]));
    assert_eq!(header("headers-uuid", "x-uuid"), HeaderValue::uuid("123e4567-e89b-12d3-a456-426614174000"));
    assert_eq!(
        header("headers-bytes", "x-bytes").to_value(),
        Value::Bytes(Bytes::from_static(&[0, 1, 2, 0x7f, 0x80, 0xff]))
    );
    assert_eq!(header("headers-map", "x-map").to_value().to_text(), "{k=1}");
}

#[test]
fn golden_embedded_headers_are_split_from_the_payload() {
    let golden = golden();
    let records = golden["variants"]["header-mode-embedded"]["records"].as_array().unwrap();
    assert!(!records.is_empty());
    for record in records {
        let value = Bytes::from(unbase64(record["value_base64"].as_str().unwrap()));
        let (headers, payload) = split_embedded_headers(&value).unwrap();
        assert!(headers.value("contentType").is_some(), "{record}");
        assert!(value.ends_with(&payload));
        assert!(!payload.starts_with(&[0xff]));
    }
}

#[test]
fn a_quoted_string_is_unquoted_and_a_header_without_type_is_bytes() {
    let headers = decode(&[
        ("contentType".into(), b"\"text/plain\"".to_vec()),
        ("raw".into(), b"\"x\"".to_vec()),
        (JSON_TYPES.into(), br#"{"contentType":"java.lang.String"}"#.to_vec()),
    ]);
    assert_eq!(headers.value("contentType"), Some("text/plain".into()));
    assert_eq!(headers.value("raw"), Some(Value::Bytes(Bytes::from_static(b"\"x\""))));
}

#[test]
fn headers_of_this_process_are_not_sent() {
    let mut headers = Headers::default();
    for name in ["id", "timestamp", "deliveryAttempt", "kafka_offset", "mine"] {
        headers.set(name, Value::Int(1));
    }
    let names: Vec<String> = encode_headers(&headers).into_iter().map(|(n, _)| n.to_string()).collect();
    assert_eq!(names, ["mine", JSON_TYPES]);
}

fn any_value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |d| d.is_finite()).prop_map(Value::from),
        "[^\"].*|".prop_map(Value::from),
        any::<Vec<u8>>().prop_map(|b| Value::Bytes(b.into())),
    ];
    scalar
}

proptest! {
    #[test]
    fn headers_round_trip(entries in proptest::collection::vec(("[a-z]{1,8}", any_value()), 0..6)) {
        let mut headers = Headers::default();
        for (name, value) in entries {
            headers.set(format!("x-{name}"), value);
        }
        let wire: Vec<(String, Vec<u8>)> =
            encode_headers(&headers).into_iter().map(|(n, v)| (n.to_string(), v.to_vec())).collect();
        prop_assert_eq!(decode(&wire), headers);
    }

    #[test]
    fn decoding_never_panics(
        entries in proptest::collection::vec((".{0,8}", any::<Vec<u8>>()), 0..4),
        table in any::<Vec<u8>>(),
        value in any::<Vec<u8>>(),
    ) {
        let mut wire = entries;
        wire.push((JSON_TYPES.to_owned(), table));
        let _ = encode_headers(&decode(&wire));
        let mut embedded = vec![0xff];
        embedded.extend(value);
        let _ = split_embedded_headers(&embedded.into());
    }
}
