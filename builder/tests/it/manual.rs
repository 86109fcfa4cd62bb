//! `docs/` and the program say the same.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;
use slipway_builder::recipe::json_schema;

/// The sections of the manual, in its order: what a key of the root is called, and how it is written.
const SECTIONS: [&str; 26] = [
    "extends",
    "image",
    "packages",
    "archive",
    "repository",
    "file",
    "directory",
    "link",
    "download",
    "container",
    "user",
    "group",
    "units",
    "drop-in",
    "sysctl",
    "kernel",
    "boot",
    "disk",
    "prune",
    "accept-script",
    "update",
    "fleet-lock",
    "migration",
    "health",
    "smoke",
    "check",
];

const MARK: &str = "<!-- From here on written by a test from the serde shape: SLIPWAY_BLESS=1 cargo test -p slipway-builder manual -->\n";

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)
}

fn blessing() -> bool {
    env::var_os("SLIPWAY_BLESS").is_some()
}

#[test]
fn the_committed_schema_is_the_one_of_the_program() {
    let output = Command::new(env!("CARGO_BIN_EXE_slipway")).arg("schema").output().unwrap();
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    if blessing() {
        fs::write(docs("recipe.schema.json"), &output.stdout).unwrap();
    }
    let committed: Value = serde_json::from_str(&fs::read_to_string(docs("recipe.schema.json")).unwrap()).unwrap();
    assert_eq!(printed, committed, "docs/recipe.schema.json is not what `slipway schema` prints");
}

#[test]
fn the_schema_takes_good_recipes_and_no_unknown_key() {
    let validator = jsonschema::validator_for(&json_schema()).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for folder in ["../recipes", "../recipes/parts"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let value: Value = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
                let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
                assert!(errors.is_empty(), "{}: {errors:?}", path.display());
                seen += 1;
            }
        }
    }
    assert!(seen >= 4);
    let full: Value =
        toml::from_str(&fs::read_to_string(root.join("tests/goldens/recipe/full.toml")).unwrap()).unwrap();
    let errors: Vec<String> = validator.iter_errors(&full).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    for wrong in ["packges = 1", "[image]\nid = 3", "[[file]]\ncontent = \"\"", "[sysctl]\na.b = true"] {
        assert!(!validator.is_valid(&toml::from_str::<Value>(wrong).unwrap()), "{wrong}");
    }
}

#[test]
fn the_full_recipe_of_the_tests_has_every_key() {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/recipe/full.toml")).unwrap();
    for (_, section) in sections(&json_schema()) {
        for key in section.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(key, _)| key) {
            assert!(
                text.lines().any(|line| line.starts_with(&format!("{key} = ")) || line.contains(&format!("{key}]")))
                    || line_has(&text, key),
                "{key}"
            );
        }
    }
}

fn line_has(text: &str, key: &str) -> bool {
    text.contains(&format!("{{ {key} = ")) || text.contains(&format!(", {key} = "))
}

#[test]
fn the_manual_has_every_key() {
    let path = docs("recipe.md");
    let manual = fs::read_to_string(&path).unwrap_or_default();
    let (guide, reference) = manual.split_once(MARK).unwrap_or((&manual, ""));
    let schema = json_schema();
    for key in schema["properties"].as_object().unwrap().keys() {
        assert!(SECTIONS.contains(&key.as_str()), "`{key}` is missing from SECTIONS");
    }
    let wanted = written(&schema);
    if blessing() {
        fs::write(&path, format!("{guide}{MARK}{wanted}")).unwrap();
    } else {
        assert!(
            reference == wanted,
            "docs/recipe.md is behind the serde shape: SLIPWAY_BLESS=1 cargo test writes it anew"
        );
    }
}

