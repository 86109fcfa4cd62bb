//! Programs and modules that text files name: interpreters of scripts, PAM modules, D-Bus services, udev rules.

use std::io;

use slipway_images::content::Content;
use slipway_images::tree::{Kind, Node, RootTree, TreePath};

use super::follow::{is_there, program_is_there};
use super::{ClosureError, Finding, Severity, is_used};

/// Longest first line that Linux reads (`BINPRM_BUF_SIZE`).
const MAX_SHEBANG: usize = 256;
/// Configuration larger than this is none.
pub const MAX_TEXT: u64 = 1 << 20;
const PAM_MODULES: &str = "/usr/lib/x86_64-linux-gnu/security";
const UDEV_PROGRAMS: &str = "/usr/lib/udev";

/// The interpreter of the script at `path`, if it is missing.
pub fn check_interpreter(
    tree: &RootTree,
    path: &TreePath,
    node: &Node,
    content: &Content,
) -> io::Result<Option<Finding>> {
    let mut start = vec![0; usize::try_from(content.len()).unwrap_or(usize::MAX).min(MAX_SHEBANG)];
    content.read_exact_at(&mut start, 0)?;
    let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line.strip_prefix(b"#!").unwrap_or_default()).into_owned();
    let mut words = line.split_whitespace();
    let Some(mut program) = words.next() else { return Ok(None) };
    if program_is_there(tree, program) && program.ends_with("/env") {
        program = words.find(|word| !word.starts_with('-') && !word.contains('=')).unwrap_or(program);
    }
    if program_is_there(tree, program) {
        return Ok(None);
    }
    let severity = if is_used(path) { Severity::Error } else { Severity::Warning };
    let what = format!("is a script for `{program}`, which isn't in the image");
    Ok(Some(Finding { severity, path: path.clone(), what, origin: node.origin.clone() }))
}

/// What configuration files name and `tree` doesn't have.
pub fn check(tree: &RootTree) -> Result<Vec<Finding>, ClosureError> {
    let mut findings = Vec::new();
    for folder in ["/etc/pam.d", "/usr/lib/pam.d"] {
        each_line(tree, folder, "", |line| pam_module(tree, line), &mut findings)?;
    }
    for folder in ["/usr/share/dbus-1/system-services", "/usr/share/dbus-1/services"] {
        each_line(tree, folder, ".service", |line| dbus_program(tree, line), &mut findings)?;
    }
    for folder in ["/usr/lib/udev/rules.d", "/etc/udev/rules.d"] {
        each_line(tree, folder, ".rules", |line| udev_program(tree, line), &mut findings)?;
    }
    Ok(findings)
}

fn each_line(
    tree: &RootTree,
    folder: &str,
    suffix: &str,
    check: impl Fn(&str) -> Option<(Severity, String)>,
    findings: &mut Vec<Finding>,
) -> Result<(), ClosureError> {
    let Ok(folder) = TreePath::new(folder) else { return Ok(()) };
    for (path, node) in tree.children(&folder).filter(|(path, _)| path.name().ends_with(suffix)) {
        let Some(text) = text_of(path, node)? else { continue };
        for (severity, what) in text.lines().filter_map(|line| check(line.trim())) {
            findings.push(Finding { severity, path: path.clone(), what, origin: node.origin.clone() });
        }
    }
    Ok(())
}

/// The text of a configuration file, if it is one.
pub fn text_of(path: &TreePath, node: &Node) -> Result<Option<String>, ClosureError> {
    match &node.kind {
        Kind::File(content) if content.len() <= MAX_TEXT => {
            let bytes = content.to_vec().map_err(|source| ClosureError { path: path.clone(), source })?;
            Ok(String::from_utf8(bytes).ok())
        }
        _ => Ok(None),
    }
}

/// `type control module …` (pam.d(5)); a type that begins with `-` may miss its module.
fn pam_module(tree: &RootTree, line: &str) -> Option<(Severity, String)> {
    if line.starts_with(['#', '@', '-']) {
        return None;
    }
    let after_type = line.split_once(char::is_whitespace)?.1.trim_start();
    let after_control = match after_type.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.1,
        None => after_type.split_once(char::is_whitespace)?.1,
    };
    let module = after_control.split_whitespace().next().filter(|module| module.contains(".so"))?;
    let path = if module.starts_with('/') { module.to_owned() } else { format!("{PAM_MODULES}/{module}") };
    let there = TreePath::new(&path).is_ok_and(|path| is_there(tree, &path));
    (!there).then(|| (Severity::Error, format!("names the PAM module {module}, which isn't in the image")))
}

fn dbus_program(tree: &RootTree, line: &str) -> Option<(Severity, String)> {
    let program = line.strip_prefix("Exec=")?.split_whitespace().next()?;
    let missing = !program_is_there(tree, program);
    missing.then(|| (Severity::Warning, format!("starts `{program}`, which isn't in the image")))
}

/// `PROGRAM`, `RUN` and `IMPORT{program}` of a rule (udev(7)).
fn udev_program(tree: &RootTree, line: &str) -> Option<(Severity, String)> {
    if line.starts_with('#') {
        return None;
    }
    let call = line.split(',').map(str::trim).find_map(|token| {
        let (key, value) = token.split_once('=')?;
        let key = key.trim_end_matches(['+', ':', '=', '!']);
        let calls = matches!(key, "PROGRAM" | "RUN" | "RUN{program}" | "IMPORT{program}");
        calls.then(|| value.trim_start_matches('=').trim_matches('"'))
    })?;
    let program = call.split_whitespace().next().filter(|program| !program.contains(['$', '%']))?;
    let path = if program.starts_with('/') { program.to_owned() } else { format!("{UDEV_PROGRAMS}/{program}") };
    let there = TreePath::new(&path).is_ok_and(|path| is_there(tree, &path));
    (!there).then(|| (Severity::Warning, format!("runs `{program}`, which isn't in the image")))
}
