//! From text to a criteria expression: a lexer and a descent, so that every mistake has a place and a sentence.

use super::{Expression, Test, Trait};

/// Nesting allowed, so that no text can exhaust the stack.
const MAX_DEPTH: usize = 64;

const CONDITION: &str =
    "a condition was expected, such as zone = a, group = g1, label.disk = ssd or has label.gpu";
const TRAITS: &str = "id, host, ip, zone, rack, group, label.NAME or label['NAME']";

/// Character at which it goes wrong, and why.
pub(super) type Mistake = (usize, String);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    /// An operator or a bracket.
    Sign(&'static str),
}

/// Longer signs first.
const SIGNS: [&str; 13] = ["==", "!=", "&&", "||", "=", "!", "~", "(", ")", "[", "]", ",", "."];

pub(super) fn expression(text: &str) -> Result<Expression, Mistake> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens, at: 0, end: text.chars().count(), depth: 0 };
    let expression = parser.any()?;
    match parser.peek() {
        None => Ok(expression),
        Some(_) => Err(parser.mistake("'and', 'or' or the end was expected")),
    }
}

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, Mistake> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&first) = chars.get(at) {
        let start = at;
        if first.is_whitespace() {
            at += 1;
        } else if is_bare(first) {
            at += chars[at..].iter().take_while(|it| is_bare(**it)).count();
            tokens.push((start, Token::Word(chars[start..at].iter().collect())));
        } else if first == '\'' || first == '"' {
            let length = chars[at + 1..].iter().position(|it| *it == first);
            let length = length
                .ok_or_else(|| (start, format!("the text that begins here lacks its closing {first}")))?;
            tokens.push((start, Token::Quoted(chars[at + 1..at + 1 + length].iter().collect())));
            at += length + 2;
        } else {
            let is_here =
                |sign: &&&str| sign.chars().enumerate().all(|(i, it)| chars.get(at + i) == Some(&it));
            let sign = SIGNS.iter().find(is_here);
            let sign = sign.ok_or_else(|| {
                (start, format!("'{first}' means nothing here; quote it if it belongs to a value"))
            })?;
            at += sign.len();
            tokens.push((start, Token::Sign(sign)));
        }
    }
    Ok(tokens)
}

/// What may stand in a value or a name without quotes.
fn is_bare(it: char) -> bool {
    it.is_alphanumeric() || "_-.:/@+%*?".contains(it)
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    /// Characters of the text.
    end: usize,
    depth: usize,
}

impl Parser {
    fn any(&mut self) -> Result<Expression, Mistake> {
        let mut parts = vec![self.all()?];
        while self.takes_word("or") || self.takes("||") {
            parts.push(self.all()?);
        }
        Ok(one_or(parts, Expression::Any))
    }

    fn all(&mut self) -> Result<Expression, Mistake> {
        let mut parts = vec![self.condition()?];
        while self.takes_word("and") || self.takes("&&") {
            parts.push(self.condition()?);
        }
        Ok(one_or(parts, Expression::All))
    }

    fn condition(&mut self) -> Result<Expression, Mistake> {
        if self.depth == MAX_DEPTH {
            return Err(self.mistake(&format!("it is nested deeper than {MAX_DEPTH}")));
        }
        self.depth += 1;
        let condition = self.condition_inside();
        self.depth -= 1;
        condition
    }

    fn condition_inside(&mut self) -> Result<Expression, Mistake> {
        if self.takes_word("not") || self.takes("!") {
            return Ok(Expression::Not(Box::new(self.condition()?)));
        }
        if self.takes("(") {
            let inside = self.any()?;
            self.expect(")", "'and', 'or' or a closing ')' was expected")?;
            return Ok(inside);
        }
        if self.takes_word("has") {
            let start = self.position();
            return match self.subject()? {
                Trait::Label(name) => Ok(Expression::Has(name)),
                _ => Err((start, "a label was expected after 'has', such as label.gpu".to_owned())),
            };
        }
        let subject = self.subject()?;
        self.test(subject)
    }

