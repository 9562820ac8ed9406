//! Price tables of providers, from their public pages: list prices without tax, in the cheapest
//! usual region.
//!
//! Prices change: each row has its date, and all output names the provider's page. To correct one,
//! change it here.

/// A provider, or a storage class of one for the packs of file content.
pub(super) struct Provider {
    /// Name for `--provider`.
    pub name: &'static str,
    /// Title.
    pub title: &'static str,
    /// The currency of all its prices.
    pub currency: &'static str,
    /// Date of the prices.
    pub as_of: &'static str,
    /// The provider's page of prices.
    pub page: &'static str,
    /// Bytes of the provider's gigabyte.
    pub gigabyte: u64,
    /// Prices of file content.
    pub content: Tier,
    /// Prices of all other objects.
    pub rest: Tier,
    /// Base charge.
    pub plan: BillingPlan,
    /// Price of a gigabyte of egress beyond the free amount.
    pub egress: f64,
    /// Free egress per month.
    pub egress_free: FreeEgress,
    /// Remark on the estimate.
    pub note: &'static str,
}

/// Prices of storage and requests.
#[derive(Clone, Copy)]
pub(super) struct Tier {
    /// A gigabyte for a month.
    pub storage: f64,
    /// A thousand objects that are made.
    pub create: f64,
    /// A thousand reads.
    pub read: f64,
    /// A thousand pages of listings, of a thousand names each.
    pub list: f64,
    /// A gigabyte that is read, without the cost of egress.
    pub retrieval: f64,
    /// Bytes that every object is charged for at least.
    pub object_min_bytes: u64,
}

/// Monthly charge for the whole repository.
pub(super) enum BillingPlan {
    /// Only usage.
    Used,
    /// A base price that includes some gigabytes; further ones cost as in the tiers.
    Base {
        /// The price.
        price: f64,
        /// The gigabytes.
        included: f64,
    },
    /// Fixed sizes in gigabytes with their prices, without other charges.
    Sizes(&'static [(f64, f64)]),
}

/// Free egress per month.
pub(super) enum FreeEgress {
    /// Gigabytes.
    Gigabytes(f64),
    /// Multiple of the stored bytes.
    TimesStored(f64),
}

const FREE_TIER: Tier =
    Tier { storage: 0.0, create: 0.0, read: 0.0, list: 0.0, retrieval: 0.0, object_min_bytes: 0 };

const AWS_STANDARD: Tier =
    Tier { storage: 0.023, create: 0.005, read: 0.0004, list: 0.005, ..FREE_TIER };

const fn aws(
    name: &'static str,
    title: &'static str,
    content: Tier,
    note: &'static str,
) -> Provider {
    Provider {
        name,
        title,
        currency: "USD",
        as_of: "2026-05",
        page: "https://aws.amazon.com/s3/pricing/",
        gigabyte: 1 << 30,
        content,
        rest: AWS_STANDARD,
        plan: BillingPlan::Used,
        egress: 0.09,
        egress_free: FreeEgress::Gigabytes(100.0),
        note,
    }
}

/// All known providers.
pub(super) const PROVIDERS: [Provider; 8] = [
    aws("aws-standard", "AWS S3 Standard", AWS_STANDARD, "in us-east-1; other regions cost more"),
    aws(
        "aws-ia",
        "AWS S3, content in Standard-IA",
        Tier {
            storage: 0.0125,
            create: 0.01,
            read: 0.001,
            list: 0.005,
            retrieval: 0.01,
            object_min_bytes: 128 << 10,
        },
        "in us-east-1; content is charged for at least 30 days",
    ),
    aws(
        "aws-glacier-ir",
        "AWS S3, content in Glacier Instant Retrieval",
        Tier {
            storage: 0.004,
            create: 0.02,
            read: 0.01,
            list: 0.005,
            retrieval: 0.03,
            object_min_bytes: 128 << 10,
        },
        "in us-east-1; content is charged for at least 90 days",
    ),
    aws(
        "aws-deep-archive",
        "AWS S3, content in Glacier Deep Archive",
        // A read is the thawing of an object, at the standard speed, and its reading.
        Tier {
            storage: 0.00099,
            create: 0.05,
            read: 0.1004,
            list: 0.005,
            retrieval: 0.02,
            object_min_bytes: 40 << 10,
        },
        "in us-east-1; content is charged for at least 180 days, and must be thawed for hours \
            before it can be read",
    ),
    Provider {
        name: "hetzner-object-storage",
        title: "Hetzner Object Storage",
        currency: "EUR",
        as_of: "2025-01",
        page: "https://www.hetzner.com/storage/object-storage/",
        gigabyte: 1_000_000_000,
        content: Tier { storage: 0.00499, ..FREE_TIER },
        rest: Tier { storage: 0.00499, ..FREE_TIER },
        plan: BillingPlan::Base { price: 4.99, included: 1000.0 },
        egress: 0.001,
        egress_free: FreeEgress::Gigabytes(1000.0),
        note: "the base price is that of the account, whatever else is stored there",
    },
    Provider {
        name: "hetzner-storage-box",
        title: "Hetzner Storage Box",
        currency: "EUR",
        as_of: "2025-01",
        page: "https://www.hetzner.com/storage/storage-box/",
        gigabyte: 1_000_000_000,
        content: FREE_TIER,
        rest: FREE_TIER,
        plan: BillingPlan::Sizes(&[
            (1000.0, 3.20),
            (5000.0, 10.90),
            (10_000.0, 20.80),
            (20_000.0, 40.60),
        ]),
        egress: 0.0,
        egress_free: FreeEgress::Gigabytes(0.0),
        note: "the smallest box that holds it",
    },
    Provider {
        name: "backblaze-b2",
        title: "Backblaze B2",
        currency: "USD",
        as_of: "2026-05",
        page: "https://www.backblaze.com/cloud-storage/pricing",
        gigabyte: 1_000_000_000,
        content: Tier { storage: 0.006, read: 0.0004, list: 0.004, ..FREE_TIER },
        rest: Tier { storage: 0.006, read: 0.0004, list: 0.004, ..FREE_TIER },
        plan: BillingPlan::Base { price: 0.0, included: 10.0 },
        egress: 0.01,
        egress_free: FreeEgress::TimesStored(3.0),
        note: "2,500 requests of each kind a day are free and not counted here",
    },
    Provider {
        name: "cloudflare-r2",
        title: "Cloudflare R2",
        currency: "USD",
        as_of: "2026-05",
        page: "https://developers.cloudflare.com/r2/pricing/",
        gigabyte: 1_000_000_000,
        content: Tier { storage: 0.015, create: 0.0045, read: 0.00036, list: 0.0045, ..FREE_TIER },
        rest: Tier { storage: 0.015, create: 0.0045, read: 0.00036, list: 0.0045, ..FREE_TIER },
        plan: BillingPlan::Base { price: 0.0, included: 10.0 },
        egress: 0.0,
        egress_free: FreeEgress::Gigabytes(0.0),
        note: "a million writes and ten million reads a month are free and not counted here",
    },
];

/// Parses the name of a provider.
pub(super) fn parse_provider(text: &str) -> Result<&'static Provider, String> {
    let names: Vec<&str> = PROVIDERS.iter().map(|provider| provider.name).collect();
    let found = PROVIDERS.iter().find(|provider| provider.name == text);
    found.ok_or_else(|| format!("`{text}` is not one of {}", names.join(", ")))
}

