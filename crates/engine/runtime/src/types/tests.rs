//! Identity, subtyping and lifetime of registered types.

use super::{RegisteredType, TypeRegistry, UnknownType};
use std::sync::Barrier;
use wasmoor_abi::{
    CompositeKind, CompositeType, ConcreteType, FieldType, FuncType, HeapType, RefType,
    StorageType, SubType, TypeUse, ValType,
};

fn func_of(uses: &[TypeUse]) -> CompositeType {
    let param = |&ty: &TypeUse| {
        let heap = HeapType::Concrete(ConcreteType { kind: CompositeKind::Func, ty });
        ValType::Ref(RefType { nullable: true, heap })
    };
    CompositeType::Func(FuncType::new(uses.iter().map(param), []))
}

fn open(supertype: Option<&RegisteredType>, composite: CompositeType) -> SubType {
    let supertype = supertype.map(|ty| TypeUse::Defined(ty.name()));
    SubType { is_final: false, supertype, composite }
}

fn register(registry: &TypeRegistry, form: Vec<SubType>) -> Vec<RegisteredType> {
    let group = registry.register(form).expect("all mentioned types are known");
    RegisteredType::members(&group).collect()
}

fn one(registry: &TypeRegistry, ty: SubType) -> RegisteredType {
    register(registry, vec![ty]).remove(0)
}

#[test]
fn equal_groups_are_one_and_others_are_not() {
    let types = TypeRegistry::default();
    let empty = SubType::alone(func_of(&[]));
    let alone = one(&types, empty.clone());
    assert_eq!(alone, one(&types, empty.clone()));
    assert_eq!(alone, types.register_func(&FuncType::new([], [])).unwrap());
    // The same types in a group of two are others, and the two are two.
    let pair = register(&types, vec![empty.clone(), empty]);
    assert!(pair[0] != alone && pair[0] != pair[1]);
    // A type that mentions itself, one that mentions its neighbour, one that mentions the first.
    let itself = one(&types, SubType::alone(func_of(&[TypeUse::Rec(0)])));
    assert_eq!(itself, one(&types, SubType::alone(func_of(&[TypeUse::Rec(0)]))));
    let mention = |position| SubType::alone(func_of(&[TypeUse::Rec(position)]));
    let crossed = register(&types, vec![mention(1), mention(0)]);
    let straight = register(&types, vec![mention(0), mention(1)]);
    assert!(crossed.iter().all(|ty| !straight.contains(ty) && *ty != itself));
    let outside = one(&types, SubType::alone(func_of(&[TypeUse::Defined(itself.name())])));
    assert!(outside != itself, "types are equal by their groups, not by their unrolled trees");
    // Open and final types differ, too.
    assert!(one(&types, open(None, func_of(&[]))) != alone);
}

#[test]
fn subtypes_are_known_by_declaration_alone_however_deep() {
    let types = TypeRegistry::default();
    let mut chain = vec![one(&types, open(None, func_of(&[])))];
    for depth in 1..64 {
        chain.push(one(&types, open(chain.last(), func_of(&[]))));
        assert_eq!(chain[depth].member().1.depth(), depth);
    }
    for (low, ty) in chain.iter().enumerate() {
        for (high, other) in chain.iter().enumerate() {
            assert_eq!(ty.matches(other), low >= high, "{low} {high}");
            assert_eq!(types.func_matches(ty.id(), other.heap_type()), low >= high);
            let of = |ty: &RegisteredType| {
                ValType::Ref(RefType { nullable: false, heap: ty.heap_type() })
            };
            assert_eq!(types.matches(of(ty), of(other)), low >= high);
        }
    }
    // The same shape under another parent.
    let other = one(&types, open(Some(&chain[0]), func_of(&[TypeUse::Defined(chain[0].name())])));
    assert!(other.matches(&chain[0]) && !other.matches(&chain[1]));
    assert!(!types.func_matches(other.id(), HeapType::NoFunc));
    assert!(types.func_matches(other.id(), HeapType::Func));
}

#[test]
fn supertypes_inside_a_group_count() {
    let types = TypeRegistry::default();
    let child =
        SubType { is_final: true, supertype: Some(TypeUse::Rec(0)), composite: func_of(&[]) };
    let group = register(&types, vec![open(None, func_of(&[])), child]);
    assert!(group[1].matches(&group[0]) && !group[0].matches(&group[1]));
    assert_eq!(group[1].ty().supertype, Some(TypeUse::Defined(group[0].name())));
}

#[test]
fn types_go_when_nobody_keeps_them_and_their_names_stay_dead() {
    let types = TypeRegistry::default();
    let root = one(&types, open(None, func_of(&[])));
    let child = one(&types, open(Some(&root), func_of(&[])));
    let root_name = root.heap_type();
    drop(root);
    assert_eq!(types.len(), 2, "the child keeps its parent");
    drop(child);
    assert!(types.is_empty());
    let HeapType::Concrete(dead) = root_name else { unreachable!() };
    assert_eq!(types.find(dead).unwrap_err(), UnknownType(dead.ty));
    // Its number is used again, its name is not.
    let again = one(&types, open(None, func_of(&[])));
    assert!(again.heap_type() != root_name);
    assert!(types.find(dead).is_err());
    let mention = FuncType::new([ValType::Ref(RefType { nullable: true, heap: root_name })], []);
    assert_eq!(types.register_func(&mention).unwrap_err(), UnknownType(dead.ty));
    let wanted = ValType::Ref(RefType { nullable: true, heap: again.heap_type() });
    assert!(!types.matches(mention.params[0], wanted));
}