    fn subject(&mut self) -> Result<Trait, Mistake> {
        let start = self.position();
        let word = match self.peek() {
            Some(Token::Word(word)) => word.clone(),
            _ => return Err((start, CONDITION.to_owned())),
        };
        self.at += 1;
        Ok(match word.as_str() {
            "id" => Trait::Id,
            "host" => Trait::Host,
            "ip" => Trait::Ip,
            "zone" => Trait::Zone,
            "rack" => Trait::Rack,
            "group" => Trait::Group,
            "label" => {
                const NAME: &str = "the name of a label was expected, as in label.disk or label['disk']";
                self.expect("[", NAME)?;
                let Some(Token::Quoted(name)) = self.peek().cloned() else { return Err(self.mistake(NAME)) };
                self.at += 1;
                self.expect("]", "a closing ']' was expected")?;
                Trait::Label(name)
            }
            _ => match word.strip_prefix("label.") {
                Some(name) if !name.is_empty() => Trait::Label(name.to_owned()),
                _ if word == "groups" || word.starts_with("groups.") || word.starts_with("group.") => {
                    let reason = format!("'{word}' is no trait of a node; groups are tested with group = g1");
                    return Err((start, reason));
                }
                _ => return Err((start, format!("'{word}' is no trait of a node; traits are {TRAITS}"))),
            },
        })
    }

    fn test(&mut self, subject: Trait) -> Result<Expression, Mistake> {
        if self.takes("==") || self.takes("=") {
            return Ok(Expression::Test(subject, Test::In(vec![self.value()?])));
        }
        if self.takes("!=") {
            return Ok(not(Expression::Test(subject, Test::In(vec![self.value()?]))));
        }
        if self.takes("~") {
            return Ok(Expression::Test(subject, Test::Like(self.value()?)));
        }
        let is_negated = self.takes_word("not");
        if !self.takes_word("in") {
            let expected =
                if is_negated { "'in' was expected" } else { "=, !=, ~, in or not in was expected" };
            return Err(self.mistake(expected));
        }
        self.expect("(", "a list of values was expected, such as (a, b)")?;
        let mut values = vec![self.value()?];
        while self.takes(",") {
            values.push(self.value()?);
        }
        self.expect(")", "',' or a closing ')' was expected")?;
        let test = Expression::Test(subject, Test::In(values));
        Ok(if is_negated { not(test) } else { test })
    }

    fn value(&mut self) -> Result<String, Mistake> {
        match self.peek().cloned() {
            Some(Token::Word(value) | Token::Quoted(value)) => {
                self.at += 1;
                Ok(value)
            }
            _ => Err(self.mistake("a value was expected, such as a or 'a b'")),
        }
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    fn takes(&mut self, sign: &str) -> bool {
        let is_it = matches!(self.peek(), Some(Token::Sign(found)) if *found == sign);
        self.at += usize::from(is_it);
        is_it
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let is_it = matches!(self.peek(), Some(Token::Word(found)) if found.eq_ignore_ascii_case(word));
        self.at += usize::from(is_it);
        is_it
    }

    fn expect(&mut self, sign: &str, otherwise: &str) -> Result<(), Mistake> {
        if self.takes(sign) { Ok(()) } else { Err(self.mistake(otherwise)) }
    }

    fn position(&self) -> usize {
        self.tokens.get(self.at).map_or(self.end, |(at, _)| *at)
    }

    fn mistake(&self, reason: &str) -> Mistake {
        (self.position(), reason.to_owned())
    }
}

fn not(part: Expression) -> Expression {
    Expression::Not(Box::new(part))
}

fn one_or(mut parts: Vec<Expression>, many: fn(Vec<Expression>) -> Expression) -> Expression {
    match parts.len() {
        1 => parts.remove(0),
        _ => many(parts),
    }
}
