//! Containers in memory: round trips, and every flipped bit.

use super::*;
use crate::stored::CodeTier;
use wasmoor_abi::Tunables;

fn function(index: u32, tier: CodeTier, code: &[u8]) -> StoredFunction {
    StoredFunction {
        func: DefinedFuncIndex::from_u32(index),
        tier,
        align: 16,
        code: code.to_vec().into(),
        relocations: vec![1, 0, 0].into(),
        traps: vec![2, 1].into(),
        addresses: vec![0, 9, 4, 4].into(),
        handlers: vec![7, 7, 7].into(),
    }
}

fn here() -> Identity {
    Identity::here(&Tunables::default(), 3)
}

fn contents(code: &[StoredFunction]) -> Vec<u8> {
    let mut out = Vec::new();
    let wasm = b"the module";
    let contents = Contents {
        identity: here(),
        hash: &ModuleHash::of(wasm),
        functions: 5,
        description: b"description",
        skeleton: b"skeleton",
        facts: b"facts",
        code,
        images: &images(),
        wasm: Some(wasm),
    };
    contents.write(&mut out).expect("written");
    out
}

/// The first one is not whole pages, as that of a memory with small pages.
fn images() -> [StoredImage; 2] {
    [
        StoredImage { memory: 0, start: 8192, bytes: vec![7; 100] },
        StoredImage { memory: 2, start: 0, bytes: (0..4096).map(|at| at as u8).collect() },
    ]
}

fn wasm_of(container: Arc<Container>) -> Result<Arc<[u8]>, String> {
    let hash = container.hash().clone();
    HashedModule::new(hash, Box::new(move |buffer, at| container.read_wasm(buffer, at))).whole()
}

fn open(bytes: &[u8]) -> Result<Container, ContainerError> {
    Container::open(Box::new(Arc::<[u8]>::from(bytes)), &here())
}

#[test]
fn what_was_written_is_read() {
    let code = [function(3, CodeTier::Second, b"three"), function(0, CodeTier::First, b"zero")];
    let container = open(&contents(&code)).expect("sound");
    assert_eq!(&**container.description(), b"description");
    assert_eq!(&**container.skeleton(), b"skeleton");
    assert_eq!(&**container.facts(), b"facts");
    assert_eq!(container.all_if_small().as_deref(), Some(&code[..]));
    for expected in &code {
        assert_eq!(container.load(expected.func).as_ref(), Ok(&Some(expected.clone())));
        assert_eq!(container.tier_of(expected.func), Some(expected.tier));
    }
    assert_eq!(container.load(DefinedFuncIndex::from_u32(1)), Ok(None));
    assert_eq!(container.load(DefinedFuncIndex::from_u32(9)), Ok(None));
    assert!(!container.is_complete());
    container.check().expect("sound");
    assert_eq!(container.copy_images().expect("sound"), images());
    for (place, image) in container.images().iter().zip(images()) {
        assert_eq!((place.memory, place.start), (image.memory, image.start));
        assert!(place.offset.is_multiple_of(4096), "{place:?} can be mapped");
        let mut bytes = vec![0; image.bytes.len()];
        container.read_image(place, &mut bytes).expect("readable");
        assert_eq!(bytes, image.bytes);
    }
    assert_eq!(*wasm_of(container.into()).expect("sound"), b"the module"[..]);
}

/// The room that a large record took is not kept.
#[test]
fn large_records_leave_no_room_behind() {
    let large = vec![0x90; 16 * RECORD_BYTES_KEPT];
    let code = [function(1, CodeTier::First, &large)];
    let container = open(&contents(&code)).expect("sound");
    assert_eq!(container.load(code[0].func).as_ref(), Ok(&Some(code[0].clone())));
    let kept = RECORD.with_borrow(Vec::capacity);
    assert!(kept <= RECORD_BYTES_KEPT, "{kept} bytes");
}

/// A flipped bit anywhere is found: at opening, or when the function or the module is asked for.
#[test]
fn every_flipped_bit_is_found() {
    let code = [function(3, CodeTier::Second, b"three"), function(0, CodeTier::First, b"zero")];
    let good = contents(&code);
    let records = open(&good).expect("sound").header.section(SectionKind::Records);
    let wasm = open(&good).expect("sound").header.section(SectionKind::Wasm);
    let image = open(&good).expect("sound").header.section(SectionKind::Image);
    let table = open(&good).expect("sound").header.section(SectionKind::ImageTable);
    let index = open(&good).expect("sound").header.section(SectionKind::Index);
    let within =
        |section: Section, at: u64| (section.offset..section.offset + section.bytes).contains(&at);
    let pages = table.offset..image.offset + image.bytes;
    for bit in 0..good.len() * 8 {
        // Of whole pages one bit in each byte is enough.
        if pages.contains(&(bit as u64 / 8)) && bit % 8 != bit / 8 % 8 {
            continue;
        }
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let at = (bit / 8) as u64;
        match open(&bytes) {
            Err(_) => {
                let late = [records, wasm, image, index].iter().any(|&section| within(section, at));
                assert!(!late, "byte {at}");
            }
            Ok(container) if within(records, at) => {
                assert!(container.all_if_small().is_none(), "byte {at}");
                let damaged = code.iter().filter(|f| container.load(f.func).is_err()).count();
                assert_eq!(damaged, 1, "byte {at}");
            }
            Ok(container) if within(image, at) => {
                assert!(container.check().is_err(), "byte {at}");
                assert!(container.copy_images().is_err(), "byte {at}");
            }
            Ok(container) if within(index, at) => {
                assert!(container.check().is_err(), "byte {at}");
                assert!(code.iter().all(|f| container.load(f.func) == Ok(None)), "byte {at}");
                assert!(!container.is_complete() && container.functions().count() == 0);
            }
            Ok(container) if within(wasm, at) => {
                assert!(wasm_of(container.into()).is_err(), "byte {at}")
            }
            Ok(_) => panic!("a flipped bit in byte {at} is not found"),
        }
    }
}

#[test]
fn every_truncation_is_found() {
    let good = contents(&[function(3, CodeTier::Second, b"three")]);
    for len in 0..good.len() {
        assert!(open(&good[..len]).is_err(), "{len} bytes");
    }
    let longer = [&good[..], b"x"].concat();
    assert!(matches!(open(&longer), Err(ContainerError::Length { .. })));
}

/// Numbers that no writer writes, with right checksums, are refused and allocate little.
#[test]
fn made_up_numbers_are_refused() {
    let good = contents(&[function(3, CodeTier::Second, b"three")]);
    let forge = |change: &dyn Fn(&mut Header)| {
        let mut header = open(&good).expect("sound").header;
        change(&mut header);
        let mut bytes = good.clone();
        bytes[..HEADER_BYTES].copy_from_slice(&header.encode());
        let checked = open(&bytes).and_then(|container| container.check());
        checked.expect_err("forged")
    };
    forge(&|header| header.functions = u32::MAX);
    forge(&|header| header.functions = 3);
    forge(&|header| header.file_bytes = u64::MAX);
    forge(&|header| header.sections[1].bytes = u64::MAX);
    forge(&|header| header.sections[1].offset = u64::MAX);
    forge(&|header| header.sections[3].bytes -= 1);
    forge(&|header| header.sections[4].bytes = 1);
    let error = forge(&|header| header.identity.abi_version += 1);
    assert!(error.to_string().contains("was made by Wasmoor"), "{error}");
    let error = forge(&|header| header.identity.cpu = u64::MAX);
    assert!(error.to_string().contains("which this one lacks"), "{error}");
}
