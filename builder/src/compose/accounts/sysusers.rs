//! sysusers.d(5), as far as packages use it. Anything else is an error: ids that come from a path's owner, and
//! specifiers, which only the running machine could answer.
//!
//! Files come from packages whose digests are locked. A damaged one ends in an error that names the line.

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// `u`, `u!`
    User {
        /// Name.
        name: String,
        /// Fixed id.
        uid: Option<u32>,
        /// Primary group.
        group: GroupOf,
        /// Purpose.
        gecos: String,
        /// Home directory.
        home: Option<String>,
        /// Login shell.
        shell: Option<String>,
        /// `u!`: the account is expired.
        locked: bool,
    },
    /// `g`
    Group {
        /// Name.
        name: String,
        /// Fixed id.
        gid: Option<u32>,
    },
    /// `m`
    Member {
        /// The user.
        user: String,
        /// The group.
        group: String,
    },
    /// `r`
    Range {
        /// Lowest id to hand out.
        first: u32,
        /// Highest.
        last: u32,
    },
}

/// The primary group of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupOf {
    /// One of the user's own name.
    Own,
    /// By id.
    Id(u32),
    /// By name.
    Named(String),
}

/// What is wrong with a sysusers.d file.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SysusersError {
    /// A line that says nothing known.
    #[error("line {line}: {problem}")]
    Line {
        /// Counted from one.
        line: usize,
        /// What is wrong.
        problem: &'static str,
    },
}

/// Reads a file.
pub fn parse(text: &str) -> Result<Vec<Line>, SysusersError> {
    let mut lines = Vec::new();
    for (index, text) in text.lines().enumerate() {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let wrong = |problem| SysusersError::Line { line: index + 1, problem };
        let fields = split(text).ok_or_else(|| wrong("a quote is not closed"))?;
        lines.extend(line(&fields).map_err(wrong)?);
    }
    Ok(lines)
}

fn line(fields: &[String]) -> Result<Vec<Line>, &'static str> {
    if fields.iter().any(|field| field.replace("%%", "").contains('%')) {
        return Err("specifiers are for the running machine");
    }
    let field = |index: usize| fields.get(index).map(String::as_str).filter(|text| *text != "-");
    let name = field(1).map(str::to_owned);
    let named = || name.clone().ok_or("the name is missing");
    match fields[0].as_str() {
        kind @ ("u" | "u!" | "u!-" | "u-") => {
            let (uid, group) = user_ids(field(2))?;
            Ok(vec![Line::User {
                name: named()?,
                uid,
                group,
                gecos: field(3).unwrap_or_default().to_owned(),
                home: field(4).map(str::to_owned),
                shell: field(5).map(str::to_owned),
                locked: kind.contains('!'),
            }])
        }
        "g" => Ok(vec![Line::Group { name: named()?, gid: field(2).map(number).transpose()? }]),
        "m" => Ok(vec![Line::Member { user: named()?, group: field(2).ok_or("the group is missing")?.to_owned() }]),
        "r" => {
            let range = field(2).ok_or("the range is missing")?;
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last) = (number(first)?, number(last)?);
            if first > last { Err("the range runs backwards") } else { Ok(vec![Line::Range { first, last }]) }
        }
        _ => Err("no line begins with that"),
    }
}

fn user_ids(text: Option<&str>) -> Result<(Option<u32>, GroupOf), &'static str> {
    let Some(text) = text else { return Ok((None, GroupOf::Own)) };
    let (uid, group) = match text.split_once(':') {
        None => (text, GroupOf::Own),
        Some((uid, group)) => (uid, group.parse().map_or_else(|_| GroupOf::Named(group.to_owned()), GroupOf::Id)),
    };
    Ok((if uid == "-" { None } else { Some(number(uid)?) }, group))
}

fn number(text: &str) -> Result<u32, &'static str> {
    if text.starts_with('/') {
        return Err("an id that is the owner of a path can't be known when an image is built");
    }
    match text.parse() {
        // systemd reserves both for "no id": 16 and 32 bit of ones.
        Ok(65_535 | u32::MAX) | Err(_) => Err("that is no id"),
        Ok(id) => Ok(id),
    }
}

/// Words, with `'…'` and `"…"` kept together.
fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut letters = text.chars().peekable();
    loop {
        while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
        if letters.peek().is_none() {
            return Some(words);
        }
        let mut word = String::new();
        let mut quote = None;
        while let Some(letter) = letters.next_if(|letter| quote.is_some() || !letter.is_whitespace()) {
            match (quote, letter) {
                (Some(open), letter) if letter == open => quote = None,
                (None, '"' | '\'') => quote = Some(letter),
                (_, '\\') => word.extend(letters.next()),
                (_, letter) => word.push(letter),
            }
        }
        if quote.is_some() {
            return None;
        }
        words.push(word);
    }
}
