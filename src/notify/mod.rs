//! Notifications: e-mail, webhooks and pings.
//!
//! A state machine ([`step`]) decides what is said, [`Outbox`] keeps it until it is delivered. Each
//! writer (an app, or the daemon) owns a numbered row of messages. The durable steps come in this
//! order, while the writer's lock is held:
//!
//! | | step | death after it leaves |
//! |---|---|---|
//! | 1 | [`Outbox::settle`] with the state as it is | nothing that an earlier death left |
//! | 2 | [`step`], then [`Outbox::prepare`]: the message is held, nobody delivers it | a held message that step 1 removes: the state does not know it, so the event is decided anew |
//! | 3 | the caller writes its state with the new [`Told`], by one rename | a held message that step 1 releases: the state counts it as said |
//! | 4 | [`Outbox::settle`] with the new state releases it | a message like any other |
//! | 5 | [`Outbox::deliver`], in any process | a try without an outcome: it may be repeated |
//!
//! So an event is said exactly once, but for a death between a delivery and its record. No protocol
//! of a channel can close that gap. The message keeps its id (`Message-ID`, `Idempotency-Key`), the
//! try is recorded before it is made, and the outbox counts such repetitions.

mod channels;
mod clean;
mod digest;
mod event;
mod folder;
mod health;
mod held;
mod http;
mod item;
mod mail;
mod message;
mod outbox;
mod ping;
mod reach;
mod sendmail;
mod text;
mod trouble;
mod webhook;

#[cfg(test)]
pub(crate) mod tests;

pub use channels::{ChannelError, channels_of};
pub use clean::{url_for_people, without_secrets};
pub use digest::{Digest, DigestApp, DigestTarget};
pub use event::{Happened, Happening, Notice, Outcome, Rules, Step, Told, step};
pub use folder::{Folder, StateFolder};
pub use health::{ChannelHealth, Health};
pub use held::Held;
pub use mail::MailChannel;
pub use message::{Facts, Message};
pub use outbox::{Channel, GivenUp, Outbox, Pass, Report, SendError};
pub use ping::{HEARTBEAT_S, Pinger, Signal, is_heartbeat_due};
pub use reach::Reach;
pub use text::{Place, message_of, test_message};
pub use trouble::{Event, Moment, OpenTrouble, Severity, Trouble, TroubleKind};
pub use webhook::WebhookChannel;
