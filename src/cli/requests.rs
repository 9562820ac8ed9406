//! What the stores of a run were asked: requests are money and time.

use std::sync::{Arc, Mutex};

use super::views::RequestsView;
use crate::store::Action;
use crate::store::layers::count::{CountStore, Counts};
use crate::sync::lock;
use crate::ui::{Ui, text};

/// The counters of all stores of a run.
#[derive(Default)]
pub struct Requests(Mutex<Vec<Arc<CountStore>>>);

impl Requests {
    /// Counts what another store is asked, too.
    pub fn add(&self, store: Arc<CountStore>) {
        lock(&self.0).push(store);
    }

    fn counts(&self) -> Counts {
        let stores = lock(&self.0);
        stores.iter().fold(Counts::default(), |sum, store| sum + store.counts())
    }

    /// Returns the sum so far, for scripts.
    pub fn view(&self) -> RequestsView {
        RequestsView::new(&self.counts())
    }

    /// Says the sum so far, to those who want to know more, if there was a store that could be asked.
    pub fn tell(&self, ui: &Ui) {
        let is_used = !lock(&self.0).is_empty();
        if is_used {
            ui.detail(&format!("requests: {}", in_one_line(&self.counts())));
        }
    }
}

/// Returns counts as people read them: `12 (1 list, 7 read, 4 create), 28.1 MiB up, 31 KiB down`.
fn in_one_line(counts: &Counts) -> String {
    if counts.total().calls == 0 {
        return "none".to_owned();
    }
    let actions = Action::ALL.iter().map(|action| (counts.of_action(*action).calls, action.name()));
    let actions: Vec<String> =
        actions.filter(|(calls, _)| *calls > 0).map(|(calls, name)| format!("{} {name}", text::count(calls))).collect();
    let [up, down] = [Action::Create, Action::Read].map(|action| text::size(counts.of_action(action).bytes));
    format!("{} ({}), {up} up, {down} down", text::count(counts.total().calls), actions.join(", "))
}
