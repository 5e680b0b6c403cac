//! Operations on nodes, on the brake, and questions about placement.

use reqwest::Method;

use super::{Client, Error};
use crate::nodes::{Brake, Fsck, NodeDetail, NodeInfo, PlacementExplanation, WhatIf};

impl Client {
    /// All nodes, by name.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](super::Kind::Unavailable).
    pub async fn nodes(&self) -> Result<Vec<NodeInfo>, Error> {
        self.read(self.get(&["api", "v1", "nodes"])).await
    }

    /// A node with its instances.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound).
    pub async fn node(&self, id: &str) -> Result<NodeDetail, Error> {
        self.read(self.get(&["api", "v1", "nodes", id])).await
    }

    /// Lets nothing new be placed on a node; what runs there stays.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound).
    pub async fn cordon_node(&self, id: &str) -> Result<(), Error> {
        self.done(self.call(Method::POST, &["api", "v1", "nodes", id, "cordon"])).await
    }

    /// Opens a node that was cordoned, drained or quarantined.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound).
    pub async fn uncordon_node(&self, id: &str) -> Result<(), Error> {
        self.done(self.call(Method::POST, &["api", "v1", "nodes", id, "uncordon"])).await
    }

    /// Has everything moved off a node.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound).
    pub async fn drain_node(&self, id: &str) -> Result<(), Error> {
        self.done(self.call(Method::POST, &["api", "v1", "nodes", id, "drain"])).await
    }

    /// What a drain would move where.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound).
    pub async fn drain_dry_run(&self, id: &str) -> Result<WhatIf, Error> {
        let call = self.call(Method::POST, &["api", "v1", "nodes", id, "drain"]);
        self.read(call.query("dry-run", "true")).await
    }

    /// Removes a lost node from the metadata.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound); [`Kind::Conflict`](super::Kind::Conflict) while it is live, or not lost for
    /// long enough.
    pub async fn forget_node(&self, id: &str) -> Result<(), Error> {
        self.done(self.call(Method::DELETE, &["api", "v1", "nodes", id])).await
    }

    /// What would move if these were lost: names of nodes, `rack:NAME`, `zone:NAME` or `host:NAME`.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound) when one of them names nothing.
    pub async fn what_if_lost(&self, lost: &[String]) -> Result<WhatIf, Error> {
        self.read(self.get(&["api", "v1", "what-if"]).query("lose", lost.join(","))).await
    }

    /// Why an instance is where it is.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound).
    pub async fn explain_placement(&self, instance: &str) -> Result<PlacementExplanation, Error> {
        self.read(self.get(&["api", "v1", "runtime", "placement", instance, "explain"])).await
    }

    /// Whether instances are moved off lost nodes.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](super::Kind::Unavailable).
    pub async fn brake(&self) -> Result<Brake, Error> {
        self.read(self.get(&["api", "v1", "cluster", "brake"])).await
    }

    /// Sets who decides about the brake: `auto`, `hold` or `release`.
    ///
    /// # Errors
    /// [`Kind::Invalid`](super::Kind::Invalid) for another word.
    pub async fn set_brake(&self, mode: &str) -> Result<(), Error> {
        let body = Brake { mode: mode.to_owned(), held: None };
        self.done(self.call(Method::POST, &["api", "v1", "cluster", "brake"]).json(&body)).await
    }

    /// What does not fit together in the metadata.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](super::Kind::Unavailable).
    pub async fn fsck(&self) -> Result<Fsck, Error> {
        self.read(self.get(&["api", "v1", "cluster", "fsck"])).await
    }
}
