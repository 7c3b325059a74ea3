//! Tests of the functions on a memory made for the purpose, and of whole programs.

mod any_arguments;
mod builder;
mod descriptors;
mod guest;
mod layouts;
mod limits;
mod listings;
mod path_calls;
mod polls;
mod read_only;
mod socket_calls;
mod suite;
