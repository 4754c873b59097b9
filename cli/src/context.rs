//! The options of every command.

use std::time::Duration;

use anstream::ColorChoice;
use clap::Args;
use tearless::Namespace;
use tearless::error::ObjectError;

use crate::directory::Directory;
use crate::error::Failure;
use crate::resolve;

/// The options that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Context {
    /// The namespace. Default: $TEARLESS_NAMESPACE, or the only one on this machine
    #[arg(short, long, global = true, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// Prints JSON, one document a line; a command's help lists its keys
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// When to use colours: on a terminal, everywhere, nowhere; this option overrides NO_COLOR
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: clap::ColorChoice,
    #[command(flatten)]
    pub(crate) directory: Directory,
}

/// A time on the command line.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "give a number and a unit, such as 250ms, 90s or 2h".into())
}

/// The users that may read what a command creates.
#[derive(Debug, Default, Args)]
pub(crate) struct AccessArguments {
    /// Permissions of the namespace, in octal: 644 for all users, 640 for the --group
    #[arg(long, env = "TEARLESS_PERMISSIONS", value_name = "MODE", value_parser = octal)]
    permissions: Option<u32>,
    /// The group that the permissions are for, by name or number. Default: this process's
    #[arg(long, env = "TEARLESS_GROUP", value_name = "GROUP")]
    group: Option<String>,
}

/// The permissions of a namespace for its owner alone.
const OWNER: u32 = 0o600;

/// Permission bits, as `chmod` takes them. An empty variable counts as unset.
fn octal(text: &str) -> Result<u32, String> {
    let bits = if text.is_empty() { Ok(OWNER) } else { u32::from_str_radix(text, 8) };
    bits.map_err(|_| "not an octal number such as 640".into())
}

impl Context {
    /// Chooses colours for the whole process, and the environment's namespace and directory if no
    /// option names one. With clap's `env`, usage lines would require the option, and an empty
    /// variable would not count as unset.
    pub(crate) fn settle(&mut self) {
        let choice = match self.color {
            clap::ColorChoice::Auto => ColorChoice::Auto,
            clap::ColorChoice::Always => ColorChoice::Always,
            clap::ColorChoice::Never => ColorChoice::Never,
        };
        choice.write_global();
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let named = self.namespace.take();
        let other = || variable("TEARLESS_NAMESPACE").map(|name| name.to_string_lossy().into_owned());
        self.namespace = named.or_else(other);
        self.directory.settle(variable("TEARLESS_DIRECTORY"));
    }

    /// The namespace that the user named, or else the only one. Opening removes nothing from it.
    pub(crate) fn namespace(&self) -> Result<Namespace, Failure> {
        self.namespace_for(&AccessArguments::default())
    }

    /// The same, for writers that admit these users.
    pub(crate) fn namespace_for(&self, access: &AccessArguments) -> Result<Namespace, Failure> {
        let only = || resolve::only_namespace(&self.directory);
        let name = self.namespace.clone().map_or_else(only, Ok)?;
        self.open(&name, access)
    }

    /// The namespace that the user named, or else this one, for writers that admit these users.
    pub(crate) fn namespace_or(&self, other: &str, access: &AccessArguments) -> Result<Namespace, Failure> {
        self.open(self.namespace.as_deref().unwrap_or(other), access)
    }

    fn open(&self, name: &str, access: &AccessArguments) -> Result<Namespace, Failure> {
        let mut builder = self.directory.builder(name).permissions(access.permissions.unwrap_or(OWNER));
        if let Some(group) = access.group.as_deref().filter(|group| !group.is_empty()) {
            builder = builder.group(group);
        }
        Ok(builder.open()?)
    }

    /// The namespaces there. A name out of shared memory may be invalid: then it is left out.
    pub(crate) fn all_namespaces(&self) -> Result<Vec<Namespace>, ObjectError> {
        let mut names: Vec<_> = self.directory.namespaces()?.into_iter().map(|info| info.name).collect();
        names.dedup();
        Ok(names.iter().flatten().filter_map(|name| self.directory.open(name).ok()).collect())
    }
}
