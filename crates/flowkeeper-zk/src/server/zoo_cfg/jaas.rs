//! Users of SASL DIGEST-MD5, from the JAAS file that Apache reads them from.
//!
//! ```text
//! Server {
//!     org.apache.zookeeper.server.auth.DigestLoginModule required
//!     user_alice="secret";
//! };
//! ```

use std::collections::BTreeMap;

/// The section that counts.
const SECTION: &str = "Server";
/// The one module there is; its package has changed in the past and does not count.
const MODULE: &str = "DigestLoginModule";

/// Reads the passwords by user.
///
/// # Errors
/// What is wrong, with its line, as the end of a sentence.
pub(crate) fn users(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut tokens = Tokens { rest: text, line: 1 };
    let mut found = None;
    while let Some(name) = tokens.take()? {
        let section = name.word("the name of a section")?;
        tokens.expect('{')?;
        let users = modules(&mut tokens, section == SECTION)?;
        tokens.expect(';')?;
        if section == SECTION && found.replace(users).is_some() {
            return Err(format!("line {}: there is a second section {SECTION}", name.line));
        }
    }
    let users = found.ok_or_else(|| {
        format!("it has no section {SECTION}; write: {SECTION} {{ org.apache.zookeeper.server.auth.DigestLoginModule required user_NAME=\"password\"; }};")
    })?;
    if users.is_empty() {
        return Err(format!(
            "its section {SECTION} has no users; write user_NAME=\"password\" after 'required'"
        ));
    }
    Ok(users)
}

/// The modules of a section, up to its end; users only of one that `counts`.
fn modules(tokens: &mut Tokens<'_>, counts: bool) -> Result<BTreeMap<String, String>, String> {
    let mut users = BTreeMap::new();
    loop {
        let token = tokens.need()?;
        if token.is('}') {
            return Ok(users);
        }
        let module = token.word("a login module")?;
        if counts && module.rsplit('.').next() != Some(MODULE) {
            return Err(format!(
                "line {}: the login module {module} is not supported; use {MODULE}",
                token.line
            ));
        }
        let flag = tokens.need()?;
        if !["required", "requisite", "sufficient", "optional"]
            .iter()
            .any(|known| flag.word("a flag").is_ok_and(|flag| flag.eq_ignore_ascii_case(known)))
        {
            return Err(format!("line {}: 'required' belongs after the login module", flag.line));
        }
        loop {
            let token = tokens.need()?;
            if token.is(';') {
                break;
            }
            let option = token.word("an option or ';'")?;
            tokens.expect('=')?;
            let value = tokens.need()?;
            let value = value.word("a value").map(str::to_owned)?;
            if let Some(user) = option.strip_prefix("user_").filter(|user| counts && !user.is_empty()) {
                users.insert(user.to_owned(), value);
            }
        }
    }
}

#[derive(Debug)]
struct Token {
    line: usize,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Sign(char),
    Word(String),
}

impl Token {
    fn is(&self, sign: char) -> bool {
        matches!(self.kind, Kind::Sign(found) if found == sign)
    }

    fn word(&self, what: &str) -> Result<&str, String> {
        match &self.kind {
            Kind::Word(word) => Ok(word),
            Kind::Sign(sign) => Err(format!("line {}: '{sign}' stands where {what} belongs", self.line)),
        }
    }
}

struct Tokens<'a> {
    rest: &'a str,
    line: usize,
}

impl Tokens<'_> {
    fn need(&mut self) -> Result<Token, String> {
        let line = self.line;
        self.take()?.ok_or_else(|| format!("it ends on line {line} inside a section; close it with '}};'"))
    }

    fn expect(&mut self, sign: char) -> Result<(), String> {
        let token = self.need()?;
        if token.is(sign) { Ok(()) } else { Err(format!("line {}: '{sign}' is missing", token.line)) }
    }

    fn advance(&mut self, bytes: usize) {
        let (taken, rest) = self.rest.split_at(bytes);
        self.line += taken.matches('\n').count();
        self.rest = rest;
    }

    fn take(&mut self) -> Result<Option<Token>, String> {
        loop {
            let blank = self.rest.len() - self.rest.trim_start().len();
            self.advance(blank);
            if self.rest.starts_with("//") || self.rest.starts_with('#') {
                self.advance(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                let end = self.rest[2..].find("*/").map(|at| at + 4);
                self.advance(end.ok_or_else(|| format!("line {}: the comment does not end", self.line))?);
            } else {
                break;
            }
        }
        let line = self.line;
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        let kind = match first {
            '{' | '}' | ';' | '=' => {
                self.advance(1);
                Kind::Sign(first)
            }
            '"' | '\'' => Kind::Word(self.quoted(first)?),
            _ => {
                let ends = |c: char| c.is_whitespace() || "{};=\"'".contains(c);
                let word = self.rest[..self.rest.find(ends).unwrap_or(self.rest.len())].to_owned();
                self.advance(word.len());
                Kind::Word(word)
            }
        };
        Ok(Some(Token { line, kind }))
    }

    /// Text between quotes; a backslash takes the next sign as it is, save n, r and t.
    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let mut out = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            if c == quote {
                self.advance(at + 1);
                return Ok(out);
            }
            out.push(match c {
                '\\' => match chars.next() {
                    Some((_, 'n')) => '\n',
                    Some((_, 'r')) => '\r',
                    Some((_, 't')) => '\t',
                    Some((_, other)) => other,
                    None => break,
                },
                '\n' => break,
                other => other,
            });
        }
        Err(format!("line {}: the text has no closing quote", self.line))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn users_of_the_server_section_are_found() {
        let text = r#"
            // who may come
            Client { other.Module optional username="u" password="p"; };
            Server { /* two
              of them */
              org.apache.zookeeper.server.auth.DigestLoginModule required
              debug=true
              user_super='a"b'
              user_bob="p w\\\"";
            };"#;
        let users = users(text).expect("users");
        assert_eq!(users["super"], "a\"b");
        assert_eq!(users["bob"], "p w\\\"");
        assert_eq!(users.len(), 2);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, reason) in [
            ("", "it has no section Server; write: Server {"),
            ("Server { X.DigestLoginModule required; };", "its section Server has no users"),
            (
                "Server {\n com.sun.security.auth.module.Krb5LoginModule required; };",
                "line 2: the login module com.sun",
            ),
            ("Server { DigestLoginModule user_a=b; };", "'required' belongs after"),
            ("Server {\nDigestLoginModule required user_a=\"b", "line 2: the text has no closing quote"),
            ("Server { DigestLoginModule required user_a=b;", "it ends on line 1 inside a section"),
            ("Server { DigestLoginModule required user_a=b; }", "it ends on line 1"),
            ("Server { DigestLoginModule required user_a b; };", "'=' is missing"),
            ("Server { DigestLoginModule required user_a=; };", "';' stands where a value belongs"),
            ("/* Server", "line 1: the comment does not end"),
        ] {
            let told = users(text).expect_err(text);
            assert!(told.contains(reason), "{text}: {told}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "[ -~\n]{0,80}") {
            let _ = users(&format!("Server {{ DigestLoginModule required {text}"));
            let _ = users(&text);
        }

        #[test]
        fn every_password_comes_back(user in "[a-zA-Z0-9@._-]{1,12}", password in "[^\n\r]{0,20}") {
            let quoted = password.replace('\\', "\\\\").replace('"', "\\\"");
            let text = format!("Server {{ DigestLoginModule required user_{user}=\"{quoted}\"; }};");
            prop_assert_eq!(users(&text).expect("users"), BTreeMap::from([(user, password)]));
        }
    }
}
