//! The place of a run's objects: their names are the run's own, and they are removed when it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use serde::{Deserialize, Serialize};
use tearless::Namespace;

/// Where shared memory is.
const SHARED_MEMORY: &str = "/dev/shm";

/// The name under which one state is published. It means the same in every process of the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    run: String,
    name: String,
}

/// All that a run has made. Removes it on drop.
pub(crate) struct Ground {
    run: String,
}

impl Ground {
    /// Takes the run's name from the script that started it and will clear up should this process be killed; else the
    /// process id.
    pub(crate) fn new() -> Ground {
        let run = std::env::var("TEARLESS_PEERS_RUN").unwrap_or_else(|_| process::id().to_string());
        let ground = Ground { run };
        fs::create_dir_all(ground.place("").directory()).expect("/dev/shm can be written to");
        ground
    }

    /// The place called `name`, of letters, digits and `-`.
    pub(crate) fn place(&self, name: &str) -> Place {
        Place { run: self.run.clone(), name: name.into() }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let prefix = self.place("").prefix();
        let _ = fs::remove_dir_all(self.place("").directory());
        for entry in fs::read_dir(SHARED_MEMORY).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

impl Place {
    /// Another place of the same run, named after this one.
    pub(crate) fn at(&self, suffix: &str) -> Place {
        Place { run: self.run.clone(), name: format!("{}-{suffix}", self.name) }
    }

    /// Its name, which no other place of the run has.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The run's namespace of channels.
    pub(crate) fn namespace(&self) -> Namespace {
        let builder = Namespace::builder(&format!("peers {}", self.run));
        builder.open().expect("the name is short")
    }

    /// A file for those who need one, in shared memory as all of them.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory().join(&self.name)
    }

    /// The run's files.
    pub(crate) fn directory(&self) -> PathBuf {
        Path::new(SHARED_MEMORY).join(self.prefix())
    }

    /// What the names of the run's files and of its shared memory begin with, where we may choose them.
    pub(crate) fn prefix(&self) -> String {
        format!("tearless_peers_{}", self.run)
    }
}
