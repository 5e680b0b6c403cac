//! Reads an expression: precedence climbing over the tokens, with the static check done node by node.

mod checks;

use self::checks::{check_method, check_operands, check_regex};
use super::Error;
use super::ast::{Binary, Kind, Node, RELATIONAL, Unary, Which};
use super::jsonpath::JsonPath;
use super::lexer::{self, Token};
use super::methods;
use super::statics::{self, JavaType};
use crate::suggest::nearest;
use crate::value::Value;

/// Brackets nested deeper than this are refused, so that parsing cannot exhaust the stack.
const MAX_NESTING: usize = 80;
/// Longer texts are refused.
const MAX_LENGTH: usize = 64 * 1024;

/// Which unqualified names an expression may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// `payload` and `headers`.
    OfMessage,
    /// Any: they are properties of a value whose shape is not known.
    Any,
}

pub(super) fn parse(text: &str, names: Names) -> Result<Node, Error> {
    if text.len() > MAX_LENGTH {
        return Err(Error {
            message: format!("the expression is longer than {MAX_LENGTH} bytes"),
            position: 0,
            hint: None,
        });
    }
    let mut parser = Parser { tokens: lexer::tokens(text)?, next: 0, names, nesting: 0 };
    let node = parser.expression()?;
    if parser.peek().kind != lexer::Kind::End {
        return Err(parser.unexpected("the end of the expression"));
    }
    Ok(node)
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    names: Names,
    nesting: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.ahead(0)
    }

    /// A token further on; the end repeats for ever.
    fn ahead(&self, n: usize) -> &Token {
        &self.tokens[(self.next + n).min(self.tokens.len() - 1)]
    }

    fn at(&self) -> usize {
        self.peek().at
    }

    fn is_symbol(&self, n: usize, symbol: &str) -> bool {
        matches!(&self.ahead(n).kind, lexer::Kind::Symbol(s) if *s == symbol)
    }

    fn eat(&mut self, symbol: &str) -> bool {
        let found = self.is_symbol(0, symbol);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<(), Error> {
        if self.eat(symbol) { Ok(()) } else { Err(self.unexpected(&format!("'{symbol}'"))) }
    }

    fn word(&mut self, what: &str) -> Result<String, Error> {
        match self.peek().kind.clone() {
            lexer::Kind::Word(word) => {
                self.next += 1;
                Ok(word)
            }
            _ => Err(self.unexpected(what)),
        }
    }

    fn unexpected(&self, wanted: &str) -> Error {
        let found = match &self.peek().kind {
            lexer::Kind::Word(word) => format!("'{word}'"),
            lexer::Kind::Literal(value) => format!("'{}'", value.to_text()),
            lexer::Kind::Symbol(symbol) => format!("'{symbol}'"),
            lexer::Kind::End => "the end of the expression".to_owned(),
        };
        let message = if found == wanted {
            format!("unexpected {found}")
        } else {
            format!("expected {wanted}, found {found}")
        };
        error(message, self.at(), None)
    }

    /// `condition ? a : b`, `a ?: b`, or a binary expression.
    fn expression(&mut self) -> Result<Node, Error> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            let message = format!("brackets or conditionals are nested more than {MAX_NESTING} levels deep");
            return Err(error(message, self.at(), None));
        }
        let first = self.binary(1)?;
        let at = first.at;
        let node = if self.eat("?:") {
            Node::new(at, Kind::Elvis(first.into(), self.expression()?.into()))?
        } else if self.eat("?") {
            let then = self.expression()?;
            self.expect(":")?;
            Node::new(at, Kind::Ternary(first.into(), then.into(), self.expression()?.into()))?
        } else if self.is_symbol(0, "=") {
            let hint = "compare with ==; expressions cannot assign";
            return Err(error("unexpected '='".to_owned(), self.at(), Some(hint.to_owned())));
        } else {
            first
        };
        self.nesting -= 1;
        Ok(node)
    }

    fn binary(&mut self, weakest: u8) -> Result<Node, Error> {
        let mut left = self.unary()?;
        let mut limit = u8::MAX;
        loop {
            let at = left.at;
            if weakest <= RELATIONAL && limit > RELATIONAL && self.is_word("instanceof") {
                self.next += 1;
                let type_at = self.at();
                let java_type = match self.word("T(type)")?.as_str() {
                    "T" => self.type_reference(type_at)?,
                    _ => return Err(error("expected T(type) after instanceof".to_owned(), type_at, None)),
                };
                left = Node::new(at, Kind::InstanceOf(left.into(), java_type))?;
                limit = RELATIONAL;
                continue;
            }
            let Some(operator) = self.operator() else { return Ok(left) };
            let strength = operator.strength();
            if strength < weakest || strength >= limit {
                return Ok(left);
            }
            self.next += 1;
            let right_at = self.at();
            let right = self.binary(strength + 1)?;
            check_operands(operator, &right, right_at)?;
            left = Node::new(at, Kind::Binary(operator, left.into(), right.into()))?;
            // Comparisons and powers do not chain: `1 < 2 < 3` is an error, as in Spring. A stronger operator here is
            // what such a right operand left over.
            limit = if strength == RELATIONAL || operator == Binary::Power { strength } else { strength + 1 };
        }
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(&self.peek().kind, lexer::Kind::Word(w) if w.eq_ignore_ascii_case(word))
    }

    fn operator(&self) -> Option<Binary> {
        let text = match &self.peek().kind {
            lexer::Kind::Symbol(symbol) => (*symbol).to_owned(),
            lexer::Kind::Word(word) => word.to_ascii_lowercase(),
            _ => return None,
        };
        Some(match text.as_str() {
            "or" | "||" => Binary::Or,
            "and" | "&&" => Binary::And,
            "==" | "eq" => Binary::Equal,
            "!=" | "ne" => Binary::NotEqual,
            "<" | "lt" => Binary::Less,
            "<=" | "le" => Binary::LessOrEqual,
            ">" | "gt" => Binary::Greater,
            ">=" | "ge" => Binary::GreaterOrEqual,
            "matches" => Binary::Matches,
            "between" => Binary::Between,
            "+" => Binary::Add,
            "-" => Binary::Subtract,
            "*" => Binary::Multiply,
            "/" | "div" => Binary::Divide,
            "%" | "mod" => Binary::Modulo,
            "^" => Binary::Power,
            _ => return None,
        })
    }

    fn unary(&mut self) -> Result<Node, Error> {
        let at = self.at();
        let unary = if self.is_symbol(0, "!") || (self.is_word("not") && !self.is_symbol(1, ".")) {
            Unary::Not
        } else if self.is_symbol(0, "-") {
            Unary::Minus
        } else if self.is_symbol(0, "+") {
            Unary::Plus
        } else {
            return self.chain();
        };
        self.next += 1;
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(error(format!("more than {MAX_NESTING} signs in a row"), at, None));
        }
        let inner = self.unary()?;
        self.nesting -= 1;
        Node::new(at, Kind::Unary(unary, inner.into()))
    }

    /// A primary and everything hung on it: properties, calls, indexes, selections.
    fn chain(&mut self) -> Result<Node, Error> {
        let mut node = self.primary()?;
        loop {
            let at = self.at();
            if self.eat("[") {
                node = self.index(node, at, false)?;
            } else if self.is_symbol(0, ".") || self.is_symbol(0, "?.") {
                let safe = self.eat("?.") || !self.eat(".");
                node = self.member(node, safe)?;
            } else if self.is_symbol(0, "++") || self.is_symbol(0, "--") {
                return Err(error("expressions cannot change values".to_owned(), at, None));
            } else {
                return Ok(node);
            }
        }
    }

    /// What follows a dot.
    fn member(&mut self, target: Node, safe: bool) -> Result<Node, Error> {
        let at = self.at();
        let target = Box::new(target);
        let which = match &self.peek().kind {
            lexer::Kind::Symbol("?") if self.is_symbol(1, "[") => Some(Which::All),
            lexer::Kind::Symbol("^") if self.is_symbol(1, "[") => Some(Which::First),
            lexer::Kind::Word(word) if word == "$" && self.is_symbol(1, "[") => Some(Which::Last),
            _ => None,
        };
        if let Some(which) = which {
            self.next += 2;
            let filter = Box::new(self.element_expression()?);
            return Node::new(at, Kind::Select { target, which, filter, safe });
        }
        if self.is_symbol(0, "!") && self.is_symbol(1, "[") {
            self.next += 2;
            let mapping = Box::new(self.element_expression()?);
            return Node::new(at, Kind::Project { target, mapping, safe });
        }
        if safe && self.eat("[") {
            return self.index(*target, at, true);
        }
        let name = self.word("a property or method name")?;
        if self.eat("(") {
            let args = self.arguments(")")?;
            if let (Kind::Root, Some(name), true) = (&target.kind, getter(&name), args.is_empty()) {
                return Node::new(at, Kind::Property { target: Some(target), name: name.to_owned(), safe });
            }
            check_method(&target, &name, args.len(), at)?;
            check_regex(&name, &args)?;
            Node::new(at, Kind::Method { target: Some(target), name, args, safe })
        } else {
            Node::new(at, Kind::Property { target: Some(target), name, safe })
        }
    }

    /// The inside of `.?[…]`: names belong to the element.
    fn element_expression(&mut self) -> Result<Node, Error> {
        let names = std::mem::replace(&mut self.names, Names::Any);
        let node = self.expression()?;
        self.names = names;
        self.expect("]")?;
        Ok(node)
    }

    /// The inside of `[…]`: a bare word is allowed, it is the key of a map.
    fn index(&mut self, target: Node, at: usize, safe: bool) -> Result<Node, Error> {
        let index = match self.peek().kind.clone() {
            lexer::Kind::Word(name) if self.is_symbol(1, "]") && !is_literal_word(&name) => {
                self.next += 1;
                Node::new(self.tokens[self.next - 1].at, Kind::Property { target: None, name, safe: false })?
            }
            _ => self.expression()?,
        };
        self.expect("]")?;
        Node::new(at, Kind::Index { target: target.into(), index: index.into(), safe })
    }

    fn arguments(&mut self, close: &str) -> Result<Vec<Node>, Error> {
        let mut args = Vec::new();
        if self.eat(close) {
            return Ok(args);
        }
        loop {
            args.push(self.expression()?);
            if self.eat(close) {
                return Ok(args);
            }
            if !self.eat(",") {
                return Err(self.unexpected(&format!("',' or '{close}'")));
            }
        }
    }

    fn primary(&mut self) -> Result<Node, Error> {
        let at = self.at();
        match self.peek().kind.clone() {
            lexer::Kind::Literal(value) => {
                self.next += 1;
                Node::new(at, Kind::Literal(value))
            }
            lexer::Kind::Symbol("(") => {
                self.next += 1;
                let inner = self.expression()?;
                self.expect(")")?;
                Ok(inner)
            }
            lexer::Kind::Symbol("{") => {
                self.next += 1;
                self.braces(at)
            }
            lexer::Kind::Symbol("#") => {
                self.next += 1;
                self.variable(at)
            }
            lexer::Kind::Symbol("@" | "&") => {
                let hint = "bundled apps have no Spring beans; use the Java app for this expression";
                Err(error("bean references are not supported".to_owned(), at, Some(hint.to_owned())))
            }
            lexer::Kind::Word(word) => {
                self.next += 1;
                self.word_primary(word, at)
            }
            _ => Err(self.unexpected("a value")),
        }
    }

    fn word_primary(&mut self, word: String, at: usize) -> Result<Node, Error> {
        let literal = match word.to_ascii_lowercase().as_str() {
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            "null" => Some(Value::Null),
            _ => None,
        };
        if let Some(value) = literal {
            return Node::new(at, Kind::Literal(value));
        }
        if word == "T" && self.is_symbol(0, "(") {
            return self.static_member(at);
        }
        if word == "new" && matches!(self.peek().kind, lexer::Kind::Word(_)) {
            return self.constructor(at);
        }
        if self.eat("(") {
            let args = self.arguments(")")?;
            if let (Names::OfMessage, Some(name), true) = (self.names, getter(&word), args.is_empty()) {
                return Node::new(at, Kind::Property { target: None, name: name.to_owned(), safe: false });
            }
            self.check_root_method(&word, args.len(), at)?;
            check_regex(&word, &args)?;
            return Node::new(at, Kind::Method { target: None, name: word, args, safe: false });
        }
        if self.names == Names::OfMessage && word != "payload" && word != "headers" {
            let hint = match nearest(&word, ["payload", "headers"]) {
                Some(name) => format!("did you mean {name}?"),
                None => format!("write payload.{word}, headers['{word}'], or '{word}' in quotes for text"),
            };
            return Err(error(format!("a message has no property '{word}'"), at, Some(hint)));
        }
        Node::new(at, Kind::Property { target: None, name: word, safe: false })
    }

    fn check_root_method(&self, name: &str, n_args: usize, at: usize) -> Result<(), Error> {
        if self.names == Names::Any {
            return methods::check(None, name, n_args).map_err(|(message, hint)| error(message, at, hint));
        }
        let hint = format!("call it on the payload: payload.{name}(…)");
        Err(error(format!("a message has no method '{name}'"), at, Some(hint)))
    }

    /// `{1, 2}`, `{'a': 1}`, `{}` or `{:}`.
    fn braces(&mut self, at: usize) -> Result<Node, Error> {
        if self.eat("}") {
            return Node::new(at, Kind::List(Vec::new()));
        }
        if self.eat(":") {
            self.expect("}")?;
            return Node::new(at, Kind::Map(Vec::new()));
        }
        let first = self.map_key_or_item()?;
        if !self.eat(":") {
            let mut items = vec![first];
            if self.eat(",") {
                items.extend(self.arguments("}")?);
            } else {
                self.expect("}")?;
            }
            return Node::new(at, Kind::List(items));
        }
        let mut entries = vec![(first, self.expression()?)];
        while self.eat(",") {
            let key = self.map_key_or_item()?;
            self.expect(":")?;
            entries.push((key, self.expression()?));
        }
        self.expect("}")?;
        Node::new(at, Kind::Map(entries))
    }

    /// A bare word before a colon is the key itself.
    fn map_key_or_item(&mut self) -> Result<Node, Error> {
        match self.peek().kind.clone() {
            lexer::Kind::Word(name) if self.is_symbol(1, ":") && !is_literal_word(&name) => {
                let at = self.at();
                self.next += 1;
                Node::new(at, Kind::Literal(name.into()))
            }
            _ => self.expression(),
        }
    }

    /// `#root`, `#this`, `#jsonPath(…)`.
    fn variable(&mut self, at: usize) -> Result<Node, Error> {
        let name = self.word("a name after '#'")?;
        let is_call = self.eat("(");
        match (name.as_str(), is_call) {
            ("root", false) => Node::new(at, Kind::Root),
            ("this", false) => Node::new(at, Kind::This),
            ("jsonPath", true) => {
                let mut args = self.arguments(")")?;
                let (Some(path), Some(document), true) = (args.pop(), args.pop(), args.is_empty()) else {
                    let message = "#jsonPath takes a document and a path".to_owned();
                    return Err(error(
                        message,
                        at,
                        Some("for example #jsonPath(payload, '$.id')".to_owned()),
                    ));
                };
                if let Kind::Literal(Value::String(text)) = &path.kind {
                    JsonPath::parse(text).map_err(|message| error(message, path.at, None))?;
                }
                Node::new(at, Kind::JsonPath { document: document.into(), path: path.into() })
            }
            ("xpath", true) => {
                let hint = "use the Java app for XML".to_owned();
                Err(error("the function #xpath is not supported".to_owned(), at, Some(hint)))
            }
            (_, true) => {
                let hint = "the only function is #jsonPath(document, path)".to_owned();
                Err(error(format!("the function '#{name}' is not known"), at, Some(hint)))
            }
            _ => {
                let hint = "the variables are #root and #this".to_owned();
                Err(error(format!("the variable '#{name}' is not known"), at, Some(hint)))
            }
        }
    }

    /// The rest of `T(type)`.
    fn type_reference(&mut self, at: usize) -> Result<JavaType, Error> {
        self.expect("(")?;
        let mut name = self.word("a type name")?;
        while self.eat(".") {
            name.push('.');
            name.push_str(&self.word("a type name")?);
        }
        if self.eat("[") {
            self.expect("]")?;
            name.push_str("[]");
        }
        self.expect(")")?;
        JavaType::named(&name).ok_or_else(|| {
            let last = |n: &'static str| n.rsplit('.').next().unwrap_or(n);
            let simple = name.rsplit('.').next().unwrap_or(&name);
            let hint = nearest(simple, JavaType::names().map(last));
            let hint = hint.and_then(|n| JavaType::names().find(|full| last(full) == n));
            let hint = hint.map(|n| format!("did you mean T({n})?"));
            error(format!("the type '{name}' is not supported"), at, hint)
        })
    }

    fn static_member(&mut self, at: usize) -> Result<Node, Error> {
        let of = self.type_reference(at)?;
        if !self.eat(".") {
            let hint = format!("call one of its methods: T({}).…", of.name());
            return Err(error("a type alone is no value".to_owned(), at, Some(hint)));
        }
        let member_at = self.at();
        let name = self.word("a static method or field")?;
        let kind = if self.eat("(") {
            let args = self.arguments(")")?;
            statics::check_method(of, &name, args.len())
                .map_err(|(message, hint)| error(message, member_at, hint))?;
            Kind::StaticMethod { of, name, args }
        } else {
            statics::check_field(of, &name).map_err(|(message, hint)| error(message, member_at, hint))?;
            Kind::StaticField { of, name }
        };
        Node::new(at, kind)
    }

    fn constructor(&mut self, at: usize) -> Result<Node, Error> {
        let mut name = self.word("a type name")?;
        while self.eat(".") {
            name.push('.');
            name.push_str(&self.word("a type name")?);
        }
        if name != "String" && name != "java.lang.String" {
            let hint = "the only constructor is new String(bytes)".to_owned();
            return Err(error(format!("'new {name}' is not supported"), at, Some(hint)));
        }
        self.expect("(")?;
        let args = self.arguments(")")?;
        if args.len() > 2 {
            let message = "new String takes bytes and a character set".to_owned();
            return Err(error(message, at, None));
        }
        Node::new(at, Kind::NewString(args))
    }
}

/// The property of a message that a getter reads.
fn getter(method: &str) -> Option<&'static str> {
    match method {
        "getPayload" => Some("payload"),
        "getHeaders" => Some("headers"),
        _ => None,
    }
}

fn is_literal_word(word: &str) -> bool {
    ["true", "false", "null"].iter().any(|l| l.eq_ignore_ascii_case(word))
}

fn error(message: String, position: usize, hint: Option<String>) -> Error {
    Error { message, position, hint }
}
