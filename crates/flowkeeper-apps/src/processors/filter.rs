//! `filter`: passes on the messages for which an expression is true.

use flowkeeper_appkit::app::{App, Error, Processor, Role};
use flowkeeper_appkit::expr::Expression;
use flowkeeper_appkit::message::Message;
use flowkeeper_appkit::props::Props;

use super::transform::parse;
use crate::catalog::options::check_expression;
use crate::catalog::{AppDescriptor, AppKind, OptionDescriptor};

const EXPRESSION: OptionDescriptor = OptionDescriptor {
    name: "filter.function.expression",
    java_type: "org.springframework.expression.Expression",
    default: Some("true"),
    description: "Condition a message must meet to be passed on; sees payload and headers",
    check: Some(check_expression),
};

pub(crate) const DESCRIPTOR: AppDescriptor = AppDescriptor {
    kind: AppKind::Processor,
    name: "filter",
    summary: "Passes on the messages that meet a condition",
    options: &[EXPRESSION],
    build,
};

fn build(props: &Props) -> Result<App, Error> {
    let filter = Filter { expression: parse(props, &EXPRESSION)? };
    Ok(App::new(Role::Processor(Box::new(filter)), &["filterFunction"]))
}

struct Filter {
    expression: Expression,
}

impl Processor for Filter {
    fn process(&mut self, message: &Message, out: &mut Vec<Message>) -> Result<(), Error> {
        if self.expression.eval_bool(message)? {
            out.push(message.clone());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(expression: &str, payload: &str) -> Result<bool, Error> {
        let props = Props::from_pairs([(EXPRESSION.name, expression)]);
        let Role::Processor(mut filter) = build(&props).unwrap().role else { panic!("a processor") };
        let mut out = Vec::new();
        filter.process(&Message::new(payload.to_owned()), &mut out)?;
        Ok(!out.is_empty())
    }

    #[test]
    fn a_message_passes_when_the_condition_holds() {
        assert!(passes("payload.temperature > 30", r#"{"temperature":31}"#).unwrap());
        assert!(!passes("payload.temperature > 30", r#"{"temperature":30}"#).unwrap());
        assert!(passes("'yes'", "x").unwrap());
        assert!(passes("", "x").unwrap());
    }

    #[test]
    fn what_is_no_truth_value_is_an_error_of_the_message() {
        let error = passes("payload", "perhaps").unwrap_err();
        assert!(error.to_string().contains("no truth value"), "{error}");
        assert!(matches!(error, Error::Message(_)));
    }
}
