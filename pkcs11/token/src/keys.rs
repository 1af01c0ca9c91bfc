//! The keys of one token as far as this process has seen them.
//!
//! Always true: memory stays the same however many keys the core holds. The first page of the listing is kept for two
//! seconds, which serves the 46 calls and three searches that OpenSSL's engine makes for one signature; beyond that
//! only the last RECENT keys are remembered, and a handle of any other is looked up again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use privyseal_remote::{Error as RemoteError, Key as Record, KeyPage, KeyQuery};

use crate::key::{long_ids, short_id, Key};
use crate::lock::lock;

const FRESH: Duration = Duration::from_secs(2);
const RECENT: usize = 4096;
/// The first page is small enough to arrive at once; later ones are the largest that the appliance gives.
const FIRST_PAGE: u32 = 500;
pub const PAGE: u32 = 1000;

/// A part of the listing in this module's own form.
#[derive(Clone, Debug)]
pub struct Page {
    pub keys: Vec<Arc<Key>>,
    pub next: Option<u64>,
}

/// The keys of one token. `fetch` in its methods asks the appliance.
#[derive(Debug, Default)]
pub struct Keys {
    /// Whether the core had more keys than the first page when its token was listed.
    many: bool,
    /// Held while the first page is fetched, so that threads that want it at the same time ask once.
    fetching: Mutex<()>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    first: Option<(Instant, Page)>,
    recent: BTreeMap<u64, Arc<Key>>,
    order: VecDeque<u64>,
}

impl Keys {
    /// Of a core that has so many keys.
    pub fn expecting(count: u64) -> Keys {
        Keys { many: count > FIRST_PAGE.into(), ..Keys::default() }
    }

    /// Whether a search for one key had better ask for that key: the first page, which is not here, would seldom have it.
    pub fn are_many(&self) -> bool {
        self.many && self.fresh().is_none()
    }

    /// The first page of the listing, at most two seconds old.
    pub fn first_page(&self, fetch: impl Fn(&KeyQuery) -> Result<KeyPage, RemoteError>) -> Result<Page, RemoteError> {
        let _one_at_a_time = lock(&self.fetching);
        if let Some(page) = self.fresh() {
            return Ok(page);
        }
        let page = self.page(&KeyQuery { limit: FIRST_PAGE, ..KeyQuery::default() }, fetch)?;
        lock(&self.seen).first = Some((Instant::now(), page.clone()));
        Ok(page)
    }

    /// Any page; its keys are remembered.
    pub fn page(
        &self,
        query: &KeyQuery,
        fetch: impl Fn(&KeyQuery) -> Result<KeyPage, RemoteError>,
    ) -> Result<Page, RemoteError> {
        let page = fetch(query)?;
        let keys = self.remember(page.keys);
        Ok(Page { keys, next: page.next })
    }

    /// The key with this short id. The appliance is asked only when there are more keys than this process remembers.
    pub fn with_short_id(
        &self,
        short: u64,
        fetch: impl Fn(&KeyQuery) -> Result<KeyPage, RemoteError>,
    ) -> Result<Option<Arc<Key>>, RemoteError> {
        if let Some(known) = self.known(short) {
            return Ok(known);
        }
        for id in long_ids(short) {
            let page = self.page(&KeyQuery { id: Some(id), limit: 1, ..KeyQuery::default() }, &fetch)?;
            if let Some(key) = page.keys.first() {
                return Ok(Some(key.clone()));
            }
        }
        Ok(None)
    }

    /// Forgets a key that this process has destroyed, and the listing that it was in.
    pub fn forget(&self, key: &Key) {
        let mut seen = lock(&self.seen);
        seen.first = None;
        seen.recent.remove(&short_id(key.id));
    }

    /// Takes over a key that this process has made or changed. The listing is fetched again.
    pub fn add(&self, record: Record) -> Option<Arc<Key>> {
        lock(&self.seen).first = None;
        self.remember(vec![record]).pop()
    }

