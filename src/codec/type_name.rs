//! The default type name: without modules.

/// The name of `T` with the path of every type in it removed: `Vec<worker::Job>` and `Vec<main::Job>` are alike, so
/// that two programs may each have their own copy of a type.
///
/// It can't tell whether the copies have the same fields; after a change the type needs another name, in
/// the code or by `type_name`.
pub(crate) fn type_name_of<T: ?Sized>() -> String {
    without_paths(std::any::type_name::<T>())
}

fn without_paths(name: &str) -> String {
    let mut short = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(end) = rest.find(|character: char| !is_path(character)) {
        short.push_str(last_segment(&rest[..end]));
        let separator = rest[end..].chars().next().map_or(0, char::len_utf8);
        short.push_str(&rest[end..end + separator]);
        rest = &rest[end + separator..];
    }
    short.push_str(last_segment(rest));
    short
}

fn is_path(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | ':')
}

fn last_segment(path: &str) -> &str {
    path.rsplit("::").next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_go_and_structure_stays() {
        assert_eq!(without_paths("worker::state::State"), "State");
        assert_eq!(without_paths("alloc::vec::Vec<(u64, main::Job)>"), "Vec<(u64, Job)>");
        assert_eq!(without_paths("[core::option::Option<&a::b::C>; 4]"), "[Option<&C>; 4]");
        assert_eq!(without_paths("u8"), "u8");
        assert_eq!(type_name_of::<std::collections::BTreeMap<String, u8>>(), "BTreeMap<String, u8>");
    }
}
