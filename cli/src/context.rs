//! What was said on the command line that concerns every command.

use anstream::ColorChoice;
use tearless::Namespace;

use crate::arguments::{Color, CommonArguments};
use crate::error::Failure;
use crate::resolve;

/// What every command is given.
#[derive(Debug)]
pub(crate) struct Context {
    /// The namespace that was named.
    pub(crate) namespace: Option<String>,
    /// Other users whose objects are opened, too.
    pub(crate) trust: Vec<u32>,
    /// Whether JSON is printed.
    pub(crate) json: bool,
}

impl Context {
    /// Sets colours for the whole process, too.
    pub(crate) fn new(common: &CommonArguments) -> Context {
        let choice = match common.color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        choice.write_global();
        // A variable that is set to nothing is as if it were not set.
        let is_unset = |name: &&String| {
            name.is_empty() && std::env::var_os("TEARLESS_NAMESPACE").is_some_and(|value| value.is_empty())
        };
        let namespace = common.namespace.as_ref().filter(|name| !is_unset(name)).cloned();
        Context { namespace, trust: common.trust_owner.clone(), json: common.json }
    }

    /// The namespace that was named, or else the only one there is; as it is, without cleaning it.
    pub(crate) fn namespace(&self) -> Result<Namespace, Failure> {
        match &self.namespace {
            Some(name) => self.open(name),
            None => self.open(&resolve::only_namespace(&self.trust)?),
        }
    }

    /// The namespace `name`, without cleaning it.
    pub(crate) fn open(&self, name: &str) -> Result<Namespace, Failure> {
        let mut builder = Namespace::builder(name);
        for user in &self.trust {
            builder = builder.trust_owner(*user);
        }
        Ok(builder.open()?)
    }
}
