//! What the user may have meant.

/// The one of `known` that is most like `text`, if any is like it enough to be suggested.
pub fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['_', '-'], "");
    let wanted = plain(text);
    known
        .into_iter()
        .map(|name| (likeness(&wanted, &plain(name)), name))
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

/// From 0 to 1. Two letters that changed places in a short word count for little with Jaro and Winkler.
fn likeness(a: &str, b: &str) -> f64 {
    let swapped = a.len() >= 3 && strsim::osa_distance(a, b) == 1;
    strsim::jaro_winkler(a, b).max(if swapped { 0.9 } else { 0.0 })
}

/// `a`, `b` and `c`, each in backticks.
pub fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.pop() {
        None => "nothing".to_owned(),
        Some(last) if names.is_empty() => last,
        Some(last) => format!("{} or {last}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_finger_are_seen_through() {
        let known = ["packages", "kernel", "state-filesystem", "authorized-keys", "drop-in"];
        for (slip, meant) in [
            ("package", "packages"),
            ("kernal", "kernel"),
            ("state_filesystem", "state-filesystem"),
            ("authorised-keys", "authorized-keys"),
            ("dropin", "drop-in"),
            ("kenrel", "kernel"),
        ] {
            assert_eq!(nearest(slip, known), Some(meant));
        }
        assert_eq!(nearest("zzz", known), None);
    }
}
