//! A page of the documentation, taken apart.

/// What a page consists of, in its order.
pub enum Part {
    Line(String),
    /// A line `<!-- name: words -->`, which only these tests see.
    Mark {
        name: String,
        words: String,
    },
    Block(Block),
}

/// What stands between fences.
pub struct Block {
    pub language: String,
    /// Number of its first line in the page.
    pub first_line: usize,
    pub lines: Vec<String>,
}

impl Block {
    /// Returns it as it stands in a page, with other text.
    pub fn fenced(&self, text: &str) -> String {
        format!("```{}\n{text}\n```\n", self.language)
    }
}

/// Takes a page apart.
pub fn split(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in text.lines().enumerate() {
        match (open.take(), line.strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some(Block {
                    language: language.to_owned(),
                    first_line: number + 2,
                    lines: Vec::new(),
                });
            }
            (None, None) => parts.push(mark(line).unwrap_or_else(|| Part::Line(line.to_owned()))),
            (Some(block), Some(_)) => parts.push(Part::Block(block)),
            (Some(mut block), None) => {
                block.lines.push(line.to_owned());
                open = Some(block);
            }
        }
    }
    assert!(open.is_none(), "a block is not closed");
    parts
}

fn mark(line: &str) -> Option<Part> {
    let (name, words) = line.strip_prefix("<!-- ")?.strip_suffix(" -->")?.split_once(": ")?;
    Some(Part::Mark { name: name.to_owned(), words: words.to_owned() })
}
