//! Colours, if the output is a terminal.

/// What a piece of text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Something failed.
    Error,
    /// Something deserves a look.
    Warning,
    /// Something is as it should be.
    Good,
    /// What a line is about.
    Strong,
    /// Secondary text.
    Dim,
}

/// Colours text, or leaves it alone.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Whether colours are wanted.
    pub coloured: bool,
}

impl Style {
    /// Returns `text` in the colour of its role.
    pub fn paint(self, role: Role, text: &str) -> String {
        if !self.coloured {
            return text.to_owned();
        }
        let code = match role {
            Role::Error => "1;31",
            Role::Warning => "1;33",
            Role::Good => "32",
            Role::Strong => "1",
            Role::Dim => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}
