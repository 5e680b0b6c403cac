//! Makes apps run somewhere.
//!
//! A node is an [`agent::Agent`]: it keeps a ZooKeeper session of its own, announces itself, follows the orders that the
//! leader writes for it, carries them out, and reports what it sees. It decides nothing: *what* should run where is in the
//! orders, *whether* something runs is observed from the operating system.
//!
//! Every app instance is a process under a [`shim`], a tiny process that outlives the agent: it owns the app's output, passes
//! on a polite stop, and leaves a note when the app exits. So an agent may crash, be killed or be upgraded, and the next one
//! adopts what runs: an instance is recognised by (uid, term) in its folder, its processes by pid *and* start time, so a pid
//! that was used again is never mistaken for ours.
//!
//! An instance of which there must never be two runs under a [`lease`], which the agent prolongs while it is in contact with
//! ZooKeeper. When the lease ends the shim freezes the instance, before the control plane may start another one elsewhere; when
//! contact is back in time it goes on as if nothing had been. Nothing of that needs the agent, a clock that is right, or luck.
//!
//! * [`record`], [`znode`]: the documents shared with the control plane and where they lie; [`access`]: who may touch them;
//! * [`agent`]: orders in, statuses out; [`instance`]: the life of one instance; [`lease`]: until when it may run;
//! * [`shim`], [`process`], `cgroup`: processes that survive their parent and never escape it;
//! * [`environment`], [`artifact`]: what they run and with what;
//! * [`properties`]: what deployer properties ask for, checked before anything runs; [`health`]: when an app is ready;
//! * [`rollout`]: what a release asks of placement; [`machine`]: what a node has;
//! * [`access`], [`seal`]: who may do what in the tree, and what is unreadable in it without a key;
//! * [`port`]: free ports, and who holds a busy one.
//!
//! This crate never reads stream definitions and never talks HTTP to users. Start with [`agent`].

pub mod access;
pub mod agent;
pub mod artifact;
mod cgroup;
pub mod environment;
pub mod health;
pub mod instance;
pub mod lease;
pub mod machine;
pub mod port;
pub mod process;
pub mod properties;
pub mod record;
pub mod rollout;
pub mod seal;
pub mod shim;
mod task;
pub mod znode;
