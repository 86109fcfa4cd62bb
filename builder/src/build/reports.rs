//! The reports beside an image: written by the build, completed by a test boot.
//!
//! They are not among the reproducible outputs: they hold times of this machine.

use std::fs;
use std::path::Path;

use super::output::OutputError;
use super::{BuildError, REPORT, REPORT_HTML, REPORT_JSON};
use crate::report::{BootReport, Report, html, text};

/// The three forms of a report: name and bytes.
pub(super) fn report_files(report: &Report) -> Result<[(&'static str, Vec<u8>); 3], BuildError> {
    let failed = |name| move |source| BuildError::Serialise { name, source };
    Ok([
        (REPORT, text(report).into_bytes()),
        (REPORT_HTML, html(report).map_err(failed(REPORT_HTML))?.into_bytes()),
        (REPORT_JSON, serde_json::to_vec(report).map_err(failed(REPORT_JSON))?),
    ])
}

/// The report of the build in `folder`, if there is a readable one.
pub fn read_report(folder: &Path) -> Option<Report> {
    serde_json::from_slice(&fs::read(folder.join(REPORT_JSON)).ok()?).ok()
}

/// Adds a test boot to the reports of the build in `folder`, in place of an earlier one, and touches no other file.
/// Says whether there were reports to add it to.
pub fn complete_report(folder: &Path, boot: BootReport) -> Result<bool, BuildError> {
    let Some(mut report) = read_report(folder) else { return Ok(false) };
    report.boot = Some(boot);
    for (name, bytes) in report_files(&report)? {
        // Whoever has the page open sees the old one or the new one.
        let (new, path) = (folder.join(format!(".{name}.new")), folder.join(name));
        fs::write(&new, bytes)
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|source| OutputError::new("write", &path, source))?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::report::sample;

    #[test]
    fn a_test_boot_is_added_to_all_reports_and_replaces_an_earlier_one() {
        let folder = tempfile::tempdir().unwrap();
        let boot = |name: &str| BootReport {
            accelerator: "tcg".into(),
            milestones: vec![(name.into(), 5_000)],
            units: Vec::new(),
        };
        assert!(!complete_report(folder.path(), boot("early")).unwrap(), "no build, no report");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        for (name, bytes) in report_files(&Report { boot: None, ..sample() }).unwrap() {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        fs::write(folder.path().join("disk.raw"), "disk").unwrap();
        for name in ["early boot", "late boot"] {
            assert!(complete_report(folder.path(), boot(name)).unwrap());
        }
        for name in [REPORT, REPORT_HTML, REPORT_JSON] {
            let text = fs::read_to_string(folder.path().join(name)).unwrap();
            assert!(text.contains("late boot") && !text.contains("early boot"), "{name}");
        }
        assert_eq!(read_report(folder.path()).unwrap().boot.unwrap().milestones, [("late boot".to_owned(), 5_000)]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4, "nothing is left lying about");
    }
}
