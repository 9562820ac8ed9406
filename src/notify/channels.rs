//! Channels of the settings.

use std::collections::BTreeSet;

use super::clean;
use super::mail::MailChannel;
use super::outbox::Channel;
use super::settings::NotifySettings;
use super::webhook::WebhookChannel;

/// Returns the channels of the settings. `host` is the name of this machine.
///
/// Fails with a message for the user if a channel cannot work, or two have the same name: the
/// outbox knows them by their names.
pub fn channels_of(settings: &NotifySettings, host: &str) -> Result<Vec<Box<dyn Channel>>, String> {
    let mut channels: Vec<Box<dyn Channel>> = Vec::new();
    if let Some(mail) = &settings.mail {
        let channel = MailChannel::new(mail.clone(), host, &settings.reach);
        channels.push(Box::new(channel.map_err(|error| format!("mail: {error}"))?));
    }
    for webhook in &settings.webhooks {
        let name = clean::line(&webhook.name, 80);
        let channel = WebhookChannel::new(webhook.clone(), &settings.reach);
        channels.push(Box::new(channel.map_err(|error| format!("webhook {name}: {error}"))?));
    }
    let mut names = BTreeSet::new();
    match channels.iter().find(|channel| !names.insert(channel.name().to_owned())) {
        Some(twice) => Err(format!("two channels are named {}", clean::line(twice.name(), 80))),
        None => Ok(channels),
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::{
        MailRoute, MailSettings, Secret, WebhookSettings, WebhookStyle, When,
    };
    use super::*;

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
        let channels = channels_of(&settings, "vault").unwrap();
        let names: Vec<&str> = channels.iter().map(|channel| channel.name()).collect();
        assert_eq!(names, ["mail", "a", "b"]);
        assert_eq!(channels[1].when(), When::Failed);
        settings.webhooks[1].name = "mail".to_owned();
        assert_eq!(channels_of(&settings, "vault").err().unwrap(), "two channels are named mail");
        settings.webhooks[1] = webhook("b", "secret");
        let error = channels_of(&settings, "vault").err().unwrap();
        assert!(error.starts_with("webhook b: ") && !error.contains("secret"), "{error}");
    }
}
