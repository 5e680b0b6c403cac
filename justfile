# `just` lists the recipes.

_:
    @just --list --unsorted

# Everything that CI demands except the peers; changes no file.
verify:
    cargo fmt --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    cargo test --workspace --locked
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
    cargo deny check -A unused-wrapper bans licenses sources

# Formats, and applies what clippy can mend by itself.
fix:
    cargo fmt
    cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged

# Everything in one process, with a demo pipeline; arguments go to `flowkeeper dev`.
run *ARGS:
    cargo run --release -- dev --demo {{ARGS}}

# Whole systems, independent clients against the embedded servers, and real Spring applications.
e2e:
    cargo test --locked -p flowkeeper -p flowkeeper-testkit
    peers/check-zookeeper
    peers/check-zookeeper-clients
    peers/check-zookeeper-same
    peers/check-zookeeper-export
    peers/check-crash
    peers/check-broker
    peers/check-spring
    peers/check-api
    peers/check-fence
    peers/check-faults

# Every fault of the catalogue, as often as it says, and the product with faults built in (docs/reliability.md): hours.
torture *ARGS:
    peers/check-faults --long {{ARGS}}
    peers/check-faults --mutants

# Benchmarks of the crates that have them.
bench:
    cargo bench --workspace --benches
