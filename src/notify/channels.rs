//! Channels of the settings.

use std::collections::BTreeSet;

use super::clean;
use super::mail::MailChannel;
use super::outbox::Channel;
use super::reach::Reach;
use super::webhook::WebhookChannel;
use crate::settings::notify::NotifySettings;

/// Returns the channels of the settings. `host` is the name of this machine.
///
/// Fails if a channel cannot work, or two have the same name: the outbox knows them by their names.
pub fn channels_of(
    settings: &NotifySettings,
    reach: &Reach,
    host: &str,
) -> Result<Vec<Box<dyn Channel>>, ChannelError> {
    let mut channels: Vec<Box<dyn Channel>> = Vec::new();
    if let Some(mail) = &settings.mail {
        let channel = MailChannel::new(mail.clone(), host, reach);
        let refuse = |why| ChannelError { key: "email", why };
        channels.push(Box::new(channel.map_err(refuse)?));
    }
    let of_webhook = |why| ChannelError { key: "webhook", why };
    for webhook in &settings.webhooks {
        let name = clean::line(&webhook.name, 80);
        let channel = WebhookChannel::new(webhook.clone(), reach);
        let refuse = |why| of_webhook(format!("{name}: {why}"));
        channels.push(Box::new(channel.map_err(refuse)?));
    }
    let mut names = BTreeSet::new();
    match channels.iter().find(|channel| !names.insert(channel.name().to_owned())) {
        Some(twice) => {
            let name = clean::line(twice.name(), 80);
            Err(of_webhook(format!("two channels are named {name}")))
        }
        None => Ok(channels),
    }
}

/// A channel of the settings that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct ChannelError {
    /// The key of `[notify]` that is wrong.
    pub key: &'static str,
    /// Why, for the user and without secrets.
    pub why: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::notify::{
        MailRoute, MailSettings, Secret, WebhookSettings, WebhookStyle, When,
    };

    fn webhook(name: &str, url: &str) -> WebhookSettings {
        WebhookSettings {
            name: name.to_owned(),
            url: Secret(url.to_owned()),
            style: WebhookStyle::Json,
            headers: Vec::new(),
            when: When::Failed,
        }
    }

    #[test]
    fn channels_have_names_of_their_own() {
        let mail = MailSettings {
            to: vec!["ada@example.org".to_owned()],
            from: None,
            route: MailRoute::Sendmail(vec!["sendmail".to_owned()]),
            when: When::Changed,
        };
        let mut settings = NotifySettings { mail: Some(mail), ..NotifySettings::default() };
        settings.webhooks = vec![webhook("a", "https://h/1"), webhook("b", "https://h/2")];
        let reach = Reach::default();
        let channels = channels_of(&settings, &reach, "vault").unwrap();
        let names: Vec<&str> = channels.iter().map(|channel| channel.name()).collect();
        assert_eq!(names, ["mail", "a", "b"]);
        assert_eq!(channels[1].when(), When::Failed);
        settings.webhooks[1].name = "mail".to_owned();
        let refused = |settings: &NotifySettings| {
            channels_of(settings, &reach, "vault").err().unwrap().to_string()
        };
        assert_eq!(refused(&settings), "two channels are named mail");
        settings.webhooks[1] = webhook("b", "secret");
        let error = refused(&settings);
        assert!(error.starts_with("b: ") && !error.contains("secret"), "{error}");
    }
}
