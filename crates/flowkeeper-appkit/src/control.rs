//! The state of a binding, which the actuator shows and changes.

use tokio::sync::watch;

/// What a binding does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Running,
    Paused,
    Stopped,
}

impl State {
    /// The word in `/actuator/bindings`.
    pub fn word(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Paused => "paused",
            State::Stopped => "stopped",
        }
    }
}

/// One binding, for whoever runs it and for whoever controls it.
#[derive(Debug, Clone)]
pub struct Control {
    /// The alias: `input` or `output`.
    pub binding: String,
    pub destination: String,
    pub group: Option<String>,
    pub is_input: bool,
    pub binder: &'static str,
    state: watch::Sender<State>,
}

impl Control {
    /// A binding, running unless `auto-startup=false`.
    pub fn new(
        binding: &str,
        destination: &str,
        is_input: bool,
        binder: &'static str,
        auto_startup: bool,
    ) -> Control {
        let state = watch::Sender::new(if auto_startup { State::Running } else { State::Stopped });
        Control {
            binding: binding.to_owned(),
            destination: destination.to_owned(),
            group: None,
            is_input,
            binder,
            state,
        }
    }

    /// The state now.
    pub fn state(&self) -> State {
        *self.state.borrow()
    }

    /// Changes the state; the binding follows before its next batch.
    pub fn set(&self, state: State) {
        self.state.send_replace(state);
    }

    /// Waits until the binding runs. Cancel safe.
    pub async fn running(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.state.subscribe().wait_for(|s| *s == State::Running).await;
    }

    /// Waits until the binding does not run. Cancel safe.
    pub async fn not_running(&self) {
        let _ = self.state.subscribe().wait_for(|s| *s != State::Running).await;
    }
}
