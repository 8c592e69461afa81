//! How many connections one client address may hold here.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use parking_lot::Mutex;

use crate::rate_limits;

/// The connections of each address.
pub struct Addresses {
    /// None: as many as they like.
    max: Option<usize>,
    held: Mutex<HashMap<String, usize>>,
}

impl Addresses {
    pub fn new(max: Option<usize>) -> Arc<Self> {
        Arc::new(Self { max, held: Mutex::default() })
    }

    /// A place for one more connection of an address, unless it has too many. Whoever connects from this very machine is
    /// a proxy, a test or its owner, and no stranger: not counted.
    pub fn place(self: &Arc<Self>, ip: IpAddr) -> Result<Option<Place>, TooMany> {
        let Some(max) = self.max.filter(|_| !ip.to_canonical().is_loopback()) else { return Ok(None) };
        let subject = rate_limits::address(ip);
        let mut held = self.held.lock();
        let n_held = held.entry(subject.clone()).or_default();
        if *n_held >= max {
            return Err(TooMany);
        }
        *n_held += 1;
        Ok(Some(Place { addresses: Arc::clone(self), subject }))
    }
}

#[derive(Debug)]
pub struct TooMany;

/// A connection's place among those of its address; given up when dropped.
pub struct Place {
    addresses: Arc<Addresses>,
    subject: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.addresses.held.lock();
        if let Some(n_held) = held.get_mut(&self.subject) {
            *n_held -= 1;
            if *n_held == 0 {
                held.remove(&self.subject);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_has_so_many_places_and_no_more() {
        let addresses = Addresses::new(Some(2));
        let (one, two) =
            (addresses.place(ip("192.0.2.1")).expect("free"), addresses.place(ip("192.0.2.1")).expect("free"));
        assert!(addresses.place(ip("192.0.2.1")).is_err());
        assert!(addresses.place(ip("::ffff:192.0.2.1")).is_err(), "the same address in another spelling");
        let other = addresses.place(ip("192.0.2.2")).expect("somebody else");
        drop(one);
        let three = addresses.place(ip("192.0.2.1")).expect("one has left");
        assert!(addresses.place(ip("192.0.2.1")).is_err());
        drop((two, three, other));
        assert!(addresses.held.lock().is_empty(), "nothing is left behind");
    }

    #[test]
    fn neighbours_in_one_network_of_ipv6_are_one() {
        let addresses = Addresses::new(Some(1));
        let _one = addresses.place(ip("2001:db8::1")).expect("free");
        assert!(addresses.place(ip("2001:db8::2")).is_err());
        assert!(addresses.place(ip("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn the_own_machine_and_load_tests_are_not_counted() {
        let (addresses, unlimited) = (Addresses::new(Some(1)), Addresses::new(None));
        let places: Vec<_> = (0..9)
            .flat_map(|_| {
                [addresses.place(ip("127.0.0.1")), addresses.place(ip("::1")), unlimited.place(ip("192.0.2.1"))]
            })
            .collect();
        assert!(places.iter().all(Result::is_ok));
    }
}
