//! `splitter`: makes one message of each element of a message.

use bytes::Bytes;
use flowkeeper_appkit::app::{App, Error, Processor, Role};
use flowkeeper_appkit::expr::Expression;
use flowkeeper_appkit::message::{HeaderValue, Message};
use flowkeeper_appkit::props::Props;
use flowkeeper_appkit::value::Value;
use uuid::Uuid;

use crate::catalog::options::{check_expression, parse_expression};
use crate::catalog::{AppDescriptor, AppKind, OptionDescriptor};

const EXPRESSION: OptionDescriptor = OptionDescriptor {
    name: "splitter.expression",
    java_type: "java.lang.String",
    default: None,
    description: "Expression whose value is split: the elements of a list become messages",
    check: Some(check_expression),
};

const DELIMITERS: OptionDescriptor = OptionDescriptor {
    name: "splitter.delimiters",
    java_type: "java.lang.String",
    default: None,
    description: "Characters at which a text payload is cut; pieces are trimmed and empty ones left out",
    check: None,
};

const APPLY_SEQUENCE: OptionDescriptor = OptionDescriptor {
    name: "splitter.apply-sequence",
    java_type: "java.lang.Boolean",
    default: Some("true"),
    description: "Whether to add the headers correlationId, sequenceNumber and sequenceSize, which an aggregator reads",
    check: None,
};

pub(crate) const DESCRIPTOR: AppDescriptor = AppDescriptor {
    kind: AppKind::Processor,
    name: "splitter",
    summary: "Makes one message of each element of a message",
    options: &[EXPRESSION, DELIMITERS, APPLY_SEQUENCE],
    build,
};

fn build(props: &Props) -> Result<App, Error> {
    let expression = match props.text(EXPRESSION.name)? {
        None => None,
        Some(text) => Some(parse_expression(&EXPRESSION, &text)?),
    };
    // Not `text`: a blank is a delimiter.
    let delimiters = props.get(DELIMITERS.name)?.filter(|d| !d.is_empty());
    if expression.is_some() && delimiters.is_some() {
        return Err(Error::Fatal(
            "give the splitter either an expression or delimiters, not both".to_owned(),
        ));
    }
    let splitter =
        Splitter { expression, delimiters, apply_sequence: props.bool(APPLY_SEQUENCE.name)?.unwrap_or(true) };
    Ok(App::new(Role::Processor(Box::new(splitter)), &["splitterFunction"]))
}

struct Splitter {
    expression: Option<Expression>,
    delimiters: Option<String>,
    apply_sequence: bool,
}

impl Splitter {
    fn elements(&self, message: &Message) -> Result<Vec<Value>, Error> {
        let whole = match &self.expression {
            Some(expression) => expression.eval(message)?,
            None => message.payload_value(),
        };
        Ok(match (whole, &self.delimiters) {
            (Value::Null, _) => Vec::new(),
            (Value::List(items), _) => items.iter().filter(|item| !item.is_null()).cloned().collect(),
            (Value::String(text), Some(delimiters)) => text
                .split(|c| delimiters.contains(c))
                .map(str::trim)
                .filter(|piece| !piece.is_empty())
                .map(Value::from)
                .collect(),
            (single, _) => vec![single],
        })
    }
}

impl Processor for Splitter {
    fn process(&mut self, message: &Message, out: &mut Vec<Message>) -> Result<(), Error> {
        let elements = self.elements(message)?;
        if !self.apply_sequence {
            out.extend(elements.iter().map(|element| message.with_payload(element)));
            return Ok(());
        }
        let details = outer_sequences(message);
        let correlation = HeaderValue::uuid(&Uuid::new_v4().to_string());
        let size = Value::integer(elements.len() as i64);
        for (number, element) in (1i64..).zip(&elements) {
            let mut part = message.with_payload(element);
            if let Some(details) = &details {
                part.headers.set("sequenceDetails", details.clone());
            }
            part.headers.set("correlationId", correlation.clone());
            part.headers.set("sequenceNumber", Value::integer(number));
            part.headers.set("sequenceSize", size.clone());
            out.push(part);
        }
        Ok(())
    }
}

