//! From the shape to a recipe that is complete and valid. Goes on after a mistake, so that all are told at once.

mod checks;
mod content;
mod migration;
mod system;
mod together;
mod update;

use std::ops::Range;
use std::path::{Path, PathBuf};

use slipway_images::digest::Digest;

use super::error::{Place, Problem};
use super::model::Recipe;
use super::shape::{At, Shape, Text};
use super::source::Sources;
use super::values::Wrong;

/// The recipe that `shape`, read from `path`, stands for; its digest is still to be taken. What is wrong comes on top of
/// the `problems` that were found while it was read.
pub fn validate(path: &Path, shape: &Shape, sources: &Sources, problems: Vec<Problem>) -> Result<Recipe, Vec<Problem>> {
    let mut checker = Checker { sources, problems, secrets: Vec::new() };
    let recipe = Recipe {
        path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
        digest: Digest::from_bytes([0; 32]),
        image: system::image(&mut checker, &shape.image),
        archive: system::archive(&mut checker, &shape.archive, !shape.repository.is_empty()),
        repositories: entries(&mut checker, &shape.repository, system::repository),
        packages: system::packages(&mut checker, &shape.packages),
        prune: system::prune(&mut checker, &shape.prune),
        kernel: system::kernel(&mut checker, &shape.kernel),
        boot: system::boot(&mut checker, &shape.boot),
        files: entries(&mut checker, &shape.file, content::file),
        downloads: entries(&mut checker, &shape.download, content::download),
        directories: entries(&mut checker, &shape.directory, content::directory),
        links: entries(&mut checker, &shape.link, content::link),
        users: entries(&mut checker, &shape.user, content::user),
        groups: entries(&mut checker, &shape.group, content::group),
        units: system::units(&mut checker, &shape.units),
        drop_ins: entries(&mut checker, &shape.drop_in, content::drop_in),
        sysctl: system::sysctl(&mut checker, &shape.sysctl),
        containers: entries(&mut checker, &shape.container, content::container),
        accepted_scripts: entries(&mut checker, &shape.accept_script, content::accepted_script),
        disk: system::disk(&mut checker, &shape.disk),
        update: shape.update.as_ref().and_then(|shape| update::section(&mut checker, shape)),
        migrations: migration::all(&mut checker, shape),
        health: checks::set(&mut checker, "health", &shape.health, "30s"),
        smoke: checks::set(&mut checker, "smoke", &shape.smoke, "0s"),
    };
    together::check(&mut checker, shape, &recipe);
    let Checker { mut problems, secrets, .. } = checker;
    redact(&mut problems, &secrets);
    if problems.is_empty() {
        return Ok(recipe);
    }
    problems.sort_by_key(|problem| problem.place.as_ref().map(|place| (place.file != path, place.span.start)));
    Err(problems)
}

fn entries<S, T>(
    checker: &mut Checker<'_>,
    shapes: &[At<S>],
    make: impl Fn(&mut Checker<'_>, &S, Range<usize>) -> Option<T>,
) -> Vec<T> {
    shapes.iter().filter_map(|shape| make(checker, shape.get(), shape.span())).collect()
}

/// Puts stars over the secrets in every text that is going to be quoted: logs of builds are read by many.
fn redact(problems: &mut [Problem], secrets: &[Place]) {
    for place in problems.iter_mut().filter_map(|problem| problem.place.as_mut()) {
        for secret in secrets.iter().filter(|secret| secret.file == place.file) {
            let (before, rest) = place.text.split_at(secret.span.start);
            let (hidden, after) = rest.split_at(secret.span.len());
            // One star a byte, so that every other place stays where it is.
            let stars: String = hidden.bytes().map(|byte| if byte == b'\n' { '\n' } else { '*' }).collect();
            place.text = format!("{before}{stars}{after}").into();
        }
    }
}

/// Gathers what is wrong. A value that is wrong has been reported once a method gives `None` or a stand-in for it.
struct Checker<'a> {
    sources: &'a Sources,
    problems: Vec<Problem>,
    /// Where something stands that may be a password or a private key.
    secrets: Vec<Place>,
}

