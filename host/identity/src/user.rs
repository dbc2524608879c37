//! Names of users, as the host's name service has them; a uid inside a container is the host's uid here.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use nix::unistd::{Uid, User};

use super::{LruCache, lru_cache};

/// A name is asked for again after this long: users come, go and are renamed.
const VALID: Duration = Duration::from_secs(60);

/// Most users that are remembered.
const MAX_USERS: NonZeroUsize = NonZeroUsize::new(2048).unwrap();

/// Names of the users that were seen lately.
#[derive(Debug)]
pub(super) struct Users(LruCache<u32, (Option<Arc<str>>, Duration)>);

impl Default for Users {
    fn default() -> Self {
        Self(lru_cache(MAX_USERS))
    }
}

impl Users {
    /// The user's name, if there is one; `now` is any steady clock's time.
    pub(super) fn name(&mut self, uid: u32, now: Duration) -> Option<Arc<str>> {
        if let Some((name, asked)) = self.0.get(&uid)
            && now.saturating_sub(*asked) < VALID
        {
            return name.clone();
        }
        let user = User::from_uid(Uid::from_raw(uid)).unwrap_or_else(|error| {
            tracing::debug!(%error, uid, "name of a user");
            None
        });
        let name = user.map(|user| Arc::from(user.name));
        self.0.put(uid, (name.clone(), now));
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_a_name_and_nobody_knows_others() {
        let mut users = Users::default();
        assert_eq!(users.name(0, Duration::ZERO).as_deref(), Some("root"));
        assert_eq!(users.name(4_000_000_000, Duration::ZERO), None);
        assert_eq!(users.name(0, VALID * 2).as_deref(), Some("root"));
    }
}
