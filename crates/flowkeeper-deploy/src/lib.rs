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
//! * [`record`], [`znode`]: the documents shared with the control plane and where they lie;
//! * [`agent`]: orders in, statuses out; [`instance`]: the life of one instance;
//! * [`shim`], [`process`]: processes that survive their parent; [`environment`], [`artifact`]: what they run and with what;
//! * [`properties`]: what deployer properties ask for, checked before anything runs; [`health`]: when an app is ready;
//! * [`port`]: free ports, and who holds a busy one.
//!
//! This crate never reads stream definitions and never talks HTTP to users. Start with [`agent`].

pub mod agent;
pub mod artifact;
pub mod environment;
pub mod health;
pub mod instance;
pub mod port;
pub mod process;
pub mod properties;
pub mod record;
pub mod rollout;
pub mod shim;
mod task;
pub mod znode;
