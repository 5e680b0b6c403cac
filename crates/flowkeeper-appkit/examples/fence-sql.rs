//! Prints the statements of the database guard as JSON, for `peers/check-fence`, which runs them on real databases.

use flowkeeper_appkit::fence::sql::{Dialect, Parameter, Statement};
use serde_json::{Map, Value, json};

fn main() {
    let all = Dialect::ALL.into_iter().map(|dialect| {
        let statements = json!({
            "create": shown(dialect.create_table()),
            "prepare": shown(dialect.prepare()),
            "claim": shown(dialect.claim()),
            "begin": shown(dialect.begin()),
            "check": shown(dialect.check()),
        });
        (format!("{dialect:?}").to_lowercase(), statements)
    });
    #[expect(clippy::print_stdout, reason = "the outermost place of a program")]
    {
        println!("{}", Value::Object(Map::from_iter(all)));
    }
}

fn shown(statement: Statement) -> Value {
    let name = |parameter: &Parameter| match parameter {
        Parameter::Key => "key",
        Parameter::Term => "term",
    };
    json!({
        "text": statement.text,
        "parameters": statement.parameters.iter().map(name).collect::<Vec<_>>(),
    })
}
