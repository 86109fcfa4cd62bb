//! From a text to what it says, with everything that is wrong with it.
//!
//! The shapes are strict: a key they don't know, or a value that makes no sense, is an error. Such a piece is named, taken out of
//! the document, and the rest is read. Whoever writes a document is refused as long as anything was taken out. Whoever starts
//! a machine by one that a later agent has written goes by the rest: a rollback must not leave it without its network.
//!
//! The text is the owner's, but it may be damaged, or of a version that isn't written yet. So it is at most [`MAX_BYTES`] long, the
//! parser bounds its depth, and after [`MAX_PROBLEMS`] nothing of it is believed.

use std::ops::Range;

use serde::Deserialize;
use serde::de::IntoDeserializer as _;
use serde_spanned::Spanned;
use toml::de::{DeArray, DeTable, DeValue, ValueDeserializer};

use super::problem::{Problem, nearest};

/// The longest document, in bytes.
pub const MAX_BYTES: usize = 64 << 10;
/// With more that is wrong, it is no document of ours.
const MAX_PROBLEMS: usize = 64;

/// Reads `text`. Fails where it is no TOML, or so wrong that nothing in it can be believed; else says what was left out.
pub fn read<T: for<'de> Deserialize<'de>>(text: &str) -> Result<(T, Vec<Problem>), Vec<Problem>> {
    if text.len() > MAX_BYTES {
        return Err(vec![Problem::of_all(format!("it is longer than {} KiB", MAX_BYTES >> 10))]);
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let mut problems: Vec<Problem> = errors.iter().map(|error| not_toml(text, error)).collect();
        problems.sort_by_key(|problem| problem.place.as_ref().map(|place| (place.line, place.column)));
        problems.truncate(MAX_PROBLEMS);
        return Err(problems);
    }
    let mut table = table.into_inner();
    let mut problems = Vec::new();
    loop {
        let whole = Spanned::new(0..0, DeValue::Table(table.clone()));
        let deserializer: ValueDeserializer<'_> = whole.into_deserializer();
        let error = match T::deserialize(deserializer) {
            Ok(read) => return Ok((read, problems)),
            Err(error) => error,
        };
        let place = error.span().and_then(|span| Some((cut(&mut table, &span)?, span)));
        let Some((path, span)) = place else {
            problems.push(Problem::of_all(error.message()));
            return Err(problems);
        };
        problems.push(Problem::at(text, &span, words(error.message(), &path)));
        if problems.len() == MAX_PROBLEMS {
            return Err(problems);
        }
    }
}

fn not_toml(text: &str, error: &toml::de::Error) -> Problem {
    let message = format!("this is not TOML: {}", error.message());
    match error.span() {
        Some(span) => Problem::at(text, &span, message),
        None => Problem::of_all(message),
    }
}

/// Takes the smallest piece at `span` out of the table, and gives its path: `network.addresses`.
fn cut(table: &mut DeTable<'_>, span: &Range<usize>) -> Option<String> {
    // The span of an entry `[[network]]` is its heading, and covers the key.
    let mut name = table.keys().find(|key| key.span() == *span).map(|key| key.get_ref().to_string());
    if name.is_none() {
        for (key, value) in table.iter_mut() {
            if let Some(inner) = cut_value(value.get_mut(), span) {
                let key = key.get_ref();
                return Some(if inner.is_empty() { key.to_string() } else { format!("{key}.{inner}") });
            }
            if covers(&value.span(), span) {
                name = Some(key.get_ref().to_string());
            }
        }
    }
    let name = name?;
    table.remove(name.as_str());
    Some(name)
}

/// The same within a value; the path of an item of a list is empty.
fn cut_value(value: &mut DeValue<'_>, span: &Range<usize>) -> Option<String> {
    match value {
        DeValue::Table(table) => cut(table, span),
        DeValue::Array(items) => {
            for index in 0..items.len() {
                let item = items.get_mut(index)?;
                if let Some(path) = cut_value(item.get_mut(), span) {
                    return Some(path);
                }
                if covers(&item.span(), span) {
                    let all = std::mem::replace(items, DeArray::new()).into_iter().enumerate();
                    *items = all.filter(|(other, _)| *other != index).map(|(_, item)| item).collect();
                    return Some(String::new());
                }
            }
            None
        }
        _ => None,
    }
}

fn covers(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// serde's words, in ours.
fn words(message: &str, path: &str) -> String {
    if let Some(rest) = message.strip_prefix("unknown field `") {
        let mut names = rest.split('`');
        let unknown = names.next().unwrap_or_default();
        let known: Vec<&str> = names.skip(1).step_by(2).collect();
        return match nearest(unknown, known.iter().copied()) {
            Some(meant) => format!("`{path}` is not a key: write `{meant}`"),
            None => format!("`{path}` is not a key: the keys here are {}", known.join(", ")),
        };
    }
    match message.strip_prefix("missing field ") {
        Some(field) => format!("`{path}` has no {field}"),
        None => format!("`{path}`: {message}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Default, PartialEq, Eq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Shape {
        name: Option<String>,
        list: Vec<u8>,
        entry: Vec<Entry>,
    }

    #[derive(Debug, PartialEq, Eq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Entry {
        id: u8,
        #[serde(default)]
        inner: Option<Box<Entry>>,
    }

    fn told(text: &str) -> (Shape, Vec<String>) {
        let (shape, problems) = read::<Shape>(text).unwrap();
        (shape, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_is_wrong_is_named_and_the_rest_is_read() {
        let text = "nmae = 1\nname = \"x\"\nlist = [1,\n 300, 2]\nzzz.a = 1\n[[entry]]\nid = 1\nidd = 2\n[[entry]]\n";
        let (shape, problems) = told(text);
        assert_eq!((shape.name.as_deref(), &shape.list[..]), (Some("x"), &[1, 2][..]));
        assert_eq!(shape.entry, [Entry { id: 1, inner: None }]);
        let expected = [
            "line 8: `entry.idd` is not a key: write `id`",
            "line 9: `entry` has no `id`",
            "line 4: `list`: invalid value: integer `300`, expected u8",
            "line 1: `nmae` is not a key: write `name`",
            "line 5: `zzz` is not a key: the keys here are name, list, entry",
        ];
        assert_eq!(problems, expected);
    }

    #[test]
    fn an_inner_piece_is_taken_and_not_what_is_around_it() {
        let (shape, problems) = told("[[entry]]\nid = 1\ninner = { id = 2, x = 3 }\n");
        assert_eq!(shape.entry[0].inner.as_ref().unwrap().id, 2);
        assert_eq!(problems, ["line 3: `entry.inner.x` is not a key: the keys here are id, inner"]);
    }

    #[test]
    fn what_is_no_toml_and_what_is_too_wrong_is_not_believed() {
        let problems = read::<Shape>("name = \nlist = [").unwrap_err();
        assert!(problems[0].to_string().starts_with("line 1: this is not TOML"), "{problems:?}");
        let many: String =
            (0..100).flat_map(|index| ["key".to_owned(), index.to_string(), " = 1\n".to_owned()]).collect();
        assert_eq!(read::<Shape>(&many).unwrap_err().len(), MAX_PROBLEMS);
        assert!(read::<Shape>(&"#".repeat(MAX_BYTES + 1)).is_err());
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(text in "[a-z\\[\\]{}=\"., \n0-9#-]{0,80}") {
            let _ = read::<Shape>(&text);
        }
    }
}
