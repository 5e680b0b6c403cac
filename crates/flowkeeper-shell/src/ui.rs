//! The one place that prints.

use std::io::Write;

use serde::Serialize;

use crate::Context;
use crate::exit::Failure;
use crate::table::Table;

/// Form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// Tables on a terminal, plain lines otherwise.
    #[default]
    Auto,
    Json,
    Yaml,
    Name,
}

/// Output of a command.
#[derive(Debug)]
pub(crate) struct Ui {
    pub(crate) format: Format,
    is_terminal: bool,
    columns: usize,
    /// Length of the progress line that stands on the terminal.
    progress: usize,
}

impl Format {
    pub(crate) fn parse(word: &str) -> Format {
        match word {
            "json" => Format::Json,
            "yaml" => Format::Yaml,
            "name" => Format::Name,
            _ => Format::Auto,
        }
    }
}

impl Ui {
    pub(crate) fn new(context: &Context) -> Ui {
        let columns = context.columns.filter(|columns| *columns >= 20).unwrap_or(if context.is_terminal {
            100
        } else {
            80
        });
        Ui { format: Format::Auto, is_terminal: context.is_terminal, columns, progress: 0 }
    }

    /// Prints what a command found: the documents themselves in JSON or YAML, their names, or the table.
    ///
    /// # Errors
    /// When the documents cannot be written in the format.
    pub(crate) fn show<T: Serialize>(
        &mut self,
        documents: &T,
        names: &[String],
        table: &Table,
    ) -> Result<(), Failure> {
        let text = match self.format {
            Format::Json => {
                serde_json::to_string_pretty(documents).map(|text| text + "\n").map_err(|e| e.to_string())
            }
            Format::Yaml => serde_norway::to_string(documents).map_err(|error| error.to_string()),
            Format::Name => Ok(names.iter().map(|name| format!("{name}\n")).collect()),
            Format::Auto if self.is_terminal => Ok(table.draw(self.columns)),
            Format::Auto => Ok(table.plain()),
        };
        let text = text.map_err(|error| {
            Failure::failed(format!("the answer cannot be printed in this format: {error}"))
        })?;
        self.print(&text);
        Ok(())
    }

    /// Prints the sentence that says what a command did; with `-o name` only the name.
    pub(crate) fn done(&mut self, sentence: &str, name: &str) {
        let text = if self.format == Format::Name { name } else { sentence };
        self.print(&format!("{text}\n"));
    }

    /// Prints text as it is.
    pub(crate) fn print(&mut self, text: &str) {
        self.clear_progress();
        let mut out = std::io::stdout().lock();
        // A reader that went away wants no more output; the command's work is done all the same.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// Prints a line for someone who goes on reading; false when nobody does any more.
    pub(crate) fn follow(&mut self, line: &str) -> bool {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}").and_then(|()| out.flush()).is_ok()
    }

    /// Shows how far something is: in place on a terminal, as lines on standard error otherwise.
    pub(crate) fn progress(&mut self, line: &str) {
        let mut err = std::io::stderr().lock();
        if self.is_terminal {
            // A line that wraps could not be overwritten.
            let line: String = line.chars().take(self.columns - 1).collect();
            let pad = self.progress.saturating_sub(line.chars().count());
            let _ = write!(err, "\r{line}{:pad$}", "").and_then(|()| err.flush());
            self.progress = line.chars().count();
        } else {
            let _ = writeln!(err, "{line}");
        }
    }

    fn clear_progress(&mut self) {
        if self.progress > 0 {
            let _ = write!(std::io::stderr(), "\r{:width$}\r", "", width = self.progress);
            self.progress = 0;
        }
    }

    pub(crate) fn error(&mut self, sentence: &str) {
        self.clear_progress();
        let _ = writeln!(std::io::stderr(), "{sentence}");
    }
}
