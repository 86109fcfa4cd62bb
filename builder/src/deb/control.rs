//! The field format of Debian's control files ("deb822"): Debian Policy 5.1.
//!
//! Paragraphs come from mirrors and from local packages, mostly after a digest or signature was checked. A text that
//! is not of the form is an error with its line; the reader borrows from the text and allocates one entry a field, never
//! by a number in the text.

/// One paragraph: its fields in the order of the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paragraph<'a> {
    fields: Vec<(&'a str, &'a str)>,
}

/// A text that is no paragraph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// A line that is neither `Name: value`, nor goes on with the field before it.
    #[error("line {0} is no field, and no continuation of one")]
    NoField(usize),
    /// The same field twice.
    #[error("line {0} has a field that was there before")]
    Duplicate(usize),
    /// A paragraph lacks a field.
    #[error("the field {0} is missing")]
    Missing(&'static str),
}

impl<'a> Paragraph<'a> {
    /// The value of a field; names are compared without regard to case. Further lines of a folded or multi-line field
    /// follow the first as they are in the text, each with its leading blank.
    pub fn field(&self, name: &str) -> Option<&'a str> {
        self.fields.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// The value of a field that must be there.
    pub fn required(&self, name: &'static str) -> Result<&'a str, ControlError> {
        self.field(name).ok_or(ControlError::Missing(name))
    }

    /// All fields in order.
    pub fn fields(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.fields.iter().copied()
    }
}

/// The paragraphs of `text`, one after the other. Lines that begin with `#` are comments.
pub fn paragraphs(text: &str) -> Paragraphs<'_> {
    Paragraphs { text, position: 0, line: 0 }
}

/// The only paragraph of `text`, or its first.
pub fn paragraph(text: &str) -> Result<Paragraph<'_>, ControlError> {
    paragraphs(text).next().unwrap_or_else(|| Ok(Paragraph::default()))
}

/// Iterator over paragraphs; ends after an error.
pub struct Paragraphs<'a> {
    text: &'a str,
    position: usize,
    line: usize,
}

impl<'a> Paragraphs<'a> {
    /// The next line without its end, and where it begins and ends.
    fn next_line(&mut self) -> Option<(&'a str, usize, usize)> {
        let start = self.position;
        let rest = self.text.get(start..).filter(|rest| !rest.is_empty())?;
        let len = rest.find('\n').unwrap_or(rest.len());
        self.position = start + (len + 1).min(rest.len());
        self.line += 1;
        let line = rest[..len].strip_suffix('\r').unwrap_or(&rest[..len]);
        Some((line, start, start + line.len()))
    }

    fn fail<T>(&mut self, error: ControlError) -> Result<T, ControlError> {
        self.position = self.text.len();
        Err(error)
    }
}

impl<'a> Iterator for Paragraphs<'a> {
    type Item = Result<Paragraph<'a>, ControlError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut fields: Vec<(&'a str, &'a str)> = Vec::new();
        // Where the value of the last field begins in the text: a value with several lines is one slice of it.
        let mut value_start = 0;
        while let Some((line, start, end)) = self.next_line() {
            if line.trim_ascii().is_empty() {
                if fields.is_empty() {
                    continue;
                }
                break;
            }
            if line.starts_with('#') {
                continue;
            }
            if line.starts_with([' ', '\t']) {
                let Some(last) = fields.last_mut() else {
                    return Some(self.fail(ControlError::NoField(self.line)));
                };
                last.1 = self.text[value_start..end].trim_ascii_end();
                continue;
            }
            let Some((name, value)) = line.split_once(':') else {
                return Some(self.fail(ControlError::NoField(self.line)));
            };
            let graphic = |byte: u8| byte.is_ascii_graphic();
            if name.is_empty() || name.starts_with('-') || !name.bytes().all(graphic) {
                return Some(self.fail(ControlError::NoField(self.line)));
            }
            if fields.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
                return Some(self.fail(ControlError::Duplicate(self.line)));
            }
            let blank = value.len() - value.trim_ascii_start().len();
            value_start = start + name.len() + 1 + blank;
            fields.push((name, value.trim_ascii()));
        }
        if fields.is_empty() { None } else { Some(Ok(Paragraph { fields })) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_paragraphs_and_folding() {
        let text = "\n# comment\nPackage: a\nDepends: b,\n c (>= 1),\n\td\nDescription: short\n long\n .\n more\n\n\nPackage: e\r\nempty:\r\n";
        let all = paragraphs(text).collect::<Result<Vec<_>, _>>().unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].field("package"), Some("a"));
        assert_eq!(all[0].field("Depends"), Some("b,\n c (>= 1),\n\td"));
        assert_eq!(all[0].field("Description"), Some("short\n long\n .\n more"));
        assert_eq!(all[1].fields().collect::<Vec<_>>(), [("Package", "e"), ("empty", "")]);
        assert_eq!(all[1].required("Version"), Err(ControlError::Missing("Version")));
    }

    #[test]
    fn the_line_that_is_wrong_is_named() {
        let error = |text| paragraphs(text).find_map(Result::err).unwrap();
        assert_eq!(error("Package: a\n\n folded\n"), ControlError::NoField(3));
        assert_eq!(error("Package: a\nnonsense\n"), ControlError::NoField(2));
        assert_eq!(error("Package: a\nVersion: 1\npackage: b\n"), ControlError::Duplicate(3));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "([A-Za-z:# \t\r\n.é-]{0,60})") {
            for paragraph in paragraphs(&text) {
                let _ = paragraph;
            }
        }
    }
}
