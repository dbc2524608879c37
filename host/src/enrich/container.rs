//! stub
use crate::event::Container;
use std::sync::Arc;
#[derive(Clone, Default)]
pub struct Containers;
impl Containers {
    pub fn new() -> Self {
        Self
    }
    pub fn of(&self, _: u64, _: u32) -> Option<Arc<Container>> {
        None
    }
}
