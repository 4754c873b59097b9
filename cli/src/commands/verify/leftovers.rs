//! The leftovers of a run in shared memory, found without the library.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Characters that all object names of a namespace begin with: `tl_` and the namespace's hash.
const NAMESPACE_CHARACTERS: usize = 10;

/// The beginnings of the names of a namespace's objects, and the directory where they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Prefixes {
    /// As the system names it: without symbolic links.
    directory: PathBuf,
    found: BTreeSet<String>,
}

impl Prefixes {
    pub(super) fn in_directory(directory: &Path) -> Prefixes {
        let directory = fs::canonicalize(directory).unwrap_or_else(|_| directory.into());
        Prefixes { directory, found: BTreeSet::new() }
    }

    /// Adds the beginnings of the names of the objects that process `pid` has mapped.
    ///
    /// # Errors
    ///
    /// If its mappings cannot be read.
    pub(super) fn add_mapped_by(&mut self, pid: u32) -> io::Result<()> {
        self.add(&fs::read_to_string(format!("/proc/{pid}/maps"))?);
        Ok(())
    }

    fn add(&mut self, maps: &str) {
        let directory = format!("{}/tl_", self.directory.display());
        let names =
            maps.lines().filter_map(|line| line.split_once(&directory)).map(|(_, name)| format!("tl_{name}"));
        self.found.extend(names.map(|name| name.chars().take(NAMESPACE_CHARACTERS).collect::<String>()));
    }

    /// Whether the beginnings are those of exactly one namespace.
    pub(super) fn are_of_one_namespace(&self) -> bool {
        self.found.len() == 1
    }

    /// How many objects in the directory have names that begin like that.
    ///
    /// # Errors
    ///
    /// If the directory cannot be listed.
    pub(super) fn count_objects(&self) -> io::Result<u64> {
        let names =
            fs::read_dir(&self.directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let names = names.collect::<io::Result<Vec<_>>>()?;
        let is_ours = |name: &&String| self.found.iter().any(|prefix| name.starts_with(prefix));
        Ok(names.iter().filter(is_ours).count() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_give_the_beginnings_of_the_names() {
        let mut prefixes = Prefixes::in_directory(Path::new("/dev/shm"));
        assert!(!prefixes.are_of_one_namespace());
        prefixes.add(
            "7f00-7f01 rw-s 00000000 00:1a 3 /dev/shm/tl_0123456_89abcdef_c\n\
             7f01-7f02 r-xp 00000000 08:01 9 /usr/lib/libc.so.6\n\
             7f02-7f03 rw-s 00000000 00:1a 4 /dev/shm/tl_0123456_fedcba98_c (deleted)\n",
        );
        assert_eq!(prefixes.found, BTreeSet::from(["tl_0123456".into()]));
        assert!(prefixes.are_of_one_namespace());
        prefixes.add("7f03-7f04 rw-s 00000000 00:1a 5 /dev/shm/tl_6543210_fedcba98_c");
        assert!(!prefixes.are_of_one_namespace());
    }
}