#[test]
fn the_manual_of_the_command_line_names_every_command_and_flag() {
    let manual = fs::read_to_string(docs("cli.md")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_slipway")).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let commands = help.split("Commands:").nth(1).unwrap().split("\n\n").next().unwrap();
    for command in commands.lines().filter_map(|line| line.split_whitespace().next()) {
        assert!(
            command == "help" || manual.contains(&format!("`slipway {command}")),
            "`slipway {command}` is not in docs/cli.md"
        );
    }
    for flag in help.split_whitespace().filter(|word| word.starts_with("--")) {
        let flag = flag.trim_end_matches(|c: char| !c.is_alphanumeric());
        assert!(manual.contains(&format!("`{flag}")), "{flag} is not in docs/cli.md");
    }
}

/// The reference: a table for each section.
fn written(schema: &Value) -> String {
    let mut text = String::new();
    for (name, section) in sections(schema) {
        let described = |value: &Value| value["description"].as_str().unwrap_or_default().to_owned();
        let root = &schema["properties"][name];
        let heading = match name {
            "extends" => "`extends`".to_owned(),
            "check" => "`[[health.check]]`, `[[smoke.check]]`".to_owned(),
            "fleet-lock" => "`[update.fleet-lock]`".to_owned(),
            _ if root.get("items").is_some() => format!("`[[{name}]]`"),
            _ => format!("`[{name}]`"),
        };
        let meaning = match name {
            "check" => described(&section_of(schema, "CheckSet")["properties"]["check"]),
            "fleet-lock" => described(&section_of(schema, "Update")["properties"]["fleet-lock"]),
            _ => described(root),
        };
        write!(text, "\n## {heading}\n\n{meaning}\n").unwrap();
        let Some(keys) = section.get("properties").and_then(Value::as_object) else {
            if let Some(example) = root["examples"][0].as_str() {
                write!(
                    text,
                    "\n```toml\n{}\n```\n",
                    if name == "extends" { format!("extends = \"{example}\"") } else { format!("[{name}]\n{example}") }
                )
                .unwrap();
            }
            continue;
        };
        let required: Vec<&str> =
            section["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        text.push_str("\n| key | type | default | example | meaning |\n| --- | --- | --- | --- | --- |\n");
        let mut rows: Vec<(&String, &Value)> = keys.iter().collect();
        rows.sort_by_key(|(key, _)| (!required.contains(&key.as_str()), *key == "remove", key.as_str()));
        for (key, value) in rows {
            let default = match value.get("default") {
                _ if required.contains(&key.as_str()) => "required".to_owned(),
                Some(default) => code(default),
                None => "–".to_owned(),
            };
            let example = value["examples"].get(0).map_or("–".to_owned(), code);
            writeln!(text, "| `{key}` | {} | {default} | {example} | {} |", kind(value), described(value)).unwrap();
        }
    }
    text
}

fn sections(schema: &Value) -> Vec<(&'static str, Value)> {
    let section = |name: &'static str| {
        match name {
            "check" => return section_of(schema, "Check"),
            "fleet-lock" => return section_of(schema, "FleetLock"),
            _ => {}
        }
        let root = &schema["properties"][name];
        let target = root.get("items").unwrap_or(root)["$ref"].as_str();
        target.map_or(root.clone(), |target| schema.pointer(target.trim_start_matches('#')).unwrap().clone())
    };
    SECTIONS.iter().map(|&name| (name, section(name))).collect()
}

fn section_of(schema: &Value, name: &str) -> Value {
    schema["$defs"][name].clone()
}

fn kind(value: &Value) -> String {
    if let Some(choices) = value["enum"].as_array() {
        return choices.iter().map(code).collect::<Vec<_>>().join(", ");
    }
    match value["type"].as_str() {
        Some("string") => "text".to_owned(),
        Some("integer") => "number".to_owned(),
        Some("boolean") => "true or false".to_owned(),
        Some("array") if value["items"]["type"] == "string" => "list of texts".to_owned(),
        Some("array") => "entries".to_owned(),
        _ => "table".to_owned(),
    }
}

fn code(value: &Value) -> String {
    let text = toml::Value::try_from(value).unwrap().to_string();
    format!("`{}`", text.replace('\n', "\\n").replace('|', "\\|").trim())
}
