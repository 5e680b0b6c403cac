//! `transform`: replaces the payload by the value of an expression.

use flowkeeper_appkit::app::{App, Error, Processor, Role};
use flowkeeper_appkit::expr::Expression;
use flowkeeper_appkit::message::Message;
use flowkeeper_appkit::props::Props;

use crate::catalog::options::{check_expression, parse_expression};
use crate::catalog::{AppDescriptor, AppKind, OptionDescriptor};

const EXPRESSION: OptionDescriptor = OptionDescriptor {
    name: "spel.function.expression",
    java_type: "java.lang.String",
    default: Some("payload"),
    description: "Expression whose value becomes the payload; a message without value is dropped",
    check: Some(check_expression),
};

pub(crate) const DESCRIPTOR: AppDescriptor = AppDescriptor {
    kind: AppKind::Processor,
    name: "transform",
    summary: "Replaces the payload by the value of an expression",
    options: &[EXPRESSION],
    build,
};

fn build(props: &Props) -> Result<App, Error> {
    let transform = Transform { expression: parse(props, &EXPRESSION)? };
    Ok(App::new(Role::Processor(Box::new(transform)), &["spelFunction"]))
}

/// Reads an option that is an expression.
pub(super) fn parse(props: &Props, option: &OptionDescriptor) -> Result<Expression, Error> {
    let text = props.text(option.name)?;
    let text = text.as_deref().or(option.default).unwrap_or("payload");
    parse_expression(option, text)
}

struct Transform {
    expression: Expression,
}

impl Processor for Transform {
    fn process(&mut self, message: &Message, out: &mut Vec<Message>) -> Result<(), Error> {
        let value = self.expression.eval(message)?;
        if !value.is_null() {
            out.push(message.with_payload(&value));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flowkeeper_appkit::value::Value;

    use super::*;

    fn transform(expression: &str, message: &Message) -> Vec<Message> {
        let props = Props::from_pairs([(EXPRESSION.name, expression)]);
        let Role::Processor(mut app) = build(&props).unwrap().role else { panic!("a processor") };
        let mut out = Vec::new();
        app.process(message, &mut out).unwrap();
        out
    }

    #[test]
    fn the_value_becomes_the_payload_and_headers_stay() {
        let message = Message::new(r#"{"id":7}"#).with_header("n", 3);
        let cases = [
            ("payload.id", "7"),
            ("payload.id + headers.n", "10"),
            ("'id ' + payload.id", "id 7"),
            ("{id: payload.id}", r#"{"id":7}"#),
            ("{1, 'a'}", r#"[1,"a"]"#),
            ("#jsonPath(payload, '$.id')", "7"),
        ];
        for (expression, expected) in cases {
            let out = transform(expression, &message);
            assert_eq!(out[0].payload, expected, "{expression}");
            assert_eq!(out[0].headers.value("n"), Some(Value::Int(3)));
        }
    }

    #[test]
    fn null_drops_the_message() {
        assert!(transform("null", &Message::new("x")).is_empty());
    }

    #[test]
    fn a_wrong_expression_keeps_the_app_from_starting() {
        let props = Props::from_pairs([(EXPRESSION.name, "payload.toUppercase()")]);
        let error = build(&props).err().unwrap().to_string();
        assert!(error.contains("did you mean toUpperCase()?"), "{error}");
    }
}
