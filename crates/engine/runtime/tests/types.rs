//! Types are registered and dropped by several threads at a time, in whatever order they run: a
//! model checker tries the orders. Whoever holds equal types holds the same one, a number is never
//! used again while somebody holds its type, names of types that are gone stay dead, and in the
//! end nothing is left (RT-05).
//!
//! The registry is compiled here once more, with the checker's locks in place of the system's.

#[path = "../src/types/registry.rs"]
#[allow(dead_code, unreachable_pub, reason = "not everything is modelled; a module of the crate")]
mod registry;

mod sync {
    pub(crate) use loom::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
}

use loom::thread;
use registry::{RegisteredType, TypeRegistry};
use wasmoor_abi::{
    CompositeKind, CompositeType, ConcreteType, DefinedType, FuncType, HeapType, RefType, SubType,
    TypeUse, ValType,
};

/// Times that a thread may be taken off the processor in the middle of something.
const PREEMPTIONS_MAX: usize = 3;

fn explore(model: impl Fn(&TypeRegistry) + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS_MAX);
    builder.check(move || {
        let types = TypeRegistry::default();
        model(&types);
        assert!(types.is_empty(), "a type is left");
    });
}

fn func(params: &[ValType]) -> CompositeType {
    CompositeType::Func(FuncType::new(params.iter().copied(), []))
}

fn reference(ty: TypeUse) -> ValType {
    let heap = HeapType::Concrete(ConcreteType { kind: CompositeKind::Func, ty });
    ValType::Ref(RefType { nullable: true, heap })
}

fn one(types: &TypeRegistry, ty: SubType) -> RegisteredType {
    let group = types.register(vec![ty]).expect("all that it mentions is kept");
    RegisteredType::members(&group).next().expect("a group of one")
}

/// A type that others may be declared under.
fn root(types: &TypeRegistry) -> RegisteredType {
    one(types, SubType { is_final: false, supertype: None, composite: func(&[]) })
}

fn child(types: &TypeRegistry, of: &RegisteredType) -> RegisteredType {
    let supertype = Some(TypeUse::Defined(of.name()));
    one(types, SubType { is_final: false, supertype, composite: func(&[]) })
}

/// One that has nothing to do with the others.
fn stranger(types: &TypeRegistry) -> RegisteredType {
    one(types, SubType::alone(func(&[ValType::I64])))
}

fn find(types: &TypeRegistry, name: DefinedType) -> Option<RegisteredType> {
    let ty = ConcreteType { kind: CompositeKind::Func, ty: TypeUse::Defined(name) };
    types.find(ty).ok()
}

/// What must be true of a type that somebody holds.
fn check_held(types: &TypeRegistry, held: &RegisteredType) {
    assert_eq!(types.of_id(held.id()).as_ref(), Some(held), "its number means it");
    assert_eq!(find(types, held.name()).as_ref(), Some(held), "its name means it");
    assert!(types.func_matches(held.id(), held.heap_type()));
}

#[test]
fn equal_types_of_two_threads_are_one() {
    explore(|types| {
        let spawn = || {
            let types = types.clone();
            thread::spawn(move || root(&types))
        };
        let [one, other] = [spawn(), spawn()].map(|thread| thread.join().expect("no panic"));
        assert_eq!(one, other);
        assert!(one.matches(&other));
        check_held(types, &one);
    });
}

#[test]
fn a_type_is_dropped_while_it_is_registered_again() {
    explore(|types| {
        let first = root(types);
        let dead = first.name();
        let dropping = thread::spawn(move || drop(first));
        let again = {
            let types = types.clone();
            thread::spawn(move || {
                let again = root(&types);
                check_held(&types, &again);
                again
            })
        };
        dropping.join().expect("no panic");
        let again = again.join().expect("no panic");
        check_held(types, &again);
        // The first one was found while it was there, or it is another with another name.
        assert_eq!(find(types, dead).is_some(), again.name() == dead);
        assert_eq!(root(types), again, "the one that left has not taken the other off the list");
    });
}

#[test]
fn a_number_is_used_again_by_nobody_while_its_type_is_held() {
    explore(|types| {
        let (kept, dropped) = (root(types), stranger(types));
        let dead = dropped.name();
        let dropping = thread::spawn(move || drop(dropped));
        let making = {
            let types = types.clone();
            thread::spawn(move || {
                let made = one(&types, SubType::alone(func(&[ValType::F32])));
                check_held(&types, &made);
                // A name means its own type or nothing.
                let found = find(&types, dead).map(|found| found.name());
                assert!(found.is_none_or(|found| found == dead));
                assert!(!types.matches(
                    reference(TypeUse::Defined(dead)),
                    reference(TypeUse::Defined(made.name()))
                ));
                made
            })
        };
        check_held(types, &kept);
        dropping.join().expect("no panic");
        let made = making.join().expect("no panic");
        assert!(made.id() != kept.id());
        assert!(find(types, dead).is_none());
        check_held(types, &made);
        check_held(types, &kept);
    });
}

/// A subtype keeps its supertype, which others register and drop meanwhile.
#[test]
fn a_chain_is_built_and_let_go_by_two_threads() {
    explore(|types| {
        let spawn = || {
            let types = types.clone();
            thread::spawn(move || {
                let top = root(&types);
                let below = child(&types, &top);
                drop(top);
                check_held(&types, &below);
                let top = root(&types);
                assert!(below.matches(&top) && !top.matches(&below));
                assert!(types.func_matches(below.id(), top.heap_type()));
                below
            })
        };
        let [one, other] = [spawn(), spawn()].map(|thread| thread.join().expect("no panic"));
        assert_eq!(one, other);
    });
}
