//! The options of every command.

use anstream::ColorChoice;
use clap::{Args, ValueEnum};
use tearless::Namespace;

use crate::error::Failure;
use crate::resolve;

/// The options that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct CommonArguments {
    /// The namespace. Default: the only one on this machine
    #[arg(short, long, global = true, env = "TEARLESS_NAMESPACE", value_name = "NAME")]
    namespace: Option<String>,
    /// Prints JSON, one document a line; a command's help lists its keys
    #[arg(long, global = true)]
    json: bool,
    /// When to use colours; this option overrides NO_COLOR
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: Color,
    /// Also opens shared memory that belongs to this user (a numeric id). May be repeated
    #[arg(long, global = true, value_name = "UID")]
    trust_owner: Vec<u32>,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Color {
    /// On a terminal
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

/// The options that concern every command.
#[derive(Debug)]
pub(crate) struct Context {
    /// The namespace that the user named.
    pub(crate) namespace: Option<String>,
    /// Other users whose objects are opened, too.
    pub(crate) trust: Vec<u32>,
    /// Whether the command prints JSON.
    pub(crate) json: bool,
}

impl Context {
    /// Also chooses colours for the whole process.
    pub(crate) fn new(common: &CommonArguments) -> Context {
        let choice = match common.color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        choice.write_global();
        // An empty variable counts as unset.
        let is_unset = |name: &&String| {
            name.is_empty() && std::env::var_os("TEARLESS_NAMESPACE").is_some_and(|value| value.is_empty())
        };
        let namespace = common.namespace.as_ref().filter(|name| !is_unset(name)).cloned();
        Context { namespace, trust: common.trust_owner.clone(), json: common.json }
    }

    /// The namespace that the user named, or else the only one. Opening removes nothing from it.
    pub(crate) fn namespace(&self) -> Result<Namespace, Failure> {
        match &self.namespace {
            Some(name) => self.open(name),
            None => self.open(&resolve::only_namespace(&self.trust)?),
        }
    }

    /// The namespace `name`. Opening removes nothing from it.
    pub(crate) fn open(&self, name: &str) -> Result<Namespace, Failure> {
        let mut builder = Namespace::builder(name);
        for user in &self.trust {
            builder = builder.trust_owner(*user);
        }
        Ok(builder.open()?)
    }
}
