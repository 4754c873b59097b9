//! include/tearless.h is what this crate says.

use std::path::Path;
use std::{env, fs};

/// The header, made from the crate.
fn header() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let bindings = cbindgen::Builder::new().with_crate(root).with_config(config).generate().unwrap();
    let mut made = Vec::new();
    bindings.write(&mut made);
    let made = String::from_utf8(made).unwrap();
    let mut header = include_str!("../src/head.h").to_owned();
    // What Rust wants to be said of safety, the texts above it say of each argument.
    let mut is_of_safety = false;
    for line in made.trim_start().lines() {
        is_of_safety = (is_of_safety || line == " * # Safety") && line != " */";
        if !is_of_safety {
            header += line.trim_end();
            header += "\n";
        }
    }
    header = header.replace(" *\n */", " */");
    // Comments of one line.
    let comments: Vec<_> = header
        .split("/**\n")
        .map(|text| match text.split_once("\n") {
            Some((line, rest)) if rest.trim_start().starts_with("*/") => {
                let rest = &rest.trim_start()[2..];
                format!("/** {} */{rest}", line.trim_start().trim_start_matches("* "))
            }
            _ => format!("/**\n{text}"),
        })
        .collect();
    let header = comments.concat();
    header.strip_prefix("/**\n").unwrap_or(&header).to_owned() + include_str!("../src/tail.h")
}

/// `TEARLESS_HEADER=write` writes it.
#[test]
fn the_header_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/tearless.h");
    if env::var_os("TEARLESS_HEADER").is_some_and(|value| value == "write") {
        fs::write(&path, header()).unwrap();
    }
    let is_current = fs::read_to_string(&path).unwrap_or_default() == header();
    assert!(is_current, "include/tearless.h is old: TEARLESS_HEADER=write cargo test --test header");
}
