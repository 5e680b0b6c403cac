//! Reads a JSON path.

use std::sync::Arc;

use super::super::regex::JavaRegex;
use super::filter::{Comparison, Filter, Operand, Pattern};
use super::{Function, JsonPath, Step};
use crate::value::Value;

/// Filters nested deeper than this are refused.
const MAX_NESTING: usize = 32;

type Result<T> = std::result::Result<T, (String, usize)>;

pub(super) fn read(text: &str) -> Result<JsonPath> {
    let mut reader = Reader { chars: text.chars().collect(), at: 0, nesting: 0 };
    // A path without `$` is taken from the root.
    if reader.eat('$') {
        let path = reader.path(true)?;
        return reader.end(path);
    }
    reader.chars.splice(0..0, ['$', '.']);
    reader.at = 1;
    let path = reader.path(true)?;
    reader.end(path)
}

struct Reader {
    chars: Vec<char>,
    at: usize,
    nesting: usize,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn eat(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        self.at += usize::from(found);
        found
    }

    fn eat_all(&mut self, text: &str) -> bool {
        let found = text.chars().enumerate().all(|(i, c)| self.chars.get(self.at + i) == Some(&c));
        self.at += if found { text.chars().count() } else { 0 };
        found
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn expect(&mut self, c: char) -> Result<()> {
        self.blanks();
        if self.eat(c) { Ok(()) } else { self.fail(&format!("'{c}' is missing")) }
    }

    fn fail<T>(&self, message: &str) -> Result<T> {
        Err((message.to_owned(), self.at))
    }

    fn end(&self, path: JsonPath) -> Result<JsonPath> {
        if self.at < self.chars.len() { self.fail("unexpected text") } else { Ok(path) }
    }

    /// The steps after `$` or `@`. Functions are allowed at the end of a whole path only.
    fn path(&mut self, whole: bool) -> Result<JsonPath> {
        let mut steps = Vec::new();
        loop {
            if self.eat_all("..") {
                steps.push(Step::Descend);
                if self.peek() != Some('[') {
                    steps.push(self.name_step()?);
                }
            } else if self.eat_all(".[") {
                // A dot too many, which Jayway overlooks.
                steps.push(self.bracket()?);
            } else if self.eat('.') {
                let start = self.at;
                let step = self.name_step()?;
                if self.peek() == Some('(') {
                    let Step::Names(names) = &step else { return self.fail("a function name is missing") };
                    let function = Function::named(&names[0]);
                    let Some(function) = function.filter(|_| whole) else {
                        self.at = start;
                        return self
                            .fail("the functions are length, size, min, max, avg and sum, at the end");
                    };
                    self.at += 1;
                    self.expect(')')?;
                    return Ok(JsonPath { steps, function: Some(function) });
                }
                steps.push(step);
            } else if self.eat('[') {
                steps.push(self.bracket()?);
            } else {
                return Ok(JsonPath { steps, function: None });
            }
        }
    }

    fn name_step(&mut self) -> Result<Step> {
        if self.eat('*') {
            return Ok(Step::Wildcard);
        }
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '-' || c == '$') {
            self.at += 1;
        }
        if self.at == start {
            return self.fail("a name is missing");
        }
        Ok(Step::Names(vec![self.chars[start..self.at].iter().collect()]))
    }

    fn bracket(&mut self) -> Result<Step> {
        self.blanks();
        let step = match self.peek() {
            Some('*') => {
                self.at += 1;
                Step::Wildcard
            }
            Some('?') => {
                self.at += 1;
                self.expect('(')?;
                let filter = self.or()?;
                self.expect(')')?;
                Step::Filter(filter)
            }
            Some('\'' | '"') => {
                let mut names = vec![self.quoted()?];
                self.blanks();
                while self.eat(',') {
                    self.blanks();
                    names.push(self.quoted()?);
                    self.blanks();
                }
                Step::Names(names)
            }
            _ => self.numbers()?,
        };
        self.expect(']')?;
        Ok(step)
    }

    fn numbers(&mut self) -> Result<Step> {
        let first = self.integer()?;
        self.blanks();
        if self.eat(':') {
            return Ok(Step::Slice(first, self.integer()?));
        }
        let Some(first) = first else {
            return self.fail("an index, a name in quotes, '*' or '?' is missing");
        };
        let mut indexes = vec![first];
        while self.eat(',') {
            match self.integer()? {
                Some(n) => indexes.push(n),
                None => return self.fail("an index is missing"),
            }
            self.blanks();
        }
        Ok(Step::Indexes(indexes))
    }

