//! Java's `hashCode`, on which the partition of a message depends (Spring Cloud Stream's partitioning).

use super::Value;

/// `hashCode()` of the Java object the value stands for.
///
/// Bytes are the exception: the hash of a Java array is its identity, that is a random partition per message. Here it is
/// `Arrays.hashCode`, so that equal payloads stay together.
pub fn hash_code(value: &Value) -> i32 {
    match value {
        Value::Null => 0,
        Value::Bool(true) => 1231,
        Value::Bool(false) => 1237,
        Value::Int(n) => *n,
        Value::Long(n) => fold(*n as u64),
        Value::Double(n) => fold(double_bits(*n)),
        Value::String(text) => string_hash(text),
        Value::Bytes(bytes) => {
            bytes.iter().fold(1i32, |h, b| h.wrapping_mul(31).wrapping_add(i32::from(*b as i8)))
        }
        Value::List(items) => {
            items.iter().fold(1i32, |h, item| h.wrapping_mul(31).wrapping_add(hash_code(item)))
        }
        Value::Map(entries) => {
            entries.iter().fold(0i32, |h, (k, v)| h.wrapping_add(string_hash(k) ^ hash_code(v)))
        }
    }
}

/// The partition of a key: `abs(hash % partitions)`, where a hash of `Integer.MIN_VALUE` counts as 0.
pub fn partition_of(hash: i32, partitions: u32) -> u32 {
    hash.checked_abs().unwrap_or(0).unsigned_abs() % partitions.max(1)
}

/// `String.hashCode`: the polynomial in 31 over UTF-16 units.
pub fn string_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |h, unit| h.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// `Double.doubleToLongBits`: every NaN is the one canonical NaN.
pub(crate) fn double_bits(number: f64) -> u64 {
    if number.is_nan() { 0x7ff8_0000_0000_0000 } else { number.to_bits() }
}

fn fold(bits: u64) -> i32 {
    (bits ^ (bits >> 32)) as u32 as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by a JDK.
    #[test]
    fn hash_codes_are_those_of_the_jdk() {
        let list = Value::list(vec!["a".into(), "b".into()]);
        let map = Value::map([("k".to_owned(), Value::Int(1))].into_iter().collect());
        let cases: Vec<(Value, i32)> = vec![
            ("".into(), 0),
            ("a".into(), 97),
            ("hello".into(), 99_162_322),
            ("grüß 世界".into(), 427_373_000),
            ("polygenelubricants".into(), i32::MIN),
            ("😀".into(), 1_772_899),
            (true.into(), 1231),
            (false.into(), 1237),
            (42.into(), 42),
            (9_007_199_254_740_993_i64.into(), 2_097_153),
            ((-1_i64).into(), 0),
            (0.5.into(), 1_071_644_672),
            (f64::NAN.into(), 2_146_959_360),
            (list, 4066),
            (map, 106),
            (Value::Null, 0),
        ];
        for (value, expected) in cases {
            assert_eq!(hash_code(&value), expected, "{value:?}");
        }
    }

    #[test]
    fn partitions_follow_the_hash_and_min_value_counts_as_zero() {
        assert_eq!(partition_of(99_162_322, 3), 99_162_322 % 3);
        assert_eq!(partition_of(-7, 3), 1);
        assert_eq!(partition_of(i32::MIN, 3), 0);
        assert_eq!(partition_of(5, 0), 0);
    }
}
