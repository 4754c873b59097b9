//! Paths into values, leaves and changes.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{FieldPath, PathError, Step, differences, leaves};

fn parsed(text: &str) -> FieldPath {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn column(text: &str) -> usize {
    let error: PathError = text.parse::<FieldPath>().expect_err(text);
    error.column
}

#[test]
fn paths_lead_to_values() {
    let state = json!({ "a": { "b": [1, [2, { "c d": 3 }]], "0": 4 }, "": 5, "ü-x": 6, "q\"\n": 7 });
    for (path, value) in [
        ("a.b[0]", 1),
        ("a.b[1][0]", 2),
        (r#"a.b[1][1]["c d"]"#, 3),
        (r#"["a"]["b"][0]"#, 1),
        ("a.0", 4),
        (r#"[""]"#, 5),
        ("ü-x", 6),
        (r#"["q\"\n"]"#, 7),
        (r#"["q\u{22}\u{a}"]"#, 7),
        ("a.b[1][1].c d", 3),
    ] {
        assert_eq!(parsed(path).find(&state), Some(&value.into()), "{path}");
    }
    assert_eq!(parsed("").find(&state), Some(&state));
    for missing in ["b", "a.b[2]", "a[0]", "a.b.0", "a.b[0].c"] {
        assert_eq!(parsed(missing).find(&state), None, "{missing}");
    }
}

#[test]
fn an_error_in_a_path_names_its_column() {
    for (text, at) in [
        (".a", 1),
        ("a..b", 3),
        ("a.", 3),
        ("a[", 3),
        ("a[]", 3),
        ("a[-1]", 3),
        ("a[1", 4),
        ("a[1]b", 5),
        ("a]", 2),
        ("a\"", 2),
        ("ü[\"x", 5),
        ("[\"\\x\"]", 4),
        ("[\"\\u{d800}\"]", 10),
        ("[\"\\u{110000000}\"]", 12),
        ("[99999999999999999999999]", 21),
        ("a\n", 2),
    ] {
        assert_eq!(column(text), at, "{text:?}");
    }
}

#[test]
fn leaves_are_in_order() {
    let state = json!({ "z": 1, "a": [true, { "x y": null }], "e": {}, "f": [] });
    let found: Vec<_> = leaves(&state).found.iter().map(|(path, leaf)| format!("{path}={leaf}")).collect();
    assert_eq!(found, ["z=1", "a[0]=true", r#"a[1]["x y"]=null"#, "e={}", "f=[]"]);
    for state in [json!(7), json!([])] {
        assert_eq!(leaves(&state).found, [(FieldPath::root(), &state)]);
    }
}

#[test]
fn changes_have_their_paths() {
    let old = json!({ "a": 1, "gone": 2, "list": [1, 2, 3], "same": { "x": 1 }, "kind": {} });
    let new = json!({ "a": 2, "list": [1, 5], "same": { "x": 1 }, "kind": [], "new": "n" });
    let found: Vec<_> = differences(&old, &new)
        .found
        .into_iter()
        .map(|change| (change.path.to_string(), change.old, change.new))
        .collect();
    let expected = [
        ("a", Some(json!(1)), Some(json!(2))),
        ("gone", Some(json!(2)), None),
        ("list[1]", Some(json!(2)), Some(json!(5))),
        ("list[2]", Some(json!(3)), None),
        ("kind", Some(json!({})), Some(json!([]))),
        ("new", None, Some(json!("n"))),
    ];
    assert_eq!(found, expected.map(|(path, old, new)| (path.to_owned(), old, new)));
    assert!(differences(&old, &old).is_empty());
}

/// One long name over an array of many numbers.
fn long_name(name: usize, numbers: &[usize]) -> Value {
    json!({ "n".repeat(name): numbers, "short": numbers.len() })
}

#[test]
fn long_paths_are_left_out_and_counted() {
    let state = long_name(4096, &[0; 30_000]);
    let found = leaves(&state);
    assert_eq!((found.found.len(), found.left_out), (1, 30_000));
    let changes = differences(&state, &long_name(4096, &[1; 30_000]));
    assert_eq!((changes.found.len(), changes.left_out), (0, 30_000));
    assert!(!changes.is_empty());
}

#[test]
fn all_paths_together_are_limited() {
    let bytes = |path: &FieldPath| -> usize {
        let name = |step: &Step| match step {
            Step::Name(name) => name.len(),
            Step::Index(_) => 0,
        };
        path.steps().iter().map(|step| size_of::<Step>() + name(step)).sum()
    };
    let (old, new) = (long_name(2048, &[0; 30_000]), long_name(2048, &[1; 30_000]));
    let (found, changes) = (leaves(&old), differences(&old, &new));
    let taken: usize = found.found.iter().map(|(path, _)| bytes(path)).sum();
    assert!((4_000_000..=4 * 1024 * 1024).contains(&taken), "{taken}");
    let taken: usize = changes.found.iter().map(|change| bytes(&change.path)).sum();
    assert!((4_000_000..=4 * 1024 * 1024).contains(&taken), "{taken}");
    assert_eq!(found.found.len() + found.left_out, 30_001);
    assert_eq!(changes.found.len() + changes.left_out, 30_000);
    let many = long_name(1, &[0; 30_000]);
    assert_eq!((leaves(&many).found.len(), leaves(&many).left_out), (10_000, 20_001));
    assert_eq!(differences(&many, &long_name(1, &[1; 30_000])).left_out, 20_000);
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof!["\\PC*".prop_map(Step::Name), ".*".prop_map(Step::Name), any::<usize>().prop_map(Step::Index)]
}

/// A value in which `path` leads to 1.
fn holding(path: &[Step]) -> Value {
    match path.split_first() {
        None => json!(1),
        Some((Step::Name(name), rest)) => {
            Value::Object([(name.clone(), holding(rest))].into_iter().collect())
        }
        Some((Step::Index(_), rest)) => json!([holding(rest)]),
    }
}

proptest! {
    #[test]
    fn a_path_survives_its_text(path in proptest::collection::vec(steps(), 0..6)) {
        let path = path.into_iter().fold(FieldPath::root(), |path, step| path.then(step));
        prop_assert_eq!(path.to_string().parse(), Ok(path));
    }

    #[test]
    fn any_text_is_a_path_or_none(text in ".*") {
        if let Ok(path) = text.parse::<FieldPath>() {
            prop_assert_eq!(path.to_string().parse(), Ok(path));
        }
    }

    #[test]
    fn leaves_are_found_again(path in proptest::collection::vec(steps(), 0..6)) {
        let value = holding(&path);
        for (path, leaf) in leaves(&value).found {
            prop_assert_eq!(path.find(&value), Some(leaf));
        }
    }
}
