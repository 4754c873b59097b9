//! The directory of the shared memory, and the users whose objects are opened.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::{fs, iter};

use clap::Args;
use tearless::error::ObjectError;
use tearless::inspect::{
    Capability, NamespaceInfo, ObjectInfo, capabilities_of, namespaces, objects, quoted,
};
use tearless::{Namespace, NamespaceBuilder};

use crate::error::Failure;

/// Where a command looks for shared memory, and the users whose objects it opens.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Directory {
    /// The directory of the shared memory. Default: $TEARLESS_DIRECTORY, or /dev/shm
    #[arg(long, global = true, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Also opens shared memory that belongs to this user (a numeric id). May be repeated
    #[arg(long = "trust-owner", global = true, value_name = "UID", value_parser = user)]
    trust: Vec<u32>,
}

/// Where Linux shows shared memory.
pub(crate) const DEV_SHM: &str = "/dev/shm";

impl Directory {
    /// Takes the environment's directory if no option names one.
    pub(crate) fn settle(&mut self, variable: Option<OsString>) {
        let named = self.directory.take();
        self.directory = named.or_else(|| variable.map(PathBuf::from));
    }

    /// The directory that the user named.
    pub(crate) fn named(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        self.named().unwrap_or(Path::new(DEV_SHM))
    }

    /// Its path as the system names it: without symbolic links.
    pub(crate) fn real_path(&self) -> PathBuf {
        fs::canonicalize(self.path()).unwrap_or_else(|_| self.path().into())
    }

    /// The bytes of its file system that every user may use, and how many of them are free. What is
    /// reserved for root counts neither as free nor as used.
    pub(crate) fn space(&self) -> Option<(u64, u64)> {
        let found = rustix::fs::statvfs(self.path()).ok()?;
        let used = found.f_blocks.saturating_sub(found.f_bfree);
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Some((bytes(used.saturating_add(found.f_bavail)), bytes(found.f_bavail)))
    }

    /// The options that say the same to another process.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = OsString> {
        let option = |name: &str, value: &OsStr| [name.into(), value.into()];
        let directory = self.named().map(|directory| option("--directory", directory.as_os_str()));
        let trust = self.trust.iter().map(move |user| option("--trust-owner", user.to_string().as_ref()));
        directory.into_iter().chain(trust).flatten()
    }

    /// This command with these options, for a shell.
    pub(crate) fn command(&self) -> String {
        let arguments = self.arguments().map(|it| format!(" {}", quoted(&it.to_string_lossy())));
        iter::once("tearless".into()).chain(arguments).collect()
    }

    /// ` on this machine`, or ` in` the directory that the user named.
    pub(crate) fn text(&self) -> String {
        let named = |directory: &Path| format!(" in {}", directory.display());
        self.named().map_or_else(|| " on this machine".into(), named)
    }

    /// What channels there can use of the system.
    pub(crate) fn capabilities(&self) -> Result<Vec<Capability>, ObjectError> {
        capabilities_of(self.path(), &self.trust)
    }

    /// The namespaces; those of other users are opened if they are trusted.
    pub(crate) fn namespaces(&self) -> Result<Vec<NamespaceInfo>, ObjectError> {
        let listing = namespaces().directory(self.path());
        self.trust.iter().fold(listing, |listing, user| listing.trust_owner(*user)).list()
    }

    /// The objects; those of other users are opened if they are trusted.
    pub(crate) fn objects(&self) -> Result<Vec<ObjectInfo>, ObjectError> {
        let listing = objects().directory(self.path());
        self.trust.iter().fold(listing, |listing, user| listing.trust_owner(*user)).list()
    }

    /// The namespace `name`. Opening removes nothing from it.
    pub(crate) fn open(&self, name: &str) -> Result<Namespace, Failure> {
        Ok(self.builder(name).open()?)
    }

    /// Options of the namespace `name`.
    pub(crate) fn builder(&self, name: &str) -> NamespaceBuilder {
        let builder = Namespace::builder(name).directory(self.path());
        self.trust.iter().fold(builder, |builder, user| builder.trust_owner(*user))
    }
}

fn user(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "not the number of a user; `id -u NAME` prints it".into())
}
