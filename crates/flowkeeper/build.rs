//! Links the release binary at a fixed address.
//!
//! A position-independent one is relocated by the loader at each start: half a megabyte of tables read and as much data written,
//! by every app process anew. Without it these pages are shared by all processes, which is what makes an idle app small.
#![expect(clippy::disallowed_methods, reason = "this is how a build script and Cargo talk")]

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is_linux = std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    if is_linux && is_release {
        println!("cargo::rustc-link-arg-bin=flowkeeper=-no-pie");
    }
}
