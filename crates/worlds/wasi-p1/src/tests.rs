//! Tests of the functions on a memory made for the purpose, and of whole programs.
//!
//! Among them is a test for each advisory about other runtimes that concerns preview 1 (`attacks`
//! is `tests/attacks.rs` of the host core):
//!
//! | advisory | what went wrong there | tests |
//! | --- | --- | --- |
//! | GHSA-vqjp-4c8c-hfgg, GHSA-m9f7-9w4p-gv38 | trailing slashes led out | `attacks::nothing_reaches_the_secret` |
//! | GHSA-55f3-3qvg-8pv5 | creation followed links out | `attacks`, operations `create ...` |
//! | GHSA-4mq4-7rw3-vm5j | the current directory was open | `builder::nothing_is_granted_by_default`, `builder::an_inherited_folder_is_no_mount` |
//! | GHSA-2r75-cxrj-cmph | truncation through a read-only grant | `read_only::every_way_to_open_and_change` |
//! | GHSA-4ch3-9j33-3pmj | links from read-only to writable | `read_only::nothing_is_smuggled_into_a_writable_mount` |
//! | GHSA-c2f5-jxjv-2hh8, GHSA-hxf5-99xg-86hw | device names of Windows | `names` of the host core |
//! | GHSA-96f6-r43r-8c24 | padding showed host memory | `layouts::every_byte_and_no_other`, `listings` |
//! | GHSA-fm79-3f68-h2fc | `fd_renumber` panicked | `table::renumber_all_pairs` of the host core |
//! | GHSA-3p27-qvp9-27qf | `fd_renumber` leaked | `descriptors::a_hundred_thousand_opens_leave_nothing` |
//! | GHSA-852m-cvvp-9p4w, GHSA-j366-h8gg-77pm | allocations sized by the guest | `any_arguments`, `limits` |
//! | GHSA-gqmc-89g8-p25r | closed streams took any size | `descriptors::sizes` |
//! | GHSA-j2g9-4prp-pf6h | times out of range panicked | `descriptors::times_of_any_kind` |
//! | GHSA-mr2v-56j5-cmfc | files older than 1970 panicked | `descriptors::files_of_any_age` |
//! | GHSA-c827-hfw6-qwvm | listings did not end after errors | `directory::errors_end_it` of the host core |

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
