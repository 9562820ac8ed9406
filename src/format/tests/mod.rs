//! Goal: readers take what is just within a limit, and refuse what is just beyond it. Method: a
//! value at each limit, and the next one.

mod entries;
mod limits;
mod nodes;
mod records;
mod slots;
mod snapshots;
