//! WASIX as its guests see it.

mod calls;
mod checkpoints;
mod common;
mod covered;
mod threads;
