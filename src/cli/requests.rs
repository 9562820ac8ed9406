//! Request counters for people.

use crate::store::Action;
use crate::store::layers::count::CallCounts;
use crate::text;
use crate::ui::Ui;

/// Prints the counters as a detail, if a store was opened.
pub(super) fn tell(ui: &Ui, counts: Option<CallCounts>) {
    if let Some(counts) = counts {
        ui.detail(&format!("requests: {}", in_one_line(&counts)));
    }
}

/// Formats counters: `12 (1 list, 7 read, 4 create), 28.1 MiB up, 31 KiB down`.
fn in_one_line(counts: &CallCounts) -> String {
    if counts.total().calls == 0 {
        return "none".to_owned();
    }
    let actions = Action::ALL.iter().map(|action| (counts.of_action(*action).calls, action.name()));
    let actions: Vec<String> = actions
        .filter(|(calls, _)| *calls > 0)
        .map(|(calls, name)| format!("{} {name}", text::count(calls)))
        .collect();
    let [up, down] =
        [Action::Create, Action::Read].map(|action| text::size(counts.of_action(action).bytes));
    format!("{} ({}), {up} up, {down} down", text::count(counts.total().calls), actions.join(", "))
}
