//! Cost estimate for a provider, from stored bytes and requests. Pure.

use super::prices::{BillingPlan, FreeEgress, Provider, Tier};

/// Totals of a class of objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ClassTotals {
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Lengths in bytes of the objects of a repository.
#[derive(Clone, Debug, Default)]
pub(super) struct StoredObjects {
    /// Lengths of packs of file content.
    pub content: Vec<u64>,
    /// Lengths of all other objects.
    pub rest: Vec<u64>,
}

impl StoredObjects {
    fn bytes(&self) -> u64 {
        self.content.iter().chain(&self.rest).sum()
    }
}

/// Requests of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RunRequests {
    /// Listings.
    pub list: u64,
    /// Reads of file content.
    pub read_content: u64,
    /// Other reads.
    pub read_rest: u64,
    /// Created packs of file content.
    pub create_content: u64,
    /// Other created objects.
    pub create_rest: u64,
    /// Bytes of file content that are read.
    pub down_content: u64,
    /// Other bytes that are read.
    pub down_rest: u64,
    /// Bytes that are stored.
    pub up: u64,
}

impl RunRequests {
    /// Returns the number of requests.
    pub(super) fn requests(&self) -> u64 {
        self.list + self.read_content + self.read_rest + self.create_content + self.create_rest
    }
}

/// Returns the price of a month of storage.
pub(super) fn storage(provider: &Provider, stored: &StoredObjects) -> f64 {
    let gigabytes = |lens: &[u64], tier: &Tier| -> f64 {
        lens.iter().map(|len| (*len).max(tier.object_min_bytes) as f64).sum::<f64>()
            / provider.gigabyte as f64
    };
    let (content, rest) =
        (gigabytes(&stored.content, &provider.content), gigabytes(&stored.rest, &provider.rest));
    match provider.plan {
        BillingPlan::Used => content * provider.content.storage + rest * provider.rest.storage,
        BillingPlan::Base { price, included } => {
            price + (content + rest - included).max(0.0) * provider.rest.storage
        }
        BillingPlan::Sizes(sizes) => {
            let whole = content + rest;
            let fitting = sizes.iter().find(|(size, _)| *size >= whole);
            // Beyond the largest size, several of them are needed.
            let largest = sizes.last().map_or(0.0, |(size, price)| (whole / size).ceil() * price);
            fitting.map_or(largest, |(_, price)| *price)
        }
    }
}

/// Returns the price of one run, in a month without other downloads.
pub(super) fn run(provider: &Provider, asked: &RunRequests, stored: &StoredObjects) -> f64 {
    let gigabytes = |bytes: u64| bytes as f64 / provider.gigabyte as f64;
    let thousands = |requests: u64| requests as f64 / 1000.0;
    let (content, rest) = (&provider.content, &provider.rest);
    let requests = thousands(asked.list) * rest.list
        + thousands(asked.read_content) * content.read
        + thousands(asked.read_rest) * rest.read
        + thousands(asked.create_content) * content.create
        + thousands(asked.create_rest) * rest.create;
    let retrieval = gigabytes(asked.down_content) * content.retrieval
        + gigabytes(asked.down_rest) * rest.retrieval;
    let free = match provider.egress_free {
        FreeEgress::Gigabytes(free) => free,
        FreeEgress::TimesStored(times) => times * gigabytes(stored.bytes()),
    };
    let egress =
        (gigabytes(asked.down_content + asked.down_rest) - free).max(0.0) * provider.egress;
    requests + retrieval + egress
}

#[cfg(test)]
mod tests {
    use super::super::prices::parse_provider;
    use super::*;

    fn provider(name: &str) -> &'static Provider {
        parse_provider(name).unwrap()
    }

    fn close(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-9
    }

    #[test]
    fn a_month_of_storage() {
        let stored = StoredObjects { content: vec![1 << 30; 100], rest: vec![1 << 30; 2] };
        assert!(close(storage(provider("aws-standard"), &stored), 102.0 * 0.023));
        assert!(close(
            storage(provider("aws-deep-archive"), &stored),
            100.0 * 0.00099 + 2.0 * 0.023
        ));
        let small = StoredObjects { content: vec![1000; 8], rest: Vec::new() };
        assert!(
            close(storage(provider("aws-ia"), &small), 0.0125 / 1024.0),
            "each is charged as 128 KiB"
        );
        let terabytes = |count: u64| StoredObjects {
            content: vec![1_000_000_000_000; count as usize],
            rest: Vec::new(),
        };
        for (count, price) in [(0, 3.20), (1, 3.20), (2, 10.90), (20, 40.60), (21, 81.20)] {
            assert!(
                close(storage(provider("hetzner-storage-box"), &terabytes(count)), price),
                "{count}"
            );
        }
        assert!(close(storage(provider("hetzner-object-storage"), &terabytes(3)), 3.0 * 4.99));
        assert!(close(
            storage(
                provider("cloudflare-r2"),
                &StoredObjects { content: vec![1_000_000], rest: vec![] }
            ),
            0.0
        ));
    }

    #[test]
    fn what_a_run_costs() {
        let stored = StoredObjects { content: vec![1 << 30; 1000], rest: Vec::new() };
        assert!(close(run(provider("aws-standard"), &RunRequests::default(), &stored), 0.0));
        let backup = RunRequests {
            list: 2,
            create_content: 1,
            create_rest: 4,
            up: 1 << 20,
            ..RunRequests::default()
        };
        assert!(close(
            run(provider("aws-glacier-ir"), &backup, &stored),
            (2.0 * 0.005 + 0.02 + 4.0 * 0.005) / 1000.0
        ));
        let restore =
            RunRequests { read_content: 1000, down_content: 1000 << 30, ..RunRequests::default() };
        assert!(close(
            run(provider("aws-ia"), &restore, &stored),
            0.001 + 1000.0 * 0.01 + 900.0 * 0.09
        ));
        assert!(close(run(provider("cloudflare-r2"), &restore, &stored), 0.00036));
        assert!(
            close(run(provider("backblaze-b2"), &restore, &stored), 0.0004),
            "three times what is stored may leave"
        );
        assert!(close(run(provider("hetzner-storage-box"), &restore, &stored), 0.0));
    }
}
