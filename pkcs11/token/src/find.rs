//! A search over the objects of a token, from `C_FindObjectsInit` to `C_FindObjectsFinal`.
//!
//! Always true: no page is fetched before the program asks for more handles than the last one had.
//!
//! Before login, a search that names the class of private keys passes over keys with a PIN; any other search shows them.
//! Both are needed. p11tool lists objects of all classes and shows a private key's URL before it asks for the PIN.
//! OpenSSL's engine (libp11 0.4) first looks for private keys without a login and asks for the PIN only when it did not
//! find the one it wants; if it does find it, it signs without ever having asked.

use std::collections::VecDeque;
use std::sync::Arc;

use privyseal_remote::{Error as RemoteError, KeyPage, KeyQuery};
use privyseal_sys::CK_OBJECT_HANDLE;

use crate::attributes::Template;
use crate::key::Key;
use crate::keys::{Keys, PAGE};

/// One search and how far it has come.
#[derive(Debug)]
pub struct Find {
    template: Template,
    /// Whether keys with a PIN are passed over.
    without_pin_only: bool,
    found: VecDeque<CK_OBJECT_HANDLE>,
    /// What to ask for next; None when the listing is at its end.
    next: Option<KeyQuery>,
}

impl Find {
    /// Begins a search, in which `others` are what has been found outside the token. It looks at the first page of the listing; where that is not the whole, a search by label or id
    /// is handed to the appliance, and any other pages on later. Among many keys a search by label or id goes to the
    /// appliance at once.
    pub fn start(
        template: Template,
        logged_in: bool,
        others: Vec<CK_OBJECT_HANDLE>,
        keys: &Keys,
        fetch: impl Fn(&KeyQuery) -> Result<KeyPage, RemoteError>,
    ) -> Result<Find, RemoteError> {
        let without_pin_only = !logged_in && template.names_private_keys();
        let mut find = Find { template, without_pin_only, found: others.into(), next: None };
        if find.template.is_hopeless() {
            return Ok(find);
        }
        let (label, object_id) = (find.template.label(), find.template.object_id());
        let one = (label.is_some() || object_id.is_some()).then_some(KeyQuery {
            label,
            object_id,
            limit: PAGE,
            ..KeyQuery::default()
        });
        if one.is_some() && keys.are_many() {
            find.next = one;
            return Ok(find);
        }
        let (page, before) = (keys.first_page(fetch)?, find.found.len());
        find.add(&page.keys);
        find.next = match (page.next, &one) {
            (Some(_), Some(one)) if one.label.is_none() => {
                // Several keys may have one CKA_ID, and those beyond this page too.
                find.found.truncate(before);
                Some(one.clone())
            }
            // Labels are unique in a core, so what has been found is all.
            (Some(_), Some(_)) => one.filter(|_| find.found.len() == before),
            (next, _) => next.map(|cursor| KeyQuery { cursor: Some(cursor), limit: PAGE, ..KeyQuery::default() }),
        };
        Ok(find)
    }

    /// The next handles, at most `most`; none at the end.
    pub fn take(
        &mut self,
        most: usize,
        keys: &Keys,
        fetch: impl Fn(&KeyQuery) -> Result<KeyPage, RemoteError>,
    ) -> Result<Vec<CK_OBJECT_HANDLE>, RemoteError> {
        while self.found.len() < most {
            let Some(query) = self.next.take() else { break };
            let page = keys.page(&query, &fetch)?;
            self.next = page.next.map(|cursor| KeyQuery { cursor: Some(cursor), ..query });
            self.add(&page.keys);
        }
        Ok(self.found.drain(..most.min(self.found.len())).collect())
    }

    fn add(&mut self, keys: &[Arc<Key>]) {
        for key in keys.iter().filter(|key| !(self.without_pin_only && key.record.pin)) {
            let matching = key.objects().into_iter().filter(|(class, _)| self.template.matches(key, *class));
            self.found.extend(matching.map(|(_, handle)| handle));
        }
    }
}

#[cfg(test)]
mod tests {
    use privyseal_sys::{CKA_CLASS, CKA_LABEL, CKO_PRIVATE_KEY};

    use super::*;
    use crate::key::tests::ec_key;

    const COUNT: u64 = 2300;

    /// A core of COUNT keys that answers as docs/reference/rest.md says.
    fn fetch(query: &KeyQuery) -> Result<KeyPage, RemoteError> {
        let fits = |id: &u64| query.label.as_ref().is_none_or(|label| *label == format!("key{id}"));
        let first = query.cursor.unwrap_or(0);
        let mut ids: Vec<u64> = (first..COUNT).filter(fits).collect();
        ids.truncate(query.limit as usize);
        let next = ids.last().map(|id| id + 1).filter(|next| query.label.is_none() && *next < COUNT);
        let record =
            |id: &u64| privyseal_remote::Key { id: format!("{id:016x}"), label: format!("key{id}"), ..ec_key().record };
        Ok(KeyPage { keys: ids.iter().map(record).collect(), next })
    }

    fn private() -> Vec<(privyseal_sys::CK_ATTRIBUTE_TYPE, Vec<u8>)> {
        vec![(CKA_CLASS, CKO_PRIVATE_KEY.to_ne_bytes().to_vec())]
    }

    #[test]
    fn every_key_is_found_once_whatever_the_step() {
        for step in [1, 7, 1000, 5000] {
            let keys = Keys::default();
            let mut find = Find::start(Template::new(private()), true, vec![], &keys, fetch).unwrap();
            let mut handles = vec![];
            loop {
                let some = find.take(step, &keys, fetch).unwrap();
                if some.is_empty() {
                    break;
                }
                handles.extend(some);
            }
            assert_eq!(handles.len(), COUNT as usize);
            handles.dedup();
            assert_eq!(handles.len(), COUNT as usize);
        }
    }

    #[test]
    fn a_label_in_a_large_core_is_asked_for() {
        let keys = Keys::default();
        let mut wanted = private();
        wanted.push((CKA_LABEL, b"key2200".to_vec()));
        let mut find = Find::start(Template::new(wanted), true, vec![], &keys, fetch).unwrap();
        assert_eq!(find.take(10, &keys, fetch).unwrap(), [2200 << 1 | 1]);
        assert!(find.take(10, &keys, fetch).unwrap().is_empty());
    }

    #[test]
    fn a_label_among_many_is_one_request() {
        let requests = std::cell::Cell::new(0);
        let counted = |query: &KeyQuery| {
            requests.set(requests.get() + 1);
            fetch(query)
        };
        let keys = Keys::expecting(COUNT);
        let wanted = Template::new(vec![(CKA_LABEL, b"key2200".to_vec())]);
        let mut find = Find::start(wanted, true, vec![], &keys, counted).unwrap();
        assert_eq!(find.take(10, &keys, counted).unwrap().len(), 2);
        assert_eq!(requests.get(), 1);
    }

    #[test]
    fn keys_with_a_pin_are_no_private_keys_before_login() {
        let keys = Keys::default();
        let found = |template, logged_in| {
            let mut find = Find::start(Template::new(template), logged_in, vec![], &keys, fetch).unwrap();
            find.take(10, &keys, fetch).unwrap().len()
        };
        assert_eq!(found(private(), false), 0);
        assert_eq!(found(private(), true), 10);
        assert_eq!(found(vec![], false), 10);
    }
}
