//! Engine of containers that a configuration names, and programs in its containers.

use std::sync::Arc;

use crate::connect;
use crate::monitor::Monitor;
use crate::settings::docker::DockerSettings;
use crate::settings::environment::Environment;
use crate::settings::sources::DatabaseSettings;
use crate::sources::container::ContainerRunner;
use crate::sources::engine_api::Engine;
use crate::sources::runner::{HostRunner, Runner};

/// The engine of containers, as it is found. Nothing is opened before it is asked.
#[derive(Clone, Copy)]
pub struct EnginePlace<'a> {
    /// `[docker]`.
    pub docker: &'a DockerSettings,
    /// Environment variables: `DOCKER_HOST`.
    pub env: &'a Environment,
}

impl EnginePlace<'_> {
    /// Returns the engine. Fails if `DOCKER_HOST` names one that is not at a Unix socket.
    pub fn engine(&self) -> connect::Result<Engine> {
        self.docker.socket(self.env).map(Engine::new).map_err(connect::Error::usage)
    }

    /// Returns the place where the programs of a database run: this host, or its container.
    ///
    /// Where no login is configured, they log in as the container's environment says.
    pub fn runner_of(
        &self,
        database: &DatabaseSettings,
        monitor: &Arc<Monitor>,
    ) -> connect::Result<Arc<dyn Runner>> {
        let Some(container) = &database.container else {
            return Ok(Arc::new(HostRunner::new(monitor)));
        };
        let runner = self.container(container, monitor)?;
        let has_login = database.user.is_some()
            || database.password_file.is_some()
            || database.password_command.is_some()
            || database.defaults_file.is_some();
        Ok(Arc::new(if has_login { runner } else { runner.with_own_login() }))
    }

    /// Returns the place where commands in a container run.
    pub fn container(
        &self,
        name: &str,
        monitor: &Arc<Monitor>,
    ) -> connect::Result<ContainerRunner> {
        Ok(ContainerRunner::new(self.engine()?, name, monitor))
    }
}
