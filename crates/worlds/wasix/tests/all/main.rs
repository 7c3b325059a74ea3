//! WASIX as its guests see it.

mod calls;
mod common;
mod threads;