impl Checker<'_> {
    /// The value of `key`, which may be a secret that was meant to stay one: nothing that is told repeats it.
    fn secret<T>(&mut self, key: &str, at: &At<String>, parse: impl Fn(&str) -> Result<T, Wrong>) -> Option<T> {
        let value = self.value(key, at, parse);
        if value.is_none() {
            self.secrets.extend(self.sources.place(&at.span()));
        }
        value
    }

    fn problem(&mut self, span: &Range<usize>, message: impl Into<String>, label: &str, help: impl Into<String>) {
        self.problems.push(self.sources.problem(span, message, label, Some(help.into())));
    }

    /// The value of `key`, which is there.
    fn value<T>(&mut self, key: &str, at: &At<String>, parse: impl Fn(&str) -> Result<T, Wrong>) -> Option<T> {
        match parse(at.get()) {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.problem(&at.span(), format!("`{key}` {}", wrong.why), "", wrong.help);
                None
            }
        }
    }

    /// The value of `key` if it is there.
    fn optional<T>(&mut self, key: &str, text: &Text, parse: impl Fn(&str) -> Result<T, Wrong>) -> Option<T> {
        text.as_ref().and_then(|at| self.value(key, at, parse))
    }

    /// The value of `key`, else what `default` stands for. `default` itself is well-formed.
    fn or_default<T: Default>(
        &mut self,
        key: &str,
        text: &Text,
        default: &str,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> T {
        match text {
            Some(at) => self.value(key, at, parse).unwrap_or_default(),
            None => parse(default).unwrap_or_default(),
        }
    }

    /// The value of `key`, which the entry at `entry` must have.
    fn required<T>(
        &mut self,
        key: &str,
        text: &Text,
        entry: &Range<usize>,
        example: &str,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        if text.is_none() {
            let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
            let message = format!("`{section}` has no `{name}`");
            if *entry == (0..0) {
                let help = format!("write `{name} = {example}` below `[{section}]`, say");
                self.problem(entry, message, "in this recipe", help);
            } else {
                self.problem(entry, message, "in this entry", format!("write `{name} = {example}`, say"));
            }
        }
        self.optional(key, text, parse)
    }

    /// The values of a list; those that are wrong are left out.
    fn list<'t, T>(
        &mut self,
        key: &str,
        texts: impl IntoIterator<Item = &'t At<String>>,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Vec<T> {
        texts.into_iter().filter_map(|at| self.value(key, at, &parse)).collect()
    }

    /// Exactly one of two keys must be there.
    fn one_of(
        &mut self,
        section: &str,
        entry: &Range<usize>,
        (a, has_a): (&str, bool),
        (b, has_b): (&str, bool),
    ) -> bool {
        if has_a == has_b {
            let (message, help) = if has_a {
                (format!("`{section}` has both `{a}` and `{b}`"), format!("leave `{a}` or `{b}` out"))
            } else {
                (format!("`{section}` has neither `{a}` nor `{b}`"), format!("add `{a}` or `{b}`"))
            };
            self.problem(entry, message, "in this entry", help);
        }
        has_a != has_b
    }

    /// A file of the user: absolute, and there.
    fn local(&mut self, key: &str, at: &At<String>, folder_fits: bool) -> Option<PathBuf> {
        let path = self.sources.resolve(&at.span(), at.get());
        let wrong = match path.metadata() {
            Err(error) => Some(format!("`{key}` names `{}`, which cannot be read: {error}", at.get())),
            Ok(meta) if meta.is_dir() && !folder_fits => {
                Some(format!("`{key}` names `{}`, which is a folder", at.get()))
            }
            Ok(_) => None,
        };
        match wrong {
            None => Some(path),
            Some(message) => {
                self.problem(
                    &at.span(),
                    message,
                    "",
                    "paths of your own files start at the folder of the recipe they stand in",
                );
                None
            }
        }
    }
}
