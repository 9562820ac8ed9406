//! Cached names of users and groups from the system (files, LDAP, or other sources).

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, RwLock};

use nix::unistd::{Gid, Group, Uid, User};

use crate::sync;

/// Maps numbers of users and groups to names and back; shared by threads.
///
/// Caches every answer, also missing names and failures: a directory server that is down is asked
/// once per owner, not once per file.
#[derive(Default)]
pub struct OwnerNames {
    users: NameCache<u32, Arc<str>>,
    groups: NameCache<u32, Arc<str>>,
    uids: NameCache<Box<str>, u32>,
    gids: NameCache<Box<str>, u32>,
}

impl OwnerNames {
    /// Makes an empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the name of a user.
    pub fn user(&self, uid: u32) -> Option<Arc<str>> {
        self.users
            .get_or(&uid, || User::from_uid(Uid::from_raw(uid)).ok()?.map(|user| user.name.into()))
    }

    /// Returns the name of a group.
    pub fn group(&self, gid: u32) -> Option<Arc<str>> {
        self.groups.get_or(&gid, || {
            Group::from_gid(Gid::from_raw(gid)).ok()?.map(|group| group.name.into())
        })
    }

    /// Returns the number of a user.
    pub fn uid(&self, name: &str) -> Option<u32> {
        self.uids.get_or(name, || User::from_name(name).ok()?.map(|user| user.uid.as_raw()))
    }

    /// Returns the number of a group.
    pub fn gid(&self, name: &str) -> Option<u32> {
        self.gids.get_or(name, || Group::from_name(name).ok()?.map(|group| group.gid.as_raw()))
    }
}

/// Returns the home directory of the user who runs the program, as the system knows it; `None` if
/// there is none.
pub fn home_of_user() -> Option<std::path::PathBuf> {
    let home = User::from_uid(nix::unistd::geteuid()).ok()??.dir;
    (home.is_absolute() && home.is_dir()).then_some(home)
}

/// Returns whether a group is the private group of a user: primary, of the same name, without other
/// members.
pub fn is_private_group(gid: u32, uid: u32) -> bool {
    let (Ok(Some(user)), Ok(Some(group))) =
        (User::from_uid(Uid::from_raw(uid)), Group::from_gid(Gid::from_raw(gid)))
    else {
        return false;
    };
    user.gid.as_raw() == gid
        && user.name == group.name
        && group.mem.iter().all(|member| *member == user.name)
}

/// Limit of cached answers per kind, so that hostile names cannot fill the memory.
const KEPT_MAX: usize = 65_536;

struct NameCache<K, V>(RwLock<HashMap<K, Option<V>>>);

impl<K, V> Default for NameCache<K, V> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Eq + Hash, V: Clone> NameCache<K, V> {
    fn get_or<Q>(&self, key: &Q, ask: impl FnOnce() -> Option<V>) -> Option<V>
    where
        Q: Eq + Hash + ToOwned + ?Sized,
        K: std::borrow::Borrow<Q>,
        Q::Owned: Into<K>,
    {
        if let Some(kept) = sync::read(&self.0).get(key) {
            return kept.clone();
        }
        // Asked without the lock: a slow answer must not block other threads.
        let answer = ask();
        let mut all = sync::write(&self.0);
        if all.len() < KEPT_MAX {
            all.insert(key.to_owned().into(), answer.clone());
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_a_name_and_nobody_else_has_this_one() {
        let names = OwnerNames::new();
        for _ in 0..2 {
            assert_eq!(names.user(0).as_deref(), Some("root"));
            assert_eq!(names.uid("root"), Some(0));
            assert_eq!(names.gid(&names.group(0).unwrap()), Some(0));
            assert_eq!(names.uid("no such user, ever"), None);
            assert_eq!(names.gid("with\0nul"), None);
        }
    }
}
