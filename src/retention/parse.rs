//! Parser of policies and spans.

use std::fmt;

use super::decay::Decay;
use super::decision::Period;
use super::policy::Policy;

/// Seconds of the units of spans. A year is 365.25 days, a month its twelfth.
const UNITS: [(char, i64); 5] =
    [('y', 31_557_600), ('m', 2_629_800), ('w', 604_800), ('d', 86_400), ('h', 3_600)];

/// Parses a span of time: whole numbers with the units y, m (months), w, d and h, largest first,
/// such as `2y`, `1y6m` or `36h`.
///
/// Returns its seconds; at least 1 hour, at most 1,000 years.
pub fn parse_span(text: &str) -> Result<i64, String> {
    let refuse =
        || format!("`{text}` is not a span of time such as 36h, 14d, 6m or 1y6m (m is months)");
    let (mut rest, mut sum, mut from) = (text, 0i64, 0);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(refuse)?;
        let unit = rest[end..].chars().next().ok_or_else(refuse)?;
        let at = UNITS
            .iter()
            .position(|(name, _)| *name == unit)
            .filter(|at| *at >= from)
            .ok_or_else(refuse)?;
        let number: i64 = rest[..end].parse().map_err(|_| refuse())?;
        sum = number
            .checked_mul(UNITS[at].1)
            .and_then(|part| sum.checked_add(part))
            .ok_or_else(refuse)?;
        from = at + 1;
        rest = &rest[end + unit.len_utf8()..];
    }
    if (UNITS[4].1..=1_000 * UNITS[0].1).contains(&sum) { Ok(sum) } else { Err(refuse()) }
}

/// Returns a span in words, in the largest unit that is accurate enough: `36 hours`, `4 days`, `2
/// years`.
pub fn span_text(seconds: i64) -> String {
    let words = [
        ("year", UNITS[0].1),
        ("month", UNITS[1].1),
        ("week", UNITS[2].1),
        ("day", UNITS[3].1),
        ("hour", UNITS[4].1),
    ];
    let counted = |number: i64, noun: &str| {
        if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
    };
    for (noun, unit) in words {
        let number = (seconds + unit / 2) / unit;
        let error = (seconds - number * unit).abs();
        // Weeks only where they are whole: "2 weeks", but "16 days".
        let fits =
            if noun == "week" { error == 0 } else { error <= seconds / 50 || seconds >= 2 * unit };
        if number > 0 && fits {
            return counted(number, noun);
        }
    }
    match seconds {
        0..60 => counted(seconds, "second"),
        _ => counted((seconds + 30) / 60, "minute"),
    }
}

impl Policy {
    /// Adds the rules of a text: `decay 2y`, `daily 14`, or several with commas between them.
    ///
    /// Rules: `last N`, `hourly N`, … `yearly N`, `within SPAN`, `tag TAG`, `decay SPAN`, `decay
    /// SPAN PARTS`. An existing rule is replaced, but tags add up. Fails with a message for the
    /// user.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        for rule in text.split(',') {
            let words: Vec<&str> = rule.split_whitespace().collect();
            let count = |text: &str| match text.parse::<u32>() {
                Ok(0) | Err(_) => Err(format!("`{text}` is not a number from 1")),
                Ok(count) => Ok(count),
            };
            match words[..] {
                ["last", number] => self.last = Some(count(number)?),
                ["within", span] => self.within_s = Some(parse_span(span)?),
                ["tag", tag] => self.tags.push(tag.to_owned()),
                ["decay", horizon] => {
                    self.decay =
                        Some(Decay { horizon_s: parse_span(horizon)?, parts: Decay::PARTS })
                }
                ["decay", horizon, parts] => {
                    let parts = count(parts)?;
                    if parts > Decay::PARTS_MAX {
                        return Err(format!("`{parts}` is more than {} parts", Decay::PARTS_MAX));
                    }
                    self.decay = Some(Decay { horizon_s: parse_span(horizon)?, parts });
                }
                [word, number] if Period::ALL.iter().any(|period| period.rule() == word) => {
                    let period = Period::ALL
                        .into_iter()
                        .position(|period| period.rule() == word)
                        .expect("it was found");
                    self.periods[period] = Some(count(number)?);
                }
                _ => {
                    let rules = "last, hourly, daily, weekly, monthly, yearly, within, tag, decay";
                    return Err(format!(
                        "`{}` is not a rule such as `decay 2y` or `daily 14` (rules: {rules})",
                        rule.trim()
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Formats the policy as [`Policy::add`] parses it.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rules: Vec<String> = self.last.iter().map(|last| format!("last {last}")).collect();
        let periods = Period::ALL.iter().zip(self.periods);
        rules.extend(
            periods.filter_map(|(period, count)| Some(format!("{} {}", period.rule(), count?))),
        );
        rules.extend(self.within_s.map(|span| format!("within {}", short_span(span))));
        rules.extend(self.tags.iter().map(|tag| format!("tag {tag}")));
        rules.extend(self.decay.map(|decay| match decay.parts {
            Decay::PARTS => format!("decay {}", short_span(decay.horizon_s)),
            parts => format!("decay {} {parts}", short_span(decay.horizon_s)),
        }));
        f.write_str(&rules.join(", "))
    }
}

/// Formats a span as [`parse_span`] parses it: one unit if that is exact, else months, weeks, days
/// and hours.
fn short_span(mut seconds: i64) -> String {
    if let Some((name, unit)) = UNITS.into_iter().find(|(_, unit)| seconds % unit == 0) {
        return format!("{}{name}", seconds / unit);
    }
    // Not even hours: a month is 730.5 hours, so half an hour is left, and the months are odd.
    let (name, unit) = UNITS[1];
    let months = (seconds / unit - 1) | 1;
    let mut text = format!("{months}{name}");
    seconds -= months * unit;
    for (name, unit) in &UNITS[2..] {
        if seconds >= *unit {
            text += &format!("{}{name}", seconds / unit);
            seconds %= unit;
        }
    }
    text
}
