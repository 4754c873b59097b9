//! The place of a run's objects. Their names belong to the run, which removes them at its end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use serde::{Deserialize, Serialize};
use tearless::Namespace;

/// The directory of shared memory.
const SHARED_MEMORY: &str = "/dev/shm";

/// The name under which one state is published. It means the same in every process of the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    run: String,
    name: String,
}

/// Everything that a run has created. Removes it on drop.
pub(crate) struct Ground {
    run: String,
}

impl Ground {
    /// Takes the run's name from the script that started it, which cleans up if this process is
    /// killed; otherwise the process id.
    pub(crate) fn new() -> Ground {
        let run = std::env::var("TEARLESS_PEERS_RUN").unwrap_or_else(|_| process::id().to_string());
        let ground = Ground { run };
        fs::create_dir_all(ground.place("").directory()).expect("/dev/shm can be written to");
        ground
    }

    /// The place called `name`, which has letters, digits and `-`.
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

    /// Its name, unique within the run.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The run's namespace of channels.
    pub(crate) fn namespace(&self) -> Namespace {
        let builder = Namespace::builder(&format!("peers {}", self.run));
        builder.open().expect("the name is short")
    }

    /// A file in shared memory, for the peers that need one.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory().join(&self.name)
    }

    /// The run's files.
    pub(crate) fn directory(&self) -> PathBuf {
        Path::new(SHARED_MEMORY).join(self.prefix())
    }

    /// The beginning of the names of the run's files and shared memory, for peers that let us
    /// choose it.
    pub(crate) fn prefix(&self) -> String {
        format!("tearless_peers_{}", self.run)
    }
}
