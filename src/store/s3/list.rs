//! Listing of a bucket, page by page. Spec: `format-spec/12-store.md`, section 6.
//!
//! An object that a listing lacks counts as removed, so a truncated page must never be accepted.

use std::collections::HashSet;

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::Object;

use super::BucketClient;
use super::failure::S3Failure;
use super::transfer::RequestProgress;
use crate::store::listing::{ENDLESS, Room};
use crate::store::{Class, ErrorKind, Listed, is_valid_name};

/// Maximum number of empty pages in a row.
const EMPTY_PAGES_MAX: usize = 1000;
/// Names per page.
const PAGE_NAMES: i32 = 1000;

impl BucketClient {
    /// Lists the objects whose names begin with `prefix`.
    pub(super) async fn list(&self, class: Class, prefix: &str) -> Result<Vec<Listed>, S3Failure> {
        let folder = self.path_of(&format!("{}/", class.dir_name()));
        let request = self.request("s3:ListBucket", false);
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        let (mut tokens, mut empty_pages, room) = (HashSet::new(), 0, Room::for_class(class));
        loop {
            let list = self
                .client
                .list_objects_v2()
                .bucket(&self.name)
                .prefix(format!("{folder}{prefix}"));
            let list = list.max_keys(PAGE_NAMES).set_continuation_token(token.take());
            let page = match RequestProgress::new().watch(self.timeout, list.send()).await {
                Ok(Ok(page)) => page,
                Ok(Err(error)) => return Err(request.explain(error, true)),
                Err(_) => return Err(self.stalled(ErrorKind::Unavailable)),
            };
            let is_last = is_last(&page)?;
            empty_pages = if page.contents().is_empty() { empty_pages + 1 } else { 0 };
            for object in page.contents() {
                let (key, len_bytes) = parts_of(object).ok_or_else(half)?;
                if !room.take(key.len()) {
                    return Err(S3Failure::new(ErrorKind::Other, ENDLESS));
                }
                let name =
                    key.strip_prefix(&folder).filter(|name| name.split('/').all(is_valid_name));
                let modified_s = object.last_modified().map(DateTime::secs);
                found.extend(name.map(|name| Listed::new(name.to_owned(), len_bytes, modified_s)));
            }
            if is_last {
                return Ok(found);
            }
            token = page.next_continuation_token().map(str::to_owned);
            let Some(next) = &token else {
                return Err(S3Failure::new(
                    ErrorKind::Other,
                    "the server says that the listing goes on, but not where",
                ));
            };
            if !tokens.insert(next.clone()) || empty_pages > EMPTY_PAGES_MAX {
                return Err(S3Failure::new(
                    ErrorKind::Other,
                    "the server's listing goes in circles: it never ends",
                ));
            }
            if !room.take(next.len()) {
                return Err(S3Failure::new(ErrorKind::Other, ENDLESS));
            }
        }
    }
}

/// Returns whether a page is the last one; fails if the page does not say so, or has another number
/// of entries than it says.
fn is_last(page: &ListObjectsV2Output) -> Result<bool, S3Failure> {
    let entries = page.contents().len() + page.common_prefixes().len();
    let is_whole = page
        .key_count()
        .is_none_or(|count| usize::try_from(count).is_ok_and(|count| count == entries));
    page.is_truncated().filter(|_| is_whole).map(|is_truncated| !is_truncated).ok_or_else(half)
}

/// Returns an entry's key and length, which every S3 server states.
fn parts_of(object: &Object) -> Option<(&str, u64)> {
    Some((object.key()?, u64::try_from(object.size()?).ok()?))
}

fn half() -> S3Failure {
    S3Failure::new(
        ErrorKind::Unavailable,
        "the listing is incomplete, or does not come from an S3 server",
    )
}
