//! The guard of a database: a transaction commits only while no newer copy of the instance has claimed it.
//!
//! One table, one row per instance. A copy claims at its start; before the writes of each transaction it checks, with a lock
//! on the row that lasts until the commit. A claim of a newer copy therefore waits for transactions under way, and every
//! later one of the older copy finds no row. The statements are plain texts, so that any driver can run them, from Java or
//! anywhere else; `docs/fencing.md` has an example. They run nothing by themselves.

use super::Fence;

/// How a database spells what the guard needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    PostgreSql,
    /// MySQL from 5.7 and MariaDB, with InnoDB.
    MySql,
    /// SQLite from 3.24.
    Sqlite,
}

/// What a question mark of a statement stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameter {
    /// [`Fence::key`], a text.
    Key,
    /// [`Fence::term`], a whole number of 64 bits.
    Term,
}

/// One statement, with a question mark for each parameter, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    pub text: &'static str,
    pub parameters: &'static [Parameter],
}

/// The value of a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Integer(i64),
}

impl Statement {
    /// The values of the parameters for one copy, in order. A term beyond 63 bits, which no cluster reaches, is the highest
    /// that databases know.
    pub fn values(&self, fence: &Fence) -> Vec<Value> {
        let value = |parameter: &Parameter| match parameter {
            Parameter::Key => Value::Text(fence.key()),
            Parameter::Term => Value::Integer(i64::try_from(fence.term).unwrap_or(i64::MAX)),
        };
        self.parameters.iter().map(value).collect()
    }
}

impl Dialect {
    /// All of them.
    pub const ALL: [Dialect; 3] = [Dialect::PostgreSql, Dialect::MySql, Dialect::Sqlite];

    /// Makes the table where it is missing.
    pub fn create_table(self) -> Statement {
        let text = match self {
            // The row lock of a check is a plain table feature here and in SQLite.
            Dialect::PostgreSql | Dialect::Sqlite => {
                "CREATE TABLE IF NOT EXISTS flowkeeper_fence (fence_key VARCHAR(255) NOT NULL PRIMARY KEY, \
                 term BIGINT NOT NULL, claims BIGINT NOT NULL)"
            }
            // Keys are compared byte by byte, and a table without row locks would guard nothing.
            Dialect::MySql => {
                "CREATE TABLE IF NOT EXISTS flowkeeper_fence (fence_key VARCHAR(255) NOT NULL PRIMARY KEY, \
                 term BIGINT NOT NULL, claims BIGINT NOT NULL) ENGINE=InnoDB CHARACTER SET ascii COLLATE ascii_bin"
            }
        };
        Statement { text, parameters: &[] }
    }

    /// Makes the row of the instance where it is missing; run before the claim, and no matter how many rows it changes.
    pub fn prepare(self) -> Statement {
        let text = match self {
            Dialect::PostgreSql | Dialect::Sqlite => {
                "INSERT INTO flowkeeper_fence (fence_key, term, claims) VALUES (?, 0, 0) ON CONFLICT (fence_key) DO NOTHING"
            }
            Dialect::MySql => {
                "INSERT IGNORE INTO flowkeeper_fence (fence_key, term, claims) VALUES (?, 0, 0)"
            }
        };
        Statement { text, parameters: &[Parameter::Key] }
    }

    /// Claims for this copy. It must change exactly one row and be committed; if it changes none, a newer copy has claimed
    /// and this one must end.
    ///
    /// The count of claims makes sure that a row that matches is also one that changes, which MySQL's drivers count
    /// differently.
    pub fn claim(self) -> Statement {
        Statement {
            text: "UPDATE flowkeeper_fence SET term = ?, claims = claims + 1 WHERE fence_key = ? AND term <= ?",
            parameters: &[Parameter::Term, Parameter::Key, Parameter::Term],
        }
    }

    /// Begins a transaction in which a check and the writes after it belong together.
    pub fn begin(self) -> Statement {
        let text = match self {
            Dialect::PostgreSql | Dialect::MySql => "BEGIN",
            // The lock of the whole database stands for that of the row.
            Dialect::Sqlite => "BEGIN IMMEDIATE",
        };
        Statement { text, parameters: &[] }
    }

    /// The check, in the same transaction as the writes and before them. It must find one row; if it finds none, a newer
    /// copy has claimed: roll back and end.
    pub fn check(self) -> Statement {
        let text = match self {
            Dialect::PostgreSql => {
                "SELECT term FROM flowkeeper_fence WHERE fence_key = ? AND term = ? FOR SHARE"
            }
            // Both MySQL and MariaDB know this spelling.
            Dialect::MySql => {
                "SELECT term FROM flowkeeper_fence WHERE fence_key = ? AND term = ? LOCK IN SHARE MODE"
            }
            Dialect::Sqlite => "SELECT term FROM flowkeeper_fence WHERE fence_key = ? AND term = ?",
        };
        Statement { text, parameters: &[Parameter::Key, Parameter::Term] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_statement_names_as_many_parameters_as_it_has_question_marks() {
        let fence = Fence { uid: "u".to_owned(), app: "a".to_owned(), index: 1, term: u64::MAX };
        for dialect in Dialect::ALL {
            for statement in
                [dialect.create_table(), dialect.prepare(), dialect.claim(), dialect.begin(), dialect.check()]
            {
                assert_eq!(statement.text.matches('?').count(), statement.parameters.len(), "{statement:?}");
                assert_eq!(statement.values(&fence).len(), statement.parameters.len());
            }
            let claim = dialect.claim().values(&fence);
            let term = Value::Integer(i64::MAX);
            assert_eq!(claim, [term.clone(), Value::Text("u-a-1".to_owned()), term]);
        }
    }
}
