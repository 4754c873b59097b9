//! Commands that are programs of their own: `tearless NAME` runs `tearless-NAME`, as `git` does.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::process;

use tearless::inspect::similar;

use crate::context::Context;
use crate::error::{ExitStatus, Failure};

/// Replaces this process by the program, with all arguments after the command's name. Options
/// before it that name a namespace or a directory become environment variables, as the user could
/// have set.
///
/// Returns only if there is no such program, or it can't be executed.
pub(super) fn run(
    arguments: &[OsString],
    context: &Context,
    definition: &clap::Command,
) -> Result<(), Failure> {
    let (command, arguments) = arguments.split_first().expect("an external command has a name");
    let name = command.to_string_lossy();
    let program: OsString = [OsStr::new("tearless-"), command].into_iter().collect();
    // A path would run a program from elsewhere than the PATH.
    let error = if name.contains('/') {
        io::Error::from(io::ErrorKind::NotFound)
    } else {
        let mut process = process::Command::new(&program);
        process.args(arguments);
        process.envs(context.namespace.as_ref().map(|name| ("TEARLESS_NAMESPACE", name)));
        process.envs(context.directory.named().map(|directory| ("TEARLESS_DIRECTORY", directory)));
        process.exec()
    };
    if error.kind() != io::ErrorKind::NotFound {
        let text = format!("can't run {:?}: {error}", program.display());
        return Err(Failure::new(ExitStatus::Failed, text));
    }
    let text = format!("there is no command {name:?}, and no program \"tearless-{name}\" on the PATH");
    let all = definition.get_subcommands().map(clap::Command::get_name);
    let hint = match (&*name, similar(&name, all).first()) {
        ("mirror", _) => {
            "`tearless mirror` is a package of its own: install it (`cargo install tearless-mirror`), and see \
             that the PATH has its program"
                .into()
        }
        (_, Some(meant)) => format!("did you mean `tearless {meant}`?"),
        _ => "`tearless --help` lists the commands".into(),
    };
    Err(Failure::new(ExitStatus::Usage, text).hint(hint))
}