#[test]
fn names_of_other_engines_modules_and_kinds_are_refused() {
    let (types, others) = (TypeRegistry::default(), TypeRegistry::default());
    let own = one(&types, open(None, func_of(&[])));
    let foreign = one(&others, open(None, func_of(&[])));
    assert_eq!(own.id(), foreign.id(), "the numbers alone do not tell");
    assert!(!own.matches(&foreign) && own != foreign);
    assert!(foreign.is_of(&others) && !foreign.is_of(&types));
    let kind = CompositeKind::Func;
    let uses = [
        TypeUse::Defined(foreign.name()),
        TypeUse::Index(wasmoor_abi::TypeIndex::from_u32(0)),
        TypeUse::Rec(1),
    ];
    for ty in uses {
        assert_eq!(types.find(ConcreteType { kind, ty }).unwrap_err(), UnknownType(ty));
        let form = vec![SubType::alone(func_of(&[ty]))];
        assert_eq!(types.register(form).unwrap_err(), UnknownType(ty));
    }
    let ty = TypeUse::Defined(own.name());
    let as_struct = ConcreteType { kind: CompositeKind::Struct, ty };
    assert_eq!(types.find(as_struct).unwrap_err(), UnknownType(ty));
}

/// RT-04: types of every kind whose supertype, field or element is another engine's.
#[test]
fn types_that_stand_on_other_engines_are_refused() {
    let (types, others) = (TypeRegistry::default(), TypeRegistry::default());
    let content = |heap| ValType::Ref(RefType { nullable: true, heap });
    let field = |heap| FieldType { storage: StorageType::Val(content(heap)), mutable: true };
    let plain = FieldType { storage: StorageType::I8, mutable: false };
    let composites = |heap| {
        [
            CompositeType::Func(FuncType::new([], [content(heap)])),
            CompositeType::Struct(Box::new([plain, field(heap)])),
            CompositeType::Array(field(heap)),
        ]
    };
    let kinds = [
        CompositeType::Func(FuncType::new([], [])),
        CompositeType::Struct(Box::new([plain])),
        CompositeType::Array(plain),
    ];
    for kind in kinds {
        // Registered in the same order: numbers are equal.
        let (own, foreign) =
            (one(&types, open(None, kind.clone())), one(&others, open(None, kind.clone())));
        assert_eq!(own.id(), foreign.id());
        let unknown = UnknownType(TypeUse::Defined(foreign.name()));
        let below = open(Some(&foreign), kind.clone());
        assert_eq!(types.register(vec![below]).unwrap_err(), unknown, "{kind}");
        for composite in composites(foreign.heap_type()) {
            let alone = SubType::alone(composite.clone());
            assert_eq!(types.register(vec![alone.clone()]).unwrap_err(), unknown, "{composite}");
            let in_a_group = vec![SubType::alone(kind.clone()), alone];
            assert_eq!(types.register(in_a_group).unwrap_err(), unknown, "{composite}");
        }
        one(&types, open(Some(&own), kind));
        for composite in composites(own.heap_type()) {
            one(&types, SubType::alone(composite));
        }
    }
    assert!(types.is_empty(), "what was refused has left nothing");
}

/// RT-06: dropping one group after the other must not need stack for each.
#[test]
fn long_chains_of_groups_are_let_go() {
    const LENGTH: usize = 1_000_000;
    let types = TypeRegistry::default();
    let mut last = one(&types, SubType::alone(func_of(&[])));
    for _ in 1..LENGTH {
        last = one(&types, SubType::alone(func_of(&[TypeUse::Defined(last.name())])));
    }
    assert_eq!(types.len(), LENGTH);
    let thread = std::thread::Builder::new().stack_size(64 << 10).spawn(move || drop(last));
    thread.expect("a thread").join().expect("no overflow");
    assert!(types.is_empty());
}

/// Threads register and drop the same chains of types; whoever holds equal types at one time holds
/// the same ones.
#[test]
fn threads_register_and_drop_at_the_same_time() {
    const THREADS: usize = 8;
    let types = TypeRegistry::default();
    let barrier = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (types, barrier) = (&types, &barrier);
            scope.spawn(move || {
                for round in 0..300 {
                    let root = one(types, open(None, func_of(&[])));
                    let child = one(types, open(Some(&root), func_of(&[])));
                    let self_mention = SubType::alone(func_of(&[TypeUse::Rec(0)]));
                    let itself = one(types, self_mention.clone());
                    drop(root);
                    let root = one(types, open(None, func_of(&[])));
                    assert!(child.matches(&root), "thread {thread}, round {round}");
                    assert!(types.func_matches(child.id(), root.heap_type()));
                    assert_eq!(itself, one(types, self_mention));
                    assert_eq!(types.of_id(child.id()).as_ref(), Some(&child));
                    if round % 50 == 0 {
                        barrier.wait();
                    }
                }
            });
        }
    });
    assert!(types.is_empty());
}
