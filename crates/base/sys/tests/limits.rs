//! Limits on address space.

#![cfg(target_os = "linux")]

mod common;

use common::{in_own_process, limit};
use rustix::process::Resource;
use wasmoor_sys::poll::PollRegion;
use wasmoor_sys::stack::HostStack;
use wasmoor_sys::vm::Reservation;

#[test]
fn refused_address_space_is_an_error() {
    in_own_process("refused_address_space_is_an_error", || {
        limit(Resource::As, common::address_space_bytes() + (16 << 20));
        assert!(Reservation::new(64 << 20).is_err());
        assert!(HostStack::new(64 << 20).is_err());
        let regions: Vec<_> = (0..1000).map_while(|_| PollRegion::new().ok()).collect();
        assert!((1..1000).contains(&regions.len()), "{} poll regions", regions.len());
        drop(regions);
        assert!(HostStack::new(1 << 20).is_ok());
    });
}
