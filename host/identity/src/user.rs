//! Looks up the names of users in the host's name service. A uid of a process in a container is looked up on the host too.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use nix::unistd::{Uid, User};

use super::cache::{LruCache, lru_cache};

/// How long a name is used before it is looked up again: users are added, removed and renamed.
const NAME_TTL: Duration = Duration::from_secs(60);

/// Most users that are remembered.
const MAX_USERS: NonZeroUsize = NonZeroUsize::new(2048).unwrap();

/// The names of the users that were seen lately, and when they were looked up.
#[derive(Debug)]
pub(super) struct Users(LruCache<u32, (Option<Arc<str>>, Duration)>);

impl Default for Users {
    fn default() -> Self {
        Self(lru_cache(MAX_USERS))
    }
}

impl Users {
    /// The user's name, if there is one. `now` is the time of any monotonic clock.
    pub(super) fn name(&mut self, uid: u32, now: Duration) -> Option<Arc<str>> {
        if let Some((name, looked_up)) = self.0.get(&uid)
            && now.saturating_sub(*looked_up) < NAME_TTL
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
    fn root_has_a_name_and_an_unknown_uid_has_none() {
        let mut users = Users::default();
        assert_eq!(users.name(0, Duration::ZERO).as_deref(), Some("root"));
        assert_eq!(users.name(4_000_000_000, Duration::ZERO), None);
        assert_eq!(users.name(0, NAME_TTL * 2).as_deref(), Some("root"));
    }
}
