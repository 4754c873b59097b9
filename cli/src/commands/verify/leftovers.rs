//! The leftovers of a run in its directory, counted without the library. That only says what the
//! names of the run's objects begin with, and the writers' mappings confirm it.

use std::path::PathBuf;
use std::{fs, io};

/// Where the objects of a run are, and what their names begin with.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// As the system names it: without symbolic links.
    pub(super) directory: PathBuf,
    pub(super) prefix: String,
}

impl Place {
    /// Whether `maps`, the mappings of a process, has objects of the library there, and all of
    /// their names begin with the prefix.
    pub(super) fn has_all_of(&self, maps: &str) -> bool {
        let (library, ours) = (self.directory.join("tl_"), self.directory.join(&self.prefix));
        let has = |line: &&str, path: &PathBuf| path.to_str().is_some_and(|path| line.contains(path));
        let mut mapped = maps.lines().filter(|line| has(line, &library)).peekable();
        mapped.peek().is_some() && mapped.all(|line| has(&line, &ours))
    }

    /// How many objects there have names that begin with the prefix.
    ///
    /// # Errors
    ///
    /// If the directory cannot be listed.
    pub(super) fn count_objects(&self) -> io::Result<u64> {
        let is_ours = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(&self.prefix);
        let entries = fs::read_dir(&self.directory)?.collect::<io::Result<Vec<_>>>()?;
        Ok(entries.iter().filter(|entry| is_ours(entry)).count() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_confirm_the_prefix() {
        let place = Place { directory: "/dev/shm".into(), prefix: "tl_0123456".into() };
        let has_all = |maps: &[&str]| place.has_all_of(&maps.join("\n"));
        let code = "7f01-7f02 r-xp 00000000 08:01 9 /usr/lib/libc.so.6";
        let ours = [
            "7f00-7f01 rw-s 00000000 00:1a 3 /dev/shm/tl_0123456_89abcdef_c",
            "7f02-7f03 rw-s 00000000 00:1a 4 /dev/shm/tl_0123456_fedcba98_c (deleted)",
        ];
        assert!(!has_all(&[code]) && has_all(&[ours[0], code, ours[1]]));
        assert!(!has_all(&[ours[0], "7f03-7f04 rw-s 00000000 00:1a 5 /dev/shm/tl_6543210_fedcba98_c"]));
    }
}
