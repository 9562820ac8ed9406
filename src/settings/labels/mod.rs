//! Labels of containers as sources of apps.

mod apps;
mod container;

pub use apps::{LabelFault, LabelledContainer};
pub use container::{ContainerLabels, LabelError, Names};