    fn integer(&mut self) -> Result<Option<i64>> {
        self.blanks();
        let start = self.at;
        self.eat('-');
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start {
            return Ok(None);
        }
        let text: String = self.chars[start..self.at].iter().collect();
        text.parse::<i32>().map(|n| Some(i64::from(n))).or_else(|_| self.fail("this is no index"))
    }

    fn quoted(&mut self) -> Result<String> {
        let Some(quote @ ('\'' | '"')) = self.peek() else { return self.fail("a name in quotes is missing") };
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.peek() {
                None => return self.fail("the closing quote is missing"),
                Some('\\') => {
                    self.at += 1;
                    match self.peek() {
                        Some(c) => text.push(c),
                        None => return self.fail("the closing quote is missing"),
                    }
                }
                Some(c) if c == quote => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(c) => text.push(c),
            }
            self.at += 1;
        }
    }

    fn or(&mut self) -> Result<Filter> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return self.fail("the filter is nested too deep");
        }
        let mut filter = self.and()?;
        self.blanks();
        while self.eat_all("||") {
            filter = Filter::Or(filter.into(), self.and()?.into());
            self.blanks();
        }
        self.nesting -= 1;
        Ok(filter)
    }

    fn and(&mut self) -> Result<Filter> {
        let mut filter = self.term()?;
        self.blanks();
        while self.eat_all("&&") {
            filter = Filter::And(filter.into(), self.term()?.into());
            self.blanks();
        }
        Ok(filter)
    }

    fn term(&mut self) -> Result<Filter> {
        self.blanks();
        if self.eat('!') {
            self.nesting += 1;
            if self.nesting > MAX_NESTING {
                return self.fail("the filter is nested too deep");
            }
            let inner = self.term()?;
            self.nesting -= 1;
            return Ok(Filter::Not(inner.into()));
        }
        if self.eat('(') {
            let inner = self.or()?;
            self.expect(')')?;
            return Ok(inner);
        }
        let left = self.operand()?;
        self.blanks();
        let comparison = [
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        if let Some((_, comparison)) = comparison.into_iter().find(|(symbol, _)| self.eat_all(symbol)) {
            return Ok(Filter::Compare(left, comparison, self.operand()?));
        }
        if self.eat_all("=~") {
            return Ok(Filter::Matches(left, self.pattern()?));
        }
        if self.eat_all("in ") {
            self.expect('[')?;
            let mut values = Vec::new();
            self.blanks();
            while !self.eat(']') {
                values.push(self.literal()?);
                self.blanks();
                if !self.eat(',') && self.peek() != Some(']') {
                    return self.fail("',' or ']' is missing");
                }
                self.blanks();
            }
            return Ok(Filter::In(left, values));
        }
        Ok(Filter::Exists(left))
    }

    fn operand(&mut self) -> Result<Operand> {
        self.blanks();
        if self.eat('@') {
            return Ok(Operand::Element(self.path(false)?));
        }
        if self.eat('$') {
            return Ok(Operand::Document(self.path(false)?));
        }
        Ok(Operand::Literal(self.literal()?))
    }

    fn literal(&mut self) -> Result<Value> {
        if matches!(self.peek(), Some('\'' | '"')) {
            return Ok(self.quoted()?.into());
        }
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_alphanumeric() || "+-.".contains(c)) {
            self.at += 1;
        }
        let text: String = self.chars[start..self.at].iter().collect();
        match Value::parse_json(text.as_bytes()) {
            Some(value) => Ok(value),
            None => {
                self.at = start;
                self.fail("a path, a number, a text in quotes, true, false or null is missing")
            }
        }
    }

    /// `/regex/` with an optional `i`.
    fn pattern(&mut self) -> Result<Pattern> {
        self.blanks();
        if !self.eat('/') {
            return self.fail("a /regular expression/ is missing");
        }
        let start = self.at;
        while self.peek().is_some_and(|c| c != '/') {
            self.at += if self.peek() == Some('\\') { 2 } else { 1 };
        }
        let mut text: String = self.chars.get(start..self.at).unwrap_or_default().iter().collect();
        if !self.eat('/') {
            return self.fail("the closing '/' is missing");
        }
        if self.eat('i') {
            text.insert_str(0, "(?i)");
        }
        match JavaRegex::compile(&text) {
            Ok(regex) => Ok(Pattern { text, regex: Arc::new(regex) }),
            Err(message) => self.fail(&message),
        }
    }
}
