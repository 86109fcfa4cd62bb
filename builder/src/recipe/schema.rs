//! The JSON Schema of recipes, and what it finds wrong with the names and types of a TOML text.
//!
//! serde stops at the first mistake and knows no neighbours of a misspelt key. So a text is first held against the
//! schema that is made from the serde shape; what passes here, serde takes.

use std::ops::Range;
use std::sync::LazyLock;

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::{Map, Value};
use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::nearest::{listed, nearest};
use super::shape::Shape;

/// A name or type that the schema does not allow.
#[derive(Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Where.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// Words beside the place.
    pub label: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// The JSON Schema (draft 2020-12) of recipes: every key with its type, default and an example.
pub fn json_schema() -> Value {
    SCHEMA.clone()
}

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let settings = SchemaSettings::draft2020_12().with_transform(RecursiveTransform(without_null));
    let mut schema = settings.into_generator().into_root_schema_for::<Shape>();
    // The root's title comes with the type's name otherwise.
    schema.insert("title".into(), "Slipway recipe".into());
    schema.to_value()
});

/// TOML has no null: an optional key is simply missing. So is the format of numbers, which validators need not know.
fn without_null(schema: &mut Schema) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".into(), only);
        }
    }
    let only = match schema.get_mut("anyOf") {
        Some(Value::Array(choices)) => {
            choices.retain(|choice| choice.get("type") != Some(&"null".into()));
            match choices.as_slice() {
                [Value::Object(only)] => Some(only.clone()),
                _ => None,
            }
        }
        _ => None,
    };
    if let Some(only) = only {
        schema.remove("anyOf");
        for (key, value) in only {
            schema.insert(key, value);
        }
    }
    schema.remove("format");
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace('\n', " ");
    }
}

/// All that is wrong with the names and types in `table`, in the order of the text.
pub fn misfits(table: &Spanned<DeTable<'_>>) -> Vec<Misfit> {
    let mut found = Vec::new();
    Walk { found: &mut found }.table(table.get_ref(), &table.span(), &SCHEMA, "");
    found.sort_by_key(|misfit| misfit.span.start);
    found
}

struct Walk<'a> {
    found: &'a mut Vec<Misfit>,
}

