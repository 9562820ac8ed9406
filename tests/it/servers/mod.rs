//! Real servers for tests, and a proxy that harms the connections to them.

mod proxy;