    fn fresh(&self) -> Option<Page> {
        let seen = lock(&self.seen);
        seen.first.as_ref().filter(|(at, _)| at.elapsed() < FRESH).map(|(_, page)| page.clone())
    }

    /// Some when the answer is certain without asking: a remembered key, or none where the listing was complete.
    fn known(&self, short: u64) -> Option<Option<Arc<Key>>> {
        let seen = lock(&self.seen);
        // A handle that was given out may be one of those that have been forgotten since.
        let complete =
            seen.order.len() < RECENT && seen.first.as_ref().map_or(!self.many, |(_, page)| page.next.is_none());
        match seen.recent.get(&short) {
            Some(key) => Some(Some(key.clone())),
            None => complete.then_some(None),
        }
    }

    fn remember(&self, records: Vec<Record>) -> Vec<Arc<Key>> {
        let keys: Vec<Arc<Key>> = records.into_iter().filter_map(Key::new).map(Arc::new).collect();
        let mut seen = lock(&self.seen);
        for key in &keys {
            seen.add(key.clone());
        }
        keys
    }
}

impl Seen {
    fn add(&mut self, key: Arc<Key>) {
        let short = short_id(key.id);
        if self.recent.insert(short, key).is_some() {
            return;
        }
        self.order.push_back(short);
        if self.order.len() > RECENT {
            if let Some(oldest) = self.order.pop_front() {
                self.recent.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::key::tests::ec_key;

    fn record(id: u64) -> Record {
        Record { id: format!("{id:016x}"), ..ec_key().record }
    }

    fn by_id(query: &KeyQuery) -> Result<KeyPage, RemoteError> {
        let id = query.id.as_deref().and_then(|id| u64::from_str_radix(id, 16).ok()).unwrap();
        Ok(KeyPage { keys: vec![record(id)], next: None })
    }

    #[test]
    fn one_fetch_serves_many_searches() {
        let (keys, fetches) = (Keys::default(), Cell::new(0));
        let fetch = |_: &KeyQuery| {
            fetches.set(fetches.get() + 1);
            Ok(KeyPage { keys: vec![record(1)], next: None })
        };
        for _ in 0..3 {
            assert_eq!(keys.first_page(fetch).unwrap().keys.len(), 1);
            assert!(keys.with_short_id(1, fetch).unwrap().is_some());
            assert!(keys.with_short_id(2, fetch).unwrap().is_none());
        }
        assert_eq!(fetches.get(), 1);
    }

    #[test]
    fn a_key_among_many_is_looked_up_without_a_listing() {
        let keys = Keys::expecting(1_000_000);
        assert!(keys.are_many());
        assert_eq!(keys.with_short_id(9, by_id).unwrap().unwrap().id, 9);
        assert!(!Keys::expecting(500).are_many());
    }

    #[test]
    fn a_forgotten_key_is_looked_up_after_a_change_too() {
        let keys = Keys::default();
        let page = |_: &KeyQuery| Ok(KeyPage { keys: (0..5000).map(record).collect(), next: None });
        keys.page(&KeyQuery::default(), page).unwrap();
        let made = keys.add(record(6000)).unwrap();
        assert_eq!(keys.with_short_id(3, by_id).unwrap().unwrap().id, 3);
        keys.forget(&made);
        assert_eq!(keys.with_short_id(4, by_id).unwrap().unwrap().id, 4);
    }

    #[test]
    fn a_forgotten_key_is_looked_up_by_its_id() {
        let keys = Keys::default();
        let listing = |_: &KeyQuery| Ok(KeyPage { keys: (0..500).map(record).collect(), next: Some(500) });
        keys.first_page(listing).unwrap();
        let many = |_: &KeyQuery| Ok(KeyPage { keys: (1000..6000).map(record).collect(), next: None });
        keys.page(&KeyQuery::default(), many).unwrap();
        assert_eq!(lock(&keys.seen).recent.len(), RECENT);
        assert_eq!(keys.with_short_id(3, by_id).unwrap().unwrap().id, 3);
    }
}
