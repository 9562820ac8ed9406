//! Tables of Markdown, with the comment that marks them.

/// One table.
pub struct Table {
    /// The text of the comment before it; empty if there is none.
    pub marker: String,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows, cell by cell, without white space and back quotes around them.
    pub rows: Vec<Vec<String>>,
}

/// Returns the tables of a text in order.
pub fn tables(text: &str) -> Vec<Table> {
    let (mut found, mut marker): (Vec<Table>, String) = (Vec::new(), String::new());
    let mut is_inside = false;
    for line in text.lines() {
        if !line.starts_with('|') {
            is_inside = false;
            if let Some(comment) = line.strip_prefix("<!-- ") {
                marker = comment.trim_end_matches(" -->").to_string();
            } else if !line.is_empty() {
                marker.clear();
            }
            continue;
        }
        let cells = cells(line);
        if !is_inside {
            found.push(Table {
                marker: std::mem::take(&mut marker),
                columns: cells,
                rows: Vec::new(),
            });
            is_inside = true;
        } else if !cells.iter().all(|cell| cell.chars().all(|c| c == '-'))
            || cells.iter().all(String::is_empty)
        {
            found.last_mut().unwrap().rows.push(cells);
        }
    }
    found
}

fn cells(line: &str) -> Vec<String> {
    let inside = line.trim().trim_start_matches('|').trim_end_matches('|');
    let bare = |cell: &str| {
        let cell = cell.trim();
        let unquoted = cell.strip_prefix('`').and_then(|cell| cell.strip_suffix('`'));
        unquoted.filter(|cell| !cell.contains('`')).unwrap_or(cell).to_string()
    };
    inside.split('|').map(bare).collect()
}

impl Table {
    /// Returns a cell by its column's name.
    pub fn cell<'a>(&self, row: &'a [String], column: &str) -> &'a str {
        let at = self.columns.iter().position(|name| name == column);
        &row[at.unwrap_or_else(|| panic!("table {} has no column {column}", self.marker))]
    }
}

#[test]
fn tables_are_read_with_their_markers() {
    let text = "text\n\n<!-- layout: x -->\n\n| a | b |\n|---|---|\n| `1` | two words |\n| | `c` ‖ `d` |\n\nmore\n\n| a |\n|---|\n| 1 |\n";
    let found = tables(text);
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].marker.as_str(), found[1].marker.as_str()), ("layout: x", ""));
    assert_eq!(found[0].rows, [["1", "two words"], ["", "`c` ‖ `d`"]]);
    assert_eq!(found[0].cell(&found[0].rows[1], "b"), "`c` ‖ `d`");
}