impl Walk<'_> {
    fn table(&mut self, table: &DeTable<'_>, span: &Range<usize>, schema: &Value, path: &str) {
        let none = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
        for (key, value) in table {
            let name: &str = key.get_ref();
            let inner = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            let rest = schema.get("additionalProperties").filter(|rest| rest.is_object());
            match properties.get(name).or(rest) {
                Some(schema) => self.value(value, schema, &inner),
                None => self.unknown(key, path, properties),
            }
        }
        for required in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
        {
            if !table.contains_key(required) {
                let example = properties.get(required).and_then(example);
                self.found.push(Misfit {
                    span: span.clone(),
                    message: format!("`{path}` has no `{required}`"),
                    label: "in this entry".into(),
                    help: Some(match example {
                        Some(example) => format!("write `{required} = {example}`, say"),
                        None => format!("add the key `{required}`"),
                    }),
                });
            }
        }
    }

    fn unknown(&mut self, key: &Spanned<std::borrow::Cow<'_, str>>, path: &str, properties: &Map<String, Value>) {
        let name: &str = key.get_ref();
        let message =
            if path.is_empty() { format!("unknown key `{name}`") } else { format!("unknown key `{name}` in `{path}`") };
        let help = match nearest(name, properties.keys().map(String::as_str)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => match sections_with(name).as_slice() {
                sections if sections.is_empty() || !path.is_empty() => {
                    format!("known here: {}", listed(properties.keys().map(String::as_str)).replace(" or ", ", "))
                }
                sections => format!("`{name}` belongs into {}", listed(sections.iter().map(String::as_str))),
            },
        };
        self.found.push(Misfit { span: key.span(), message, label: "no such key".into(), help: Some(help) });
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, schema: &Value, path: &str) {
        let schema = resolved(schema);
        let types: Vec<&str> = match schema.get("type") {
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let is = type_of(value.get_ref());
        if !types.is_empty() && !types.contains(&is) {
            self.wrong_type(value, schema, path, &types);
            return;
        }
        match value.get_ref() {
            DeValue::Table(table) => self.table(table, &value.span(), schema, path),
            DeValue::Array(items) => {
                if let Some(schema) = schema.get("items") {
                    for item in items {
                        self.value(item, schema, path);
                    }
                }
            }
            DeValue::String(text) => self.choice(value.span(), text, schema, path),
            DeValue::Integer(number) => {
                let number = i128::from_str_radix(number.as_str(), number.radix()).ok();
                let bound = |key| schema.get(key).and_then(Value::as_f64).map(|bound| format!("{bound:.0}"));
                let bounds = [bound("minimum"), bound("maximum").or_else(|| Some(u32::MAX.to_string()))];
                let [least, most] = bounds.map(|bound| bound.and_then(|bound| bound.parse::<i128>().ok()));
                let fits =
                    number.is_some_and(|n| least.is_none_or(|least| n >= least) && most.is_none_or(|most| n <= most));
                if types == ["integer"] && !fits {
                    self.found.push(Misfit {
                        span: value.span(),
                        message: format!("`{path}` is out of range"),
                        label: "this number".into(),
                        help: Some(format!("write a number from {} to {}", least.unwrap_or(0), most.unwrap_or(0))),
                    });
                }
            }
            _ => {}
        }
    }

    fn choice(&mut self, span: Range<usize>, text: &str, schema: &Value, path: &str) {
        let Some(choices) = schema.get("enum").and_then(Value::as_array) else { return };
        let choices: Vec<&str> = choices.iter().filter_map(Value::as_str).collect();
        if choices.contains(&text) {
            return;
        }
        let help = match nearest(text, choices.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`? It takes {}", listed(choices)),
            None => format!("write {}", listed(choices)),
        };
        let message = format!("`{path}` cannot be `{text}`");
        self.found.push(Misfit { span, message, label: "not one of the values it takes".into(), help: Some(help) });
    }

    fn wrong_type(&mut self, value: &Spanned<DeValue<'_>>, schema: &Value, path: &str, types: &[&str]) {
        let wanted = types.iter().map(|name| in_words(name)).collect::<Vec<_>>().join(" or ");
        let last = path.rsplit('.').next().unwrap_or(path);
        let item_is_table =
            schema.get("items").map(resolved).and_then(|items| items.get("type")) == Some(&"object".into());
        let example = example(schema);
        let has_unit = example.as_deref().is_some_and(|text| {
            let text = text.trim_matches('"');
            text.starts_with(|c: char| c.is_ascii_digit()) && text.ends_with(|c: char| c.is_ascii_alphabetic())
        });
        let help = match (types, value.get_ref()) {
            (["array"], DeValue::Table(_)) if item_is_table => {
                format!("write `[[{path}]]` with two brackets: there can be several")
            }
            (["array"], _) if item_is_table => {
                format!("write `[[{path}]]` on a line of its own, and the entry's keys below; there can be several")
            }
            (["array"], DeValue::String(text)) => format!("put it in brackets: `{last} = [{text:?}]`"),
            (["object"], DeValue::Array(items)) if items.iter().all(|item| item.get_ref().is_table()) => {
                format!("write `[{path}]` with one bracket: there is only one")
            }
            (["object"], _) => format!("write `[{path}]` on a line of its own, and its keys below"),
            (["string"], DeValue::Integer(number)) if !has_unit => format!("put it in quotes: `{last} = \"{number}\"`"),
            (["string"], DeValue::Float(number)) => format!("put it in quotes: `{last} = \"{number}\"`"),
            (["string"], DeValue::Datetime(time)) => format!("put it in quotes: `{last} = \"{time}\"`"),
            (["boolean"], DeValue::String(text)) if text == "true" || text == "false" => {
                format!("leave the quotes out: `{last} = {text}`")
            }
            (["integer"], DeValue::String(text)) if text.parse::<u32>().is_ok() => {
                format!("leave the quotes out: `{last} = {text}`")
            }
            _ => match example {
                Some(example) => format!("write `{last} = {example}`, say"),
                None => format!("write {wanted}"),
            },
        };
        self.found.push(Misfit {
            span: value.span(),
            message: format!("`{path}` must be {wanted}"),
            label: format!("this is {}", in_words(type_of(value.get_ref()))),
            help: Some(help),
        });
    }
}

/// The schema that a `$ref` leads to; every reference of ours is local.
fn resolved(schema: &Value) -> &Value {
    match schema.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#')) {
        Some(pointer) => SCHEMA.pointer(pointer).unwrap_or(schema),
        None => schema,
    }
}

/// The sections of the root that know a key, as they are written: for keys that stand a level too high or too deep.
fn sections_with(key: &str) -> Vec<String> {
    let root = SCHEMA.get("properties").and_then(Value::as_object);
    root.into_iter()
        .flatten()
        .filter_map(|(name, schema)| {
            let (section, shown) = match schema.get("items") {
                Some(items) => (resolved(items), format!("[[{name}]]")),
                None => (resolved(schema), format!("[{name}]")),
            };
            section.pointer(&format!("/properties/{key}")).map(|_| shown)
        })
        .collect()
}

/// The first example of a key, as TOML.
fn example(schema: &Value) -> Option<String> {
    let example = schema.get("examples")?.as_array()?.first()?;
    toml::Value::try_from(example).ok().map(|value| value.to_string())
}

fn type_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "string",
        DeValue::Integer(_) => "integer",
        DeValue::Float(_) => "number",
        DeValue::Boolean(_) => "boolean",
        DeValue::Datetime(_) => "date",
        DeValue::Array(_) => "array",
        DeValue::Table(_) => "object",
    }
}

fn in_words(kind: &str) -> &str {
    match kind {
        "string" => "a text",
        "integer" => "a whole number",
        "number" => "a number with a fraction",
        "boolean" => "`true` or `false`",
        "date" => "a date or time",
        "array" => "a list",
        "object" => "a table",
        other => other,
    }
}
