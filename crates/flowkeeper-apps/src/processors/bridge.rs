//! `bridge`: passes messages on unchanged, for instance from one destination to another.

use flowkeeper_appkit::app::{App, Error, Processor, Role};
use flowkeeper_appkit::message::Message;

use crate::catalog::{AppDescriptor, AppKind};

pub(crate) const DESCRIPTOR: AppDescriptor = AppDescriptor {
    kind: AppKind::Processor,
    name: "bridge",
    summary: "Passes every message on unchanged",
    options: &[],
    build: |_| Ok(App::new(Role::Processor(Box::new(Bridge)), &["bridgeFunction", "bridge"])),
};

struct Bridge;

impl Processor for Bridge {
    fn process(&mut self, message: &Message, out: &mut Vec<Message>) -> Result<(), Error> {
        out.push(message.clone());
        Ok(())
    }
}