/// Guesses the provider from the server's host (`None` for AWS) and the storage class of file
/// content.
pub(super) fn guess(host: Option<&str>, storage_class: Option<&str>) -> Option<&'static Provider> {
    let aws = match storage_class {
        Some("STANDARD_IA" | "ONEZONE_IA") => "aws-ia",
        Some("GLACIER_IR") => "aws-glacier-ir",
        Some("DEEP_ARCHIVE") => "aws-deep-archive",
        _ => "aws-standard",
    };
    let ends = [
        ("amazonaws.com", aws),
        ("your-objectstorage.com", "hetzner-object-storage"),
        ("your-storagebox.de", "hetzner-storage-box"),
        ("backblazeb2.com", "backblaze-b2"),
        ("r2.cloudflarestorage.com", "cloudflare-r2"),
    ];
    let name = match host {
        None => aws,
        Some(host) => {
            ends.iter()
                .find(|(end, _)| {
                    host.strip_suffix(end)
                        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
                })?
                .1
        }
    };
    parse_provider(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unlike_and_found() {
        for provider in &PROVIDERS {
            assert_eq!(parse_provider(provider.name).map(|found| found.title), Ok(provider.title));
            assert!(provider.page.starts_with("https://") && !provider.note.is_empty());
        }
        assert!(
            parse_provider("nobody").err().is_some_and(|error| error.contains("cloudflare-r2"))
        );
    }

    #[test]
    fn hosts_tell_the_provider() {
        let name = |host, class| guess(host, class).map(|provider| provider.name);
        assert_eq!(name(None, None), Some("aws-standard"));
        assert_eq!(
            name(Some("s3.eu-central-1.amazonaws.com"), Some("GLACIER_IR")),
            Some("aws-glacier-ir")
        );
        assert_eq!(name(Some("fsn1.your-objectstorage.com"), None), Some("hetzner-object-storage"));
        assert_eq!(name(Some("u1.your-storagebox.de"), None), Some("hetzner-storage-box"));
        assert_eq!(name(Some("s3.us-west-002.backblazeb2.com"), None), Some("backblaze-b2"));
        assert_eq!(name(Some("x.r2.cloudflarestorage.com"), None), Some("cloudflare-r2"));
        assert_eq!(name(Some("notamazonaws.com"), None), None);
        assert_eq!(name(Some("127.0.0.1"), None), None);
    }
}
