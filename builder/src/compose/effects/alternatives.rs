//! Alternatives: the links that `update-alternatives --install` in postinst scripts asks for; of several for one name the
//! highest priority wins.
//!
//! The links point straight to the program, not through `/etc/alternatives`: nothing in the image could change them.

use std::collections::BTreeMap;

use slipway_images::tree::TreePath;

use super::Stage;
use crate::compose::ComposeError;

/// `--install LINK NAME PATH PRIORITY` with its `--slave LINK NAME PATH`s.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Choice {
    link: String,
    path: String,
    priority: i64,
    slaves: Vec<(String, String)>,
}

pub(super) fn apply(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    let mut best: BTreeMap<String, Choice> = BTreeMap::new();
    for package in stage.inputs.packages {
        let Some(script) = package.scripts.get("postinst") else { continue };
        for choice in parse(script) {
            let is_there = stage.has(&choice.path)?;
            let wins = best.get(&choice.link).is_none_or(|known| known.priority < choice.priority);
            if is_there && wins {
                best.insert(choice.link.clone(), choice);
            }
        }
    }
    for choice in best.into_values() {
        put(stage, &choice.link, &choice.path)?;
        for (link, path) in &choice.slaves {
            put(stage, link, path)?;
        }
    }
    Ok(())
}

fn put(stage: &mut Stage<'_>, link: &str, path: &str) -> Result<(), ComposeError> {
    if !stage.has(path)? {
        return Ok(());
    }
    // `/bin/more` and `/usr/bin/more` are one file: links are made in `/usr`.
    let (Some(target), Some(at)) = (canonical(stage, path)?, canonical(stage, link)?) else { return Ok(()) };
    if stage.tree.contains(&at) || target == at {
        return Ok(());
    }
    let text = if target.parent() == at.parent() { target.name().to_owned() } else { target.as_str().to_owned() };
    stage.link(at.as_str(), &text)
}

fn canonical(stage: &Stage<'_>, link: &str) -> Result<Option<TreePath>, ComposeError> {
    let path = TreePath::new(link)?;
    let Some(parent) = path.parent() else { return Ok(None) };
    let Some((folder, _)) = stage.tree.resolve(&parent) else { return Ok(None) };
    Ok(Some(folder.join(path.name())?))
}

/// The installations in a script. Words with `$` can't be known here: such a call is passed over, and stands in the
/// report of scripts as unrecognised.
fn parse(script: &str) -> Vec<Choice> {
    let joined = script.replace("\\\n", " ");
    let mut choices = Vec::new();
    for line in joined.lines() {
        let Some((_, call)) = line.split_once("update-alternatives") else { continue };
        let call = call.split(['|', ';', '&', '>']).next().unwrap_or(call);
        let words: Vec<&str> = call.split_whitespace().map(|word| word.trim_matches(['"', '\''])).collect();
        choices.extend(choice(&words));
    }
    choices
}

fn choice(words: &[&str]) -> Option<Choice> {
    let start = words.iter().position(|word| *word == "--install")?;
    let [link, _, path, priority, rest @ ..] = words.get(start + 1..)? else { return None };
    let known = |word: &str| word.starts_with('/') && !word.contains('$');
    let mut slaves = Vec::new();
    let mut rest = rest;
    while let ["--slave", link, _, path, further @ ..] = rest {
        if known(link) && known(path) {
            slaves.push(((*link).to_owned(), (*path).to_owned()));
        }
        rest = further;
    }
    (known(link) && known(path)).then_some(())?;
    Some(Choice { link: (*link).to_owned(), path: (*path).to_owned(), priority: priority.parse().ok()?, slaves })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn calls_over_several_lines_with_slaves_are_read() {
        let script = "case $1 in\n  configure)\n    update-alternatives --quiet --install /usr/bin/pager pager \\\n      \
                      /usr/bin/less 77 --slave /usr/share/man/man1/pager.1.gz \\\n      pager.1.gz \
                      /usr/share/man/man1/less.1.gz\n  ;;\nesac\n";
        let expected = Choice {
            link: "/usr/bin/pager".to_owned(),
            path: "/usr/bin/less".to_owned(),
            priority: 77,
            slaves: vec![("/usr/share/man/man1/pager.1.gz".to_owned(), "/usr/share/man/man1/less.1.gz".to_owned())],
        };
        assert_eq!(parse(script), [expected]);
    }

    #[test]
    fn calls_that_remove_or_use_variables_are_none() {
        assert!(parse("update-alternatives --remove rcp /usr/bin/scp\n").is_empty());
        assert!(parse("update-alternatives --install /usr/bin/$x x /usr/bin/y 5 || true\n").is_empty());
        assert_eq!(parse("update-alternatives --install /usr/bin/x x /usr/bin/y 5 || true\n")[0].priority, 5);
    }
}
