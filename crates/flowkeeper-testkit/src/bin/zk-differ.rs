//! Sends the same requests to two empty ZooKeeper servers and says where they answer differently:
//! `zk-differ ADDR ADDR [--seed N] [--count N] [--told N]`. Ends with `N passed, N failed`, a request a test.

use std::process::ExitCode;

use flowkeeper_testkit::zookeeper::differ;

const USAGE: &str = "zk-differ ADDR ADDR [--seed N] [--count N] [--told N]";

#[expect(clippy::print_stdout, reason = "the report")]
fn main() -> ExitCode {
    let mut addrs = Vec::new();
    let (mut seed, mut count, mut told) = (u64::from(std::process::id()), 5_000, 12);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|value| value.parse::<u64>().ok());
        match arg.as_str() {
            "--seed" => match number() {
                Some(number) => seed = number,
                None => return usage(),
            },
            "--told" => match number() {
                Some(number) => told = number,
                None => return usage(),
            },
            "--count" => match number() {
                Some(number) => count = number,
                None => return usage(),
            },
            addr if !addr.starts_with('-') => addrs.push(addr.to_owned()),
            _ => return usage(),
        }
    }
    let [left, right] = &addrs[..] else { return usage() };
    match differ::run(left, right, seed, count, usize::try_from(told).unwrap_or(usize::MAX)) {
        Ok(ran) => {
            println!(
                "seed {seed}: {} refused of {} requests, {} notifications: all the same",
                ran.refused, ran.requests, ran.notifications
            );
            println!("{} passed, 0 failed", ran.requests);
            ExitCode::SUCCESS
        }
        Err(what) => {
            println!("FAILED {what}\n0 passed, 1 failed");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the report")]
fn usage() -> ExitCode {
    println!("usage: {USAGE}");
    ExitCode::from(2)
}
