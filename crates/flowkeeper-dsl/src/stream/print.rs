//! Printing a definition as text that reads back as the same definition.

use super::{AppNode, Argument, StreamDefinition};
use crate::lexer::{is_identifier, is_plain_value};

impl StreamDefinition {
    /// Prints the definition in canonical form: one blank between tokens, quotes only where needed.
    ///
    /// [`parse`](crate::parse) of the result, with the same given name, is equal to this definition.
    /// Quotes inside values are doubled, so that a text close to the limit of the parser may outgrow it.
    pub fn to_dsl(&self) -> String {
        let mut out = String::new();
        if let Some(name) = &self.embedded_name {
            out.push_str(name);
            // Directly after the equals sign anything may be an app name (`s=a/b`), elsewhere not.
            let odd = self.source.is_none() && !is_identifier(self.apps[0].label());
            out.push_str(if odd { "=" } else { " = " });
        }
        if let Some(source) = &self.source {
            out.push(':');
            out.push_str(&source.name);
            push_args(&mut out, &source.args);
            out.push_str(" > ");
        }
        if !self.is_implied_bridge() {
            let delimiter = if self.unbound { " || " } else { " | " };
            for (index, app) in self.apps.iter().enumerate() {
                if index > 0 {
                    out.push_str(delimiter);
                }
                push_app(&mut out, app);
            }
        }
        if let Some(sink) = &self.sink {
            out.push_str(if self.is_implied_bridge() { ":" } else { " > :" });
            out.push_str(&sink.name);
            push_args(&mut out, &sink.args);
        }
        out
    }

    /// Whether the definition can be written `:a > :b`.
    fn is_implied_bridge(&self) -> bool {
        self.source.is_some()
            && self.sink.is_some()
            && matches!(self.apps.as_slice(), [app] if app.name == "bridge" && app.label.is_none() && app.args.is_empty())
    }
}

/// Writes a value so that it reads back unchanged: as it is where possible, else in single quotes.
pub(crate) fn quoted(value: &str) -> String {
    if is_plain_value(value) { value.to_owned() } else { format!("'{}'", value.replace('\'', "''")) }
}

fn push_app(out: &mut String, app: &AppNode) {
    if let Some(label) = &app.label {
        out.push_str(label);
        out.push_str(": ");
    }
    out.push_str(&app.name);
    push_args(out, &app.args);
}

fn push_args(out: &mut String, args: &[Argument]) {
    for arg in args {
        out.push_str(" --");
        out.push_str(&arg.name);
        out.push('=');
        out.push_str(&quoted(&arg.value));
    }
}
