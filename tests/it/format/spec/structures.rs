//! Structures and variants: fields, types and order as in the source, and none missing.

use std::collections::BTreeMap;

use super::{marked, source_below};

/// An encoded type of the program.
#[derive(Debug, PartialEq, Eq)]
enum Shape {
    /// Field names and types.
    Structure(Vec<(String, String)>),
    /// Names and contents; `None` for a variant without content.
    Variants(Vec<(String, Option<String>)>),
}

/// Returns a type as the specification writes it.
fn spec_type(rust: &str) -> String {
    let inside = |prefix: &str| rust.strip_prefix(prefix).and_then(|rest| rest.strip_suffix('>'));
    if rust == "Vec<u8>" {
        return "bytes".to_string();
    }
    if rust == "String" {
        return "string".to_string();
    }
    if let Some(item) = inside("Vec<") {
        return format!("list of {}", spec_type(item));
    }
    if let Some(item) = inside("Option<") {
        return format!("option of {}", spec_type(item));
    }
    if let Some(len) = rust.strip_prefix("[u8; ").and_then(|rest| rest.strip_suffix(']')) {
        return format!("{len} bytes");
    }
    if let Some((first, second)) =
        rust.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')?.split_once(", "))
    {
        return format!("({}, {})", spec_type(first), spec_type(second));
    }
    rust.to_string()
}

/// Returns all types in `src/format` that are encoded, by name.
fn encoded_types() -> BTreeMap<String, Shape> {
    let source = source_below("format");
    let mut found = BTreeMap::new();
    for rest in source.split("#[derive(").skip(1) {
        let (derives, rest) = rest.split_once(")]\n").unwrap();
        if !derives.contains("Decode") {
            continue;
        }
        let (head, body) = rest.split_once(" {\n").unwrap();
        let body = body.split("\n}").next().unwrap();
        let lines: Vec<&str> =
            body.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let name = head.rsplit(' ').next().unwrap().to_string();
        let shape = if head.contains("struct ") {
            Shape::Structure(fields(&lines, "    pub "))
        } else {
            variants(&lines)
        };
        found.insert(name, shape);
    }
    found
}

fn fields(lines: &[&str], prefix: &str) -> Vec<(String, String)> {
    let field = |line: &&str| {
        let (name, rust) = line.strip_prefix(prefix)?.trim_end_matches(',').split_once(": ")?;
        Some((name.to_string(), spec_type(rust)))
    };
    lines.iter().filter_map(field).collect()
}

fn variants(lines: &[&str]) -> Shape {
    let mut found: Vec<(String, Option<String>)> = Vec::new();
    for line in lines {
        let Some(line) = line.strip_prefix("    ") else {
            continue;
        };
        if let Some(field) = line.strip_prefix("    ") {
            let (name, rust) = field.trim_end_matches(',').split_once(": ").unwrap();
            let content = found.last_mut().unwrap().1.get_or_insert_default();
            let comma = if content.is_empty() { "" } else { ", " };
            content.push_str(&format!("{comma}{name}: {}", spec_type(rust)));
        } else if let Some((name, rust)) =
            line.trim_end_matches(',').strip_suffix(')').and_then(|line| line.split_once('('))
        {
            found.push((name.to_string(), Some(spec_type(rust))));
        } else if line != "}," {
            found.push((line.trim_end_matches([',', '{', ' ']).to_string(), None));
        }
    }
    Shape::Variants(found)
}

#[test]
fn structures_are_the_programs() {
    let mut types = encoded_types();
    for (name, table) in marked("structure") {
        let stated = table
            .rows
            .iter()
            .map(|row| (row[0].clone(), table.cell(row, "type").to_string()))
            .collect();
        assert_eq!(types.remove(&name), Some(Shape::Structure(stated)), "{name}");
    }
    for (name, table) in marked("variants") {
        let Some(Shape::Variants(known)) = types.remove(&name) else {
            panic!("{name} is not a type with variants");
        };
        assert_eq!(table.rows.len(), known.len(), "variants of {name}");
        for (number, (row, (variant, content))) in table.rows.iter().zip(known).enumerate() {
            assert_eq!((row[0].clone(), &row[1]), (number.to_string(), &variant), "in {name}");
            assert!(
                content.is_none_or(|content| content == row[2]),
                "content of {variant} in {name}"
            );
        }
    }
    // Profiles have a table of their own, with their numbers (see `numbers`).
    types.remove("Profile");
    assert!(types.is_empty(), "types without a table: {:?}", types.keys());
}