/// When a part is split again, the sequence it belongs to is kept on a stack, as Spring Integration does.
fn outer_sequences(message: &Message) -> Option<HeaderValue> {
    let headers = &message.headers;
    let id = headers.value("correlationId")?;
    let number = headers.value("sequenceNumber").unwrap_or(Value::Int(0));
    let size = headers.value("sequenceSize").unwrap_or(Value::Int(0));
    let mut details = match headers.value("sequenceDetails") {
        Some(Value::List(outer)) => outer.to_vec(),
        _ => Vec::new(),
    };
    details.push(Value::list(vec![id, number, size]));
    Some(HeaderValue::Json {
        java_type: "java.util.ArrayList".into(),
        json: Bytes::from(Value::list(details).to_json()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pairs: &[(&str, &str)], message: &Message) -> Vec<Message> {
        let Role::Processor(mut splitter) = build(&Props::from_pairs(pairs.iter().copied())).unwrap().role
        else {
            panic!("a processor")
        };
        let mut out = Vec::new();
        splitter.process(message, &mut out).unwrap();
        out
    }

    fn texts(messages: &[Message]) -> Vec<&str> {
        messages.iter().map(|m| std::str::from_utf8(&m.payload).unwrap()).collect()
    }

    #[test]
    fn elements_become_messages_in_order() {
        let json = Message::new(r#"{"items":[{"n":1},{"n":2}],"one":5}"#);
        let by = |expression| split(&[(EXPRESSION.name, expression)], &json);
        assert_eq!(texts(&by("payload.items")), [r#"{"n":1}"#, r#"{"n":2}"#]);
        assert_eq!(texts(&by("#jsonPath(payload, '$.items[*].n')")), ["1", "2"]);
        assert_eq!(texts(&by("payload.one")), ["5"]);
        assert!(by("payload.missing").is_empty());
        let words = Message::new("a, b;;c ");
        assert_eq!(texts(&split(&[(DELIMITERS.name, ",;")], &words)), ["a", "b", "c"]);
        assert_eq!(texts(&split(&[(DELIMITERS.name, " ")], &Message::new("x y"))), ["x", "y"]);
        assert_eq!(texts(&split(&[], &words)), ["a, b;;c "]);
    }

    #[test]
    fn the_sequence_is_numbered_and_nested_sequences_are_stacked() {
        let message = Message::new("a-b,c").with_header("kept", "yes");
        let parts = split(&[(DELIMITERS.name, ",")], &message);
        for (i, part) in parts.iter().enumerate() {
            assert_eq!(part.headers.value("sequenceNumber"), Some(Value::Int(i as i32 + 1)));
            assert_eq!(part.headers.value("sequenceSize"), Some(Value::Int(2)));
            assert_eq!(part.headers.get("correlationId"), parts[0].headers.get("correlationId"));
            assert_eq!(part.headers.value("kept"), Some("yes".into()));
        }
        let inner = split(&[(DELIMITERS.name, "-")], &parts[0]);
        let Some(Value::List(details)) = inner[1].headers.value("sequenceDetails") else { panic!("a list") };
        let outer_id = parts[0].headers.value("correlationId").unwrap();
        assert_eq!(details[0], Value::list(vec![outer_id.clone(), 1.into(), 2.into()]));
        assert_ne!(inner[0].headers.value("correlationId"), Some(outer_id));
    }

    #[test]
    fn the_sequence_can_be_left_out() {
        let parts = split(&[(DELIMITERS.name, ","), (APPLY_SEQUENCE.name, "false")], &Message::new("a,b"));
        assert!(parts.iter().all(|p| p.headers.is_empty()));
    }
}
