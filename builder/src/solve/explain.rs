//! Words for what can't be.

/// Names that someone may have meant, nearest first.
pub(super) fn near<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    const SHOWN: usize = 3;
    const LEAST_LIKENESS: f64 = 0.8;
    let likeness = |other: &str| {
        let contains = other.len() > name.len() && name.len() > 3 && other.contains(name);
        strsim::jaro_winkler(name, other).max(if contains { 0.9 } else { 0.0 })
    };
    let mut near: Vec<_> = names.map(|other| (likeness(other), other)).collect();
    near.retain(|(likeness, _)| *likeness >= LEAST_LIKENESS);
    near.sort_by(|(a, left), (b, right)| b.total_cmp(a).then(left.len().cmp(&right.len())).then(left.cmp(right)));
    near.into_iter().take(SHOWN).map(|(_, other)| other.to_owned()).collect()
}

/// `: did you mean a, b or c?`
pub(super) fn or_near(near: &[String]) -> String {
    match near {
        [] => String::new(),
        [one] => format!(": did you mean `{one}`?"),
        [first @ .., last] => {
            let first: Vec<_> = first.iter().map(|name| format!("`{name}`")).collect();
            format!(": did you mean {} or `{last}`?", first.join(", "))
        }
    }
}

/// The solver's tree of reasons, in the terms of packages.
pub(super) fn in_words(tree: &str) -> String {
    let phrases = [
        ("The following packages are incompatible\n", ""),
        (", which conflicts with any installable versions previously reported", ", which is wanted above"),
        (", which cannot be installed because there are no viable options:", ", which can't be:"),
        (", which can be installed with any of the following options:", ", which could be"),
        (", for which no candidates were found.", ", which no package is or provides"),
        (" cannot be installed because there are no viable options:", " can't be:"),
        (" can be installed with any of the following options:", " could be"),
        (" would constrain", " conflicts with"),
        (" would require", " needs"),
        ("No candidates were found for", "there is no"),
    ];
    let words = phrases.iter().fold(tree.to_owned(), |text, (from, to)| text.replace(from, to));
    words.trim_end().to_owned()
}
