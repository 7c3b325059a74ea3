//! A port that compiles and can do nothing: the template of the next one.
//!
//! Replace the bodies; the head of the crate says what each function means.

pub(crate) mod code;
pub(crate) mod fault;
pub(crate) mod fork;
pub(crate) mod image;
pub(crate) mod kick;
pub(crate) mod memory_limit;
pub(crate) mod pagemap;
pub(crate) mod signals;
pub(crate) mod stack;
pub(crate) mod thread;
pub(crate) mod vm;

fn unsupported<T>() -> std::io::Result<T> {
    Err(std::io::Error::new(
        std::io::ErrorKind::Unsupported,
        "Wasmoor has no port to this operating system",
    ))
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_operation_answers_an_error() {
        let kinds = [
            super::vm::reserve(1).unwrap_err().kind(),
            super::code::SharedMemory::new(1).unwrap_err().kind(),
            super::image::ImageFile::new(1).unwrap_err().kind(),
            super::pagemap::own_pages(0..1, &mut []).unwrap_err().kind(),
            super::fault::install(|_| false).unwrap_err().kind(),
            super::fault::prepare_thread().unwrap_err().kind(),
            super::fork::fork().unwrap_err().kind(),
            super::kick::current_thread().unwrap_err().kind(),
        ];
        assert_eq!(kinds, [std::io::ErrorKind::Unsupported; 8]);
        assert!(super::memory_limit::bytes().is_none());
        assert!(super::stack::current_thread().is_empty());
        assert!(super::vm::page_bytes().is_power_of_two());
    }
}
