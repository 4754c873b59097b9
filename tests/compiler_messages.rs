//! The compiler's errors about codecs and schemas say what to do.
//!
//! Each case is a small program that must not compile, in a package of its own. Its build directory
//! is inside of that of the tests, so that only the first run compiles the dependencies.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program that must not compile, and texts that its errors contain. The compiler writes names
/// with or without their paths, so the texts begin after a path.
struct Case {
    name: &'static str,
    features: &'static str,
    program: &'static str,
    texts: &'static [&'static str],
}

const TOO_LARGE: &str =
    "a plain state of more than 64 KiB does not fit on every stack: read it as `Boxed<T>`";

const CASES: &[Case] = &[
    Case {
        name: "a_codec_without_its_feature",
        features: "none",
        program: "
            #[derive(serde::Serialize)]
            struct State { done: u64 }
            fn main() {
                let _ = <tearless::Postcard as tearless::Encode<State>>::encode;
                let _ = <tearless::MessagePack as tearless::Decode<u64>>::decode;
            }",
        texts: &[
            "Postcard` cannot encode `State`",
            "MessagePack` cannot decode `u64`",
            "enable the codec's feature",
        ],
    },
    Case {
        name: "a_type_without_serialize",
        features: "all",
        program: "
            struct State { done: u64 }
            fn main() {
                let _ = <tearless::MessagePack as tearless::Encode<State>>::encode;
                let _ = <tearless::Postcard as tearless::Encode<State>>::encode;
            }",
        texts: &[
            "MessagePack` to implement `tearless::Encode<State>`",
            "Postcard` to implement `tearless::Encode<State>`",
            "consider adding `#[derive(serde::Serialize)]` to your `State` type",
        ],
    },
    Case {
        name: "a_type_without_deserialize",
        features: "all",
        program: "
            struct State { done: u64 }
            fn main() {
                let _ = <tearless::MessagePack as tearless::Decode<State>>::decode;
            }",
        texts: &["consider adding `#[derive(serde::Deserialize)]` to your `State` type"],
    },
    Case {
        name: "a_type_that_postcard_cannot_try_to_read",
        features: "all",
        program: "
            #[derive(serde::Serialize)]
            struct State { done: u64 }
            fn main() {
                let _ = <tearless::MessagePack as tearless::Encode<State>>::encode;
                let _ = <tearless::Postcard as tearless::Encode<State>>::encode;
            }",
        texts: &[
            "Postcard` to implement `tearless::Encode<State>`",
            "consider adding `#[derive(serde::Deserialize)]` to your `State` type",
        ],
    },
    Case {
        name: "a_type_that_is_not_plain_data",
        features: "all",
        program: "
            struct State { done: u64 }
            fn main() {
                let _ = <tearless::Pod as tearless::Encode<State>>::encode;
                let _ = <tearless::Pod as tearless::Decode<State>>::decode;
            }",
        texts: &[
            "Pod` is not a codec for `State`",
            "derive `Clone`, `Copy`, `bytemuck::Pod` and `bytemuck::Zeroable`, and add `#[repr(C)]`",
        ],
    },
    Case {
        name: "plain_data_in_a_box",
        features: "all",
        program: "
            fn main() {
                let fleet = tearless::Namespace::in_process(\"fleet\").unwrap();
                let _ = fleet.writer_builder::<Box<[u8; 4]>>(\"camera\").codec::<tearless::Pod>();
                let _ = fleet.reader_builder::<Box<[u8; 4]>>(\"camera\").codec::<tearless::Pod>();
            }",
        texts: &[
            "of plain data on the heap it encodes `Boxed<T>`, not `Box<T>`",
            "of plain data on the heap it decodes `Boxed<T>`, not `Box<T>`",
        ],
    },
    Case {
        name: "a_loan_of_a_codec_that_encodes",
        features: "all",
        program: "
            fn publish(
                packed: &mut tearless::Writer<String>,
                posted: &mut tearless::Writer<String, tearless::Postcard>,
            ) {
                let _ = (packed.loan(), posted.loan());
            }
            fn main() {
                let _: fn(&mut _, &mut _) = publish;
            }",
        texts: &[
            "MessagePack` has no slot to lend",
            "Postcard` has no slot to lend",
            "`Writer::encode` encodes a state now",
        ],
    },
    Case {
        name: "plain_data_without_a_schema",
        features: "all",
        program: "
            use tearless::schema::Describe;
            #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
            #[repr(C)]
            struct State { done: u64 }
            fn main() {
                let _ = <tearless::Pod as Describe<State>>::describe();
            }",
        texts: &[
            "`State` has no schema as plain data",
            "tearless::describe_pod!(State { first_field, second_field });",
        ],
    },
    Case {
        name: "a_field_of_a_foreign_type",
        features: "all",
        program: "
            #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
            #[repr(C)]
            struct State { address: Foreign }
            #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
            #[repr(C)]
            struct Foreign { bits: u32 }
            tearless::describe_pod!(State { address });
            fn main() {}",
        texts: &[
            "`Foreign` has no schema as plain data",
            "a `#[repr(transparent)]` struct of yours around it",
        ],
    },
    Case {
        name: "no_derived_schema",
        features: "all",
        program: "
            use tearless::schema::Describe;
            struct State { done: u64 }
            fn main() {
                let _ = <tearless::Postcard as Describe<State>>::describe();
                let _ = <tearless::MessagePack as Describe<State>>::describe();
            }",
        texts: &[
            "Postcard` has no schema of `State`",
            "derive `postcard_schema::Schema` on `State`",
            "`MessagePack` needs no schema",
        ],
    },
    Case {
        name: "a_codec_that_does_not_know_the_type",
        features: "all",
        program: "
            fn main() {
                let _ = <tearless::Bytes as tearless::Decode<String>>::decode;
            }",
        texts: &["Bytes` cannot decode `", "`Bytes` decodes `Vec<u8>`"],
    },
    Case {
        name: "large_plain_data_from_a_hub",
        features: "all",
        program: "
            fn main() {
                let fleet = tearless::Namespace::in_process(\"fleet\").unwrap();
                let hub = fleet.hub_builder().codec::<tearless::Pod>().open();
                let _ = hub.get::<[[u8; 64 << 10]; 2]>(\"camera\");
            }",
        texts: &[TOO_LARGE],
    },
    Case {
        name: "large_plain_data_from_its_writer",
        features: "all",
        program: "
            fn latest(writer: &tearless::Writer<[[u8; 64 << 10]; 2], tearless::Pod>) {
                let _ = writer.latest();
            }
            fn main() {
                let _: fn(&_) = latest;
            }",
        texts: &[TOO_LARGE],
    },
    Case {
        name: "large_plain_data_from_a_predecessor",
        features: "all",
        program: "
            fn main() {
                let fleet = tearless::Namespace::in_process(\"fleet\").unwrap();
                let writer = fleet.writer_builder::<[[u8; 64 << 10]; 2]>(\"camera\").codec::<tearless::Pod>();
                let _ = writer.syncer([[0; 64 << 10]; 2]).resume();
            }",
        texts: &[TOO_LARGE],
    },
];

/// A package with one program for each case.
fn package() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiler_messages");
    fs::create_dir_all(folder.join("src/bin")).unwrap();
    let manifest = format!(
        "[package]\nname = \"compiler-messages\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
         [features]\nnone = []\nall = [\"tearless/default\"]\n\n\
         [dependencies]\n\
         bytemuck = {{ version = \"1\", features = [\"derive\"] }}\n\
         serde = {{ version = \"1\", features = [\"derive\"] }}\n\
         tearless = {{ path = {root:?}, default-features = false }}\n\n\
         [workspace]\n"
    );
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    // The versions that are known to be available: the check makes no requests.
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    for case in CASES {
        fs::write(folder.join("src/bin").join(format!("{}.rs", case.name)), case.program).unwrap();
    }
    folder
}

#[test]
fn errors_say_what_to_do() {
    let folder = package();
    for case in CASES {
        let output = Command::new(env!("CARGO"))
            .current_dir(&folder)
            // Sizes are checked only when code is generated.
            .args(["build", "--offline", "--quiet", "--bin", case.name, "--features", case.features])
            .env("CARGO_TARGET_DIR", folder.join("target"))
            .env("CARGO_PROFILE_DEV_DEBUG", "none")
            .env("CARGO_TERM_COLOR", "never")
            .env_remove("RUSTFLAGS")
            .output()
            .expect("cargo starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{} compiles", case.name);
        for text in case.texts {
            assert!(errors.contains(text), "{}: {text:?} is missing in\n{errors}", case.name);
        }
    }
}
