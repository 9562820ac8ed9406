//! Levels of a check.

use std::fmt;
use std::str::FromStr;

/// How thorough a check is; each level includes the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Configs, key slots, snapshots and index runs are read; packs are only listed.
    Quick,
    /// All trees are read, and all their references must be in the index. No data pack is read.
    Structure,
    /// A share of the data packs is read completely, first those that were verified longest ago.
    Sample {
        /// Share of the bytes, in 1/1000.
        permille: u16,
    },
    /// Every byte of every object is read and verified.
    Full,
}

/// Error for a text that is no level.
#[derive(Debug, thiserror::Error)]
#[error("no check level '{0}': it is quick, structure, sample=P% or full")]
pub struct NoLevel(String);

impl FromStr for Level {
    type Err = NoLevel;

    fn from_str(text: &str) -> Result<Self, NoLevel> {
        let no_level = || NoLevel(text.to_owned());
        match text {
            "quick" => Ok(Self::Quick),
            "structure" => Ok(Self::Structure),
            "full" => Ok(Self::Full),
            _ => {
                let percent =
                    text.strip_prefix("sample=").map(|rest| rest.strip_suffix('%').unwrap_or(rest));
                let percent: f64 =
                    percent.and_then(|percent| percent.parse().ok()).ok_or_else(no_level)?;
                let permille = (percent * 10.0).ceil();
                if (1.0..=1000.0).contains(&permille) {
                    Ok(Self::Sample { permille: permille as u16 })
                } else {
                    Err(no_level())
                }
            }
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quick => f.write_str("quick"),
            Self::Structure => f.write_str("structure"),
            Self::Sample { permille } => write!(f, "sample={}%", f64::from(*permille) / 10.0),
            Self::Full => f.write_str("full"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_written_as_they_are_read() {
        for text in ["quick", "structure", "sample=5%", "sample=0.1%", "sample=100%", "full"] {
            assert_eq!(text.parse::<Level>().unwrap().to_string(), text);
        }
        assert_eq!("sample=33".parse::<Level>().unwrap(), Level::Sample { permille: 330 });
        for text in [
            "",
            "Full",
            "sample",
            "sample=",
            "sample=0%",
            "sample=101%",
            "sample=-1%",
            "sample=x%",
            "sample=nan%",
        ] {
            assert!(text.parse::<Level>().is_err(), "{text}");
        }
    }
}
