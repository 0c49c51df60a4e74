//! `completions`: a completion script for a shell.

use anyhow::Result;
use clap::Args;
use clap_complete::Shell;

use crate::access::{Context, Exit};

/// Print a completion script for a shell
///
/// For bash: `walsmith completions bash > /etc/bash_completion.d/walsmith`.
#[derive(Args, Clone, Debug)]
pub struct Completions {
    /// The shell
    pub shell: Shell,
}

impl Completions {
    /// Writes the script for the command tree `root`.
    ///
    /// # Errors
    /// When the destination fails.
    pub fn run(&self, root: &mut clap::Command, context: &mut Context) -> Result<Exit> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, root, "walsmith", &mut script);
        context.output.to.write_all(&script).map_err(crate::output::Error::from)?;
        context.output.to.flush().map_err(crate::output::Error::from)?;
        Ok(Exit::Done)
    }
}
