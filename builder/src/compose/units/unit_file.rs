//! The [Install] section of a unit file (systemd.unit(5)).

/// What `systemctl enable` looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Install {
    /// `WantedBy=`
    pub wanted_by: Vec<String>,
    /// `RequiredBy=`
    pub required_by: Vec<String>,
    /// `UpheldBy=`
    pub upheld_by: Vec<String>,
    /// `Alias=`
    pub alias: Vec<String>,
    /// `Also=`
    pub also: Vec<String>,
    /// `DefaultInstance=`
    pub default_instance: Option<String>,
}

impl Install {
    /// Reads a unit file.
    pub fn parse(text: &str) -> Self {
        let mut install = Self::default();
        let mut inside = false;
        for line in logical_lines(text) {
            if line.starts_with('[') {
                inside = line == "[Install]";
                continue;
            }
            if let (true, Some((key, value))) = (inside, line.split_once('=')) {
                install.set(key.trim(), value.trim());
            }
        }
        install
    }

    fn set(&mut self, key: &str, value: &str) {
        let list = match key {
            "WantedBy" => &mut self.wanted_by,
            "RequiredBy" => &mut self.required_by,
            "UpheldBy" => &mut self.upheld_by,
            "Alias" => &mut self.alias,
            "Also" => &mut self.also,
            "DefaultInstance" => {
                self.default_instance = Some(value.to_owned()).filter(|value| !value.is_empty());
                return;
            }
            _ => return,
        };
        if value.is_empty() {
            list.clear();
        }
        list.extend(value.split_whitespace().map(str::to_owned));
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        !self.wants_instance() && self.alias.is_empty() && self.also.is_empty()
    }

    /// Whether links in `.wants`, `.requires` or `.upholds` folders are asked for.
    pub fn wants_instance(&self) -> bool {
        !self.wanted_by.is_empty() || !self.required_by.is_empty() || !self.upheld_by.is_empty()
    }
}

/// Lines without comments, joined where one ends in a backslash.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = String::new();
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with(['#', ';']) || (line.is_empty() && open.is_empty()) {
            continue;
        }
        if let Some(part) = line.strip_suffix('\\') {
            open.push_str(part);
            open.push(' ');
        } else {
            lines.push(format!("{open}{line}"));
            open.clear();
        }
    }
    if !open.is_empty() {
        lines.push(open);
    }
    lines
}
