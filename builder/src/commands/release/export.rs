//! `slipway release export`: what is published, to carry elsewhere.

use std::path::{Path, PathBuf};

use slipway_builder::progress::Progress;
use slipway_builder::release::{Exported, Published, ReleaseError, Repository, Roots, export_folder, export_tar};
use slipway_builder::report::bytes;

use super::signing::lock;
use crate::context::Context;
use crate::exit_codes::{ExitCode, OrFault as _};

/// Copies what is published into another folder, such as a USB stick's, or a tar archive. Either is a repository of its own.
///
/// A folder that holds an older state gets what is new; one that holds a newer state is refused. Cut off, it holds what it held before.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The repository
    #[arg(long, value_name = "DIR")]
    repo: PathBuf,
    /// Where it goes: a tar archive if the name ends in `.tar`, else a folder
    #[arg(long, value_name = "FOLDER|TAR")]
    to: PathBuf,
}

impl Args {
    /// Does it, and says how much it was.
    pub fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let progress = context.progress();
        let exported = self.export(context, &*progress).or_fault()?;
        if context.json() {
            context.print_json(&exported)?;
        } else {
            let Exported { files, bytes: size, copied } = exported;
            let to = self.to.display();
            context.print(&format!("{to}: {} in {files} files, {} of it new\n", bytes(size), bytes(copied)))?;
        }
        Ok(ExitCode::Success)
    }

    fn export(&self, context: &Context, progress: &dyn Progress) -> Result<Exported, ReleaseError> {
        let repository = Repository::at(&self.repo);
        let read = || {
            let roots = Roots::of_repository(&repository)?;
            Ok::<_, ReleaseError>((Published::read(&repository, roots.all())?, roots))
        };
        // Nothing is made where there is nothing to export.
        let (published, roots) = read()?;
        if is_tar(&self.to) {
            return export_tar(&repository, &published, roots.all(), &self.to, progress);
        }
        let mut to = lock(&self.to, context)?;
        // Who had the folder until now may have brought what came to be meanwhile.
        let (published, roots) = read()?;
        export_folder(&repository, &published, roots.all(), &mut to, progress)
    }
}

fn is_tar(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "tar")
}
