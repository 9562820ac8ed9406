//! Duration and price of thawing by archive class: list prices of AWS without tax, in the cheapest
//! usual region.

use crate::store::ThawTier;

/// Date of the prices.
pub(crate) const AS_OF: &str = "2026-05";
/// The provider's page of prices.
pub(crate) const PAGE: &str = "https://aws.amazon.com/s3/pricing/";

/// Duration and price of thawing from one class at one speed.
pub(crate) struct Thaw {
    class: &'static str,
    tier: ThawTier,
    /// Duration.
    pub hours: Hours,
    /// Price of a gigabyte of 2^30 bytes in USD.
    gigabyte: f64,
    /// Price of a thousand objects in USD.
    thousand: f64,
}

/// A range of hours.
pub(crate) struct Hours {
    /// At least so many.
    pub least: f64,
    /// At most so many.
    pub most: f64,
}

const fn thaw(
    class: &'static str,
    tier: ThawTier,
    hours: Hours,
    gigabyte: f64,
    thousand: f64,
) -> Thaw {
    Thaw { class, tier, hours, gigabyte, thousand }
}

const THAWS: [Thaw; 5] = [
    thaw("GLACIER", ThawTier::Expedited, Hours { least: 0.02, most: 0.1 }, 0.03, 10.0),
    thaw("GLACIER", ThawTier::Standard, Hours { least: 3.0, most: 5.0 }, 0.01, 0.05),
    thaw("GLACIER", ThawTier::Bulk, Hours { least: 5.0, most: 12.0 }, 0.0, 0.0),
    thaw("DEEP_ARCHIVE", ThawTier::Standard, Hours { least: 9.0, most: 12.0 }, 0.02, 0.1),
    thaw("DEEP_ARCHIVE", ThawTier::Bulk, Hours { least: 24.0, most: 48.0 }, 0.0025, 0.025),
];

/// Returns duration and price; `None` if the class is unknown or lacks this speed.
pub(crate) fn of(class: &str, tier: ThawTier) -> Option<&'static Thaw> {
    THAWS.iter().find(|thaw| thaw.class == class && thaw.tier == tier)
}

impl Thaw {
    /// Returns the price in USD of thawing these objects.
    pub(crate) fn price(&self, objects: u64, bytes: u64) -> f64 {
        self.gigabyte * bytes as f64 / f64::from(1 << 30) + self.thousand * objects as f64 / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_has_a_part_for_bytes_and_one_for_objects() {
        let deep = of("DEEP_ARCHIVE", ThawTier::Standard).unwrap();
        assert!((deep.price(1000, 10 << 30) - 0.3).abs() < 1e-9);
        assert!(of("DEEP_ARCHIVE", ThawTier::Expedited).is_none());
    }
}
