//! The text form of a vector that is a file: fields, a blank line, then the bytes in hex, 64 digits
//! a line.

use drumlin::id::encode_hex;

/// One vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vector {
    /// Fields in order; names may repeat.
    pub fields: Vec<(String, String)>,
    /// The file itself.
    pub bytes: Vec<u8>,
}

/// First line of every vector.
const FIRST_LINE: &str = "drumlin vector 1";

impl Vector {
    /// Makes a vector of `bytes`.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { fields: Vec::new(), bytes }
    }

    /// Adds a field.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.fields.push((name.to_string(), value.into()));
        self
    }

    /// Returns the first field of that name.
    pub fn field(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|field| field.0 == name);
        &found.unwrap_or_else(|| panic!("the vector has no field {name}")).1
    }

    /// Returns the vector's text.
    pub fn print(&self) -> String {
        let mut text = format!("{FIRST_LINE}\n");
        for (name, value) in &self.fields {
            text.push_str(&format!("{name}: {value}\n"));
        }
        text.push('\n');
        for line in self.bytes.chunks(32) {
            text.push_str(&encode_hex(line));
            text.push('\n');
        }
        text
    }

    /// Parses a vector's text.
    pub fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\n\n").expect("a blank line ends the fields");
        let fields =
            head.strip_prefix(FIRST_LINE).expect("a vector").trim_start_matches('\n').lines();
        let fields = fields.map(|line| {
            let (name, value) = line.split_once(": ").expect("a field");
            (name.to_string(), value.to_string())
        });
        Self {
            fields: fields.collect(),
            bytes: super::unhex(&body.split_whitespace().collect::<String>()),
        }
    }
}
