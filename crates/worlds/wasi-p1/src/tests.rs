//! Tests of the functions on a memory made for the purpose, and of whole programs.

mod suite;
