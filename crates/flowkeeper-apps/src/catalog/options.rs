//! Options as users write them: short names, checks of names and values, and helpful refusals.

use flowkeeper_appkit::app::Error;
use flowkeeper_appkit::excerpt;
use flowkeeper_appkit::expr::Expression;
use flowkeeper_appkit::props::parse_duration;
use flowkeeper_appkit::suggest::nearest;

use super::{AppDescriptor, OptionDescriptor};

/// Why an option is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    #[error(
        "the {kind} '{app}' has no option '{option}'; {}`flowkeeper app info --name {app} --type {kind}` lists its options",
        hint_text(.hint)
    )]
    Unknown { app: String, kind: &'static str, option: String, hint: Option<String> },
    #[error("the option '{option}' of {app} could mean {}; write it in full", .candidates.join(" or "))]
    Ambiguous { app: String, option: String, candidates: Vec<String> },
    #[error("the option '{option}' is '{}', but {expected} is expected", excerpt::around(.value, 0))]
    Value { option: String, value: String, expected: String },
    /// An expression that cannot run; the position counts characters of the value from 0.
    #[error(
        "the option '{option}' is the expression '{}', which cannot be used: {message}",
        excerpt::around(.value, *.position)
    )]
    Expression { option: String, value: String, message: String, position: usize },
}

fn hint_text(hint: &Option<String>) -> String {
    hint.as_ref().map(|h| format!("did you mean '{h}'? ")).unwrap_or_default()
}

/// Prefixes of properties that belong to the platform, not to an app.
const COMMON_PREFIXES: [&str; 11] = [
    "spring.",
    "management.",
    "server.",
    "logging.",
    "info.",
    "endpoints.",
    "security.",
    "metadata.store.",
    "instance.",
    "app.",
    "flowkeeper.",
];

impl AppDescriptor {
    /// Checks options as written by a user and returns them under their full names; properties of the platform pass as
    /// they are. An option may be written by any end of its name (`expression`, `function.expression`) that only it has.
    ///
    /// # Errors
    /// The first option that does not exist, is ambiguous, or has a value that cannot be used.
    pub fn check_options<'o>(
        &self,
        options: &[(&'o str, &'o str)],
    ) -> Result<Vec<(String, String)>, OptionError> {
        options
            .iter()
            .map(|(name, value)| match self.option(name)? {
                None => Ok(((*name).to_owned(), (*value).to_owned())),
                Some(option) => {
                    option.check_value(value)?;
                    Ok((option.name.to_owned(), (*value).to_owned()))
                }
            })
            .collect()
    }

    /// The option a name stands for; `None` for a property of the platform.
    ///
    /// # Errors
    /// The name stands for no option, or for several.
    pub fn option(&self, name: &str) -> Result<Option<&'static OptionDescriptor>, OptionError> {
        let wanted = canonical(name);
        if let Some(option) = self.options.iter().find(|o| canonical(o.name) == wanted) {
            return Ok(Some(option));
        }
        if COMMON_PREFIXES.iter().any(|p| wanted.starts_with(p)) {
            return Ok(None);
        }
        let suffix = format!(".{wanted}");
        let candidates: Vec<&OptionDescriptor> =
            self.options.iter().filter(|o| canonical(o.name).ends_with(&suffix)).collect();
        match candidates.as_slice() {
            [option] => Ok(Some(option)),
            [] => Err(OptionError::Unknown {
                app: self.name.to_owned(),
                kind: self.kind.word(),
                option: name.to_owned(),
                hint: self.nearest_option(name),
            }),
            several => Err(OptionError::Ambiguous {
                app: self.name.to_owned(),
                option: name.to_owned(),
                candidates: several.iter().map(|o| format!("'{}'", o.name)).collect(),
            }),
        }
    }

    /// The known name nearest to a mistyped one: short if it was written short.
    fn nearest_option(&self, name: &str) -> Option<String> {
        let short = |o: &'static OptionDescriptor| o.name.rsplit('.').next().unwrap_or(o.name);
        if name.contains('.') {
            nearest(name, self.options.iter().map(|o| o.name)).map(str::to_owned)
        } else {
            nearest(name, self.options.iter().map(short)).map(str::to_owned)
        }
    }
}

impl OptionDescriptor {
    /// Checks a value: its type, then what the option asks beyond that. Values with placeholders are checked when the app
    /// starts.
    ///
    /// # Errors
    /// The value cannot be used.
    pub fn check_value(&self, value: &str) -> Result<(), OptionError> {
        if value.contains("${") || value.trim().is_empty() {
            return Ok(());
        }
        let (is_right, expected) = match self.java_type {
            "java.lang.Boolean" => {
                let words = ["true", "false", "on", "off", "yes", "no", "1", "0"];
                (words.contains(&value.trim().to_lowercase().as_str()), "true or false")
            }
            "java.lang.Integer" => (value.trim().parse::<i32>().is_ok(), "a whole number"),
            "java.lang.Long" => (value.trim().parse::<i64>().is_ok(), "a whole number"),
            "java.time.Duration" => (
                parse_duration(value).is_some(),
                "a duration such as 500ms, 10s, PT5S or a number of milliseconds",
            ),
            _ => (true, ""),
        };
        if !is_right {
            return Err(self.wrong_value(value, expected));
        }
        // A check knows the value, the option is added here.
        self.check.map_or(Ok(()), |check| check(value)).map_err(|error| match error {
            OptionError::Value { value, expected, .. } => {
                OptionError::Value { option: self.name.to_owned(), value, expected }
            }
            OptionError::Expression { value, message, position, .. } => {
                OptionError::Expression { option: self.name.to_owned(), value, message, position }
            }
            other => other,
        })
    }

    fn wrong_value(&self, value: &str, expected: &str) -> OptionError {
        OptionError::Value {
            option: self.name.to_owned(),
            value: value.to_owned(),
            expected: expected.to_owned(),
        }
    }
}

/// Lower case without dashes and underscores, as Spring compares names.
fn canonical(name: &str) -> String {
    name.chars().filter(|c| *c != '-' && *c != '_').flat_map(char::to_lowercase).collect()
}

/// Reads an option that is an expression.
pub(crate) fn parse_expression(option: &OptionDescriptor, text: &str) -> Result<Expression, Error> {
    Expression::parse(text).map_err(|error| {
        let shown = excerpt::around(text, error.position);
        Error::Fatal(format!("the expression '{shown}' of {} cannot be used: {error}", option.name))
    })
}

/// The check of options that are expressions over a message.
pub(crate) fn check_expression(value: &str) -> Result<(), OptionError> {
    Expression::parse(value).map(drop).map_err(|error| OptionError::Expression {
        option: String::new(),
        value: value.to_owned(),
        position: error.position,
        message: error.to_string(),
    })
}

/// A check that fails with what is expected.
pub(crate) fn expect(is_right: bool, value: &str, expected: &str) -> Result<(), OptionError> {
    if is_right {
        return Ok(());
    }
    Err(OptionError::Value { option: String::new(), value: value.to_owned(), expected: expected.to_owned() })
}
