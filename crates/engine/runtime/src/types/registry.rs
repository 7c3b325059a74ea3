//! The types of an engine: one identity for equal types, whatever module they come from.
//!
//! Types are registered as whole recursion groups. In a group's *canonical form* members are
//! named by their position and everything else by its registered name, so that two groups are
//! equal (`match-deftype`: equal up to unrolling) if their forms are, and a hash finds a group.
//!
//! ```text
//! groups   canonical form -> group         weak: whoever uses a group keeps it
//! types    id -> type, by name checked     the type as it is shown, and its display
//! group    keeps the groups it mentions; takes itself off both lists when nobody keeps it
//! ```
//!
//! A *display* lists a type's supertypes from the most general one down to itself; one look into
//! it decides subtyping (Cohen 1991). Machine code reads displays through function references.
//!
//! Ids are used again, which is safe for code and stores, because they keep the groups whose ids
//! they hold. Names ([`DefinedType`]) have a serial number in addition that is never used again:
//! a name of a type that is gone, or of another engine, is refused.
//!
//! `tests/types.rs` compiles this file once more, with a model checker's locks.

use super::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, Weak};
use wasmoor_abi::{
    CanonicalTypeId, CompositeKind, CompositeType, ConcreteType, DefinedType, FuncType, HeapType,
    SubType, TypeUse, ValType,
};

/// The types of an engine. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct TypeRegistry(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared(RwLock<Lists>);

#[derive(Debug, Default)]
struct Lists {
    groups: HashMap<Arc<[SubType]>, Weak<Group>>,
    types: Vec<Option<Listed>>,
    /// Ids without a type.
    free: Vec<u32>,
}

#[derive(Debug)]
struct Listed {
    name: DefinedType,
    data: Arc<TypeData>,
    group: Weak<Group>,
    /// In the group.
    position: u32,
}

/// What is known of a type.
#[derive(Debug)]
pub(super) struct TypeData {
    /// The type; what it mentions is named by [`TypeUse::Defined`].
    ty: SubType,
    /// See `wasmoor_abi::vmctx`: a count, then ids.
    display: Box<[u32]>,
}

impl TypeData {
    /// Number of supertypes.
    pub(super) fn depth(&self) -> usize {
        self.display.len() - 2
    }

    fn has_supertype(&self, id: CanonicalTypeId, depth: usize) -> bool {
        self.display.get(depth + 1) == Some(&id.0)
    }
}

/// A registered recursion group.
#[derive(Debug)]
pub(super) struct Group {
    registry: Arc<Shared>,
    form: Arc<[SubType]>,
    members: Box<[(DefinedType, Arc<TypeData>)]>,
    /// Kept because the members mention their types.
    mentioned: Vec<Arc<Group>>,
}

/// A type was named that the engine does not know (any more).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownType(pub TypeUse);

impl fmt::Display for UnknownType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UnknownType(ty) = self;
        match ty {
            TypeUse::Defined(_) => write!(
                f,
                "{ty} is no type of this engine: it is another engine's, or nobody has kept it"
            ),
            _ => write!(f, "{ty} is a type of a module, which has no meaning outside of it"),
        }
    }
}

impl std::error::Error for UnknownType {}

/// A type of an engine, which is kept as long as this value lives.
#[derive(Clone, Debug)]
pub struct RegisteredType {
    group: Arc<Group>,
    position: u32,
}

impl RegisteredType {
    /// All types of a group.
    pub(super) fn members(group: &Arc<Group>) -> impl Iterator<Item = RegisteredType> {
        let count = group.members.len() as u32;
        (0..count).map(|position| RegisteredType { group: Arc::clone(group), position })
    }

    pub(super) fn member(&self) -> &(DefinedType, Arc<TypeData>) {
        &self.group.members[self.position as usize]
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> DefinedType {
        self.member().0
    }

    /// Its number, as code compares it.
    #[must_use]
    pub fn id(&self) -> CanonicalTypeId {
        self.name().id
    }

    /// The type; what it mentions is named by [`TypeUse::Defined`].
    #[must_use]
    pub fn ty(&self) -> &SubType {
        &self.member().1.ty
    }

    /// The type as what references refer to.
    #[must_use]
    pub fn heap_type(&self) -> HeapType {
        let kind = self.ty().composite.kind();
        HeapType::Concrete(ConcreteType { kind, ty: TypeUse::Defined(self.name()) })
    }

    /// Whether this is the other type, or declared as a subtype of it.
    #[must_use]
    pub fn matches(&self, other: &RegisteredType) -> bool {
        let depth = other.member().1.depth();
        Arc::ptr_eq(&self.group.registry, &other.group.registry)
            && self.member().1.has_supertype(other.id(), depth)
    }

    /// Whether it is a type of this registry's engine.
    #[must_use]
    pub fn is_of(&self, registry: &TypeRegistry) -> bool {
        Arc::ptr_eq(&self.group.registry, &registry.0)
    }

    /// Address of its display, valid as long as the type is registered.
    pub(crate) fn display(&self) -> *const u32 {
        self.member().1.display.as_ptr()
    }
}

impl PartialEq for RegisteredType {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for RegisteredType {}

impl TypeRegistry {
    /// Registers a recursion group in its canonical form: members name each other by
    /// [`TypeUse::Rec`], other types by [`TypeUse::Defined`]. Answers its members in order.
    ///
    /// The group has been validated: a supertype comes before its subtypes and is of their kind.
    pub(super) fn register(&self, form: Vec<SubType>) -> Result<Arc<Group>, UnknownType> {
        // Groups are never dropped under a lock: that would take it again.
        let found = self.read().groups.get(&*form).cloned();
        if let Some(group) = found.as_ref().and_then(Weak::upgrade) {
            return Ok(group);
        }
        let mentioned = self.mentioned(&form)?;
        let mut lists = self.write();
        if let Some(group) = lists.groups.get(&*form).and_then(Weak::upgrade) {
            drop(lists);
            return Ok(group);
        }
        Ok(lists.add(&self.0, form.into(), mentioned))
    }

    /// The groups that types name, each once, kept from now on.
    fn mentioned(&self, form: &[SubType]) -> Result<Vec<Arc<Group>>, UnknownType> {
        let mut names = Vec::new();
        let mut unknown = None;
        for ty in form {
            ty.for_each_use(&mut |ty| match ty.ty {
                TypeUse::Defined(name) => names.push((name, ty.kind)),
                TypeUse::Rec(position) if (position as usize) < form.len() => {}
                TypeUse::Rec(_) | TypeUse::Index(_) => unknown = Some(UnknownType(ty.ty)),
            });
        }
        if let Some(unknown) = unknown {
            return Err(unknown);
        }
        names.sort_unstable_by_key(|(name, _)| (name.id, name.serial));
        names.dedup();
        let found: Vec<_> = {
            let lists = self.read();
            names
                .iter()
                .map(|&(name, kind)| lists.get(name, kind).map(|ty| ty.group.clone()))
                .collect()
        };
        let mut groups = Vec::new();
        for ((name, _), group) in names.iter().zip(found) {
            let group = group.and_then(|group| group.upgrade());
            groups.push(group.ok_or(UnknownType(TypeUse::Defined(*name)))?);
        }
        groups.sort_unstable_by_key(Arc::as_ptr);
        groups.dedup_by(|a, b| Arc::ptr_eq(a, b));
        Ok(groups)
    }

    /// Registers a function type that is a group of its own, final and without supertypes: what
    /// host functions have.
    ///
    /// # Errors
    /// When it mentions a type that this engine does not know.
    pub fn register_func(&self, ty: &FuncType) -> Result<RegisteredType, UnknownType> {
        let form = vec![SubType::alone(CompositeType::Func(ty.clone()))];
        Ok(RegisteredType { group: self.register(form)?, position: 0 })
    }

    /// The type with this name, kept from now on.
    ///
    /// # Errors
    /// When this engine does not know it.
    pub fn find(&self, ty: ConcreteType) -> Result<RegisteredType, UnknownType> {
        let unknown = UnknownType(ty.ty);
        let TypeUse::Defined(name) = ty.ty else { return Err(unknown) };
        let found =
            self.read().get(name, ty.kind).map(|found| (found.group.clone(), found.position));
        let (group, position) = found.ok_or(unknown)?;
        Ok(RegisteredType { group: group.upgrade().ok_or(unknown)?, position })
    }

    /// The type with this number, which the caller's store keeps.
    pub(crate) fn of_id(&self, id: CanonicalTypeId) -> Option<RegisteredType> {
        let (name, kind) = {
            let lists = self.read();
            let listed = lists.types.get(id.0 as usize)?.as_ref()?;
            (listed.name, listed.data.ty.composite.kind())
        };
        self.find(ConcreteType { kind, ty: TypeUse::Defined(name) }).ok()
    }

    /// Keeps the type that a type mentions, if it mentions one.
    ///
    /// # Errors
    /// When this engine does not know it.
    pub fn keep(&self, ty: ValType) -> Result<Option<RegisteredType>, UnknownType> {
        ty.as_concrete().map(|ty| self.find(ty)).transpose()
    }

    /// Whether every value of one type is a value of the other (`match-valtype`). Types that this
    /// engine does not know match nothing else.
    #[must_use]
    pub fn matches(&self, ty: ValType, other: ValType) -> bool {
        match (ty, other) {
            (ValType::Ref(ty), ValType::Ref(other)) => {
                ty.matches(other, |ty, other| self.concrete_matches(ty, other))
            }
            _ => ty == other,
        }
    }

    fn concrete_matches(&self, ty: ConcreteType, other: ConcreteType) -> bool {
        let (TypeUse::Defined(name), TypeUse::Defined(other_name)) = (ty.ty, other.ty) else {
            return false;
        };
        let lists = self.read();
        match (lists.get(name, ty.kind), lists.get(other_name, other.kind)) {
            (Some(ty), Some(other)) => ty.data.has_supertype(other.name.id, other.data.depth()),
            _ => false,
        }
    }

    /// Whether a function whose type has this number, which the caller's store keeps, belongs to
    /// a type.
    pub(crate) fn func_matches(&self, id: CanonicalTypeId, heap: HeapType) -> bool {
        let concrete = match heap {
            HeapType::Func => return true,
            HeapType::Concrete(concrete) => concrete,
            _ => return false,
        };
        let TypeUse::Defined(name) = concrete.ty else { return false };
        let lists = self.read();
        let found = lists.types.get(id.0 as usize).and_then(Option::as_ref);
        match (found, lists.get(name, concrete.kind)) {
            (Some(found), Some(wanted)) => {
                found.data.has_supertype(wanted.name.id, wanted.data.depth())
            }
            _ => false,
        }
    }

    /// Number of types that somebody keeps.
    #[must_use]
    pub fn len(&self) -> usize {
        let lists = self.read();
        lists.types.len() - lists.free.len()
    }

    /// Whether nobody keeps any type.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn read(&self) -> RwLockReadGuard<'_, Lists> {
        self.0.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Lists> {
        self.0.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lists {
    fn get(&self, name: DefinedType, kind: CompositeKind) -> Option<&Listed> {
        let listed = self.types.get(name.id.0 as usize)?.as_ref()?;
        (listed.name == name && listed.data.ty.composite.kind() == kind).then_some(listed)
    }

    fn new_name(&mut self) -> DefinedType {
        static NEXT_SERIAL: AtomicU64 = AtomicU64::new(1);
        let serial = NEXT_SERIAL.fetch_add(1, Ordering::Relaxed);
        let id = self.free.pop().unwrap_or_else(|| {
            self.types.push(None);
            // Memory ends long before 2^32 types.
            (self.types.len() - 1) as u32
        });
        DefinedType { id: CanonicalTypeId(id), serial }
    }

    /// Adds a group that is not in the lists; those it mentions are.
    fn add(
        &mut self,
        registry: &Arc<Shared>,
        form: Arc<[SubType]>,
        mentioned: Vec<Arc<Group>>,
    ) -> Arc<Group> {
        let names: Vec<DefinedType> = form.iter().map(|_| self.new_name()).collect();
        let mut members: Vec<(DefinedType, Arc<TypeData>)> = Vec::with_capacity(names.len());
        for (ty, &name) in form.iter().zip(&names) {
            let display = self.display(ty, name, &members);
            let ty = ty.map_uses(&mut |used| match used {
                TypeUse::Rec(position) => TypeUse::Defined(names[position as usize]),
                other => other,
            });
            members.push((name, Arc::new(TypeData { ty, display })));
        }
        let group = Arc::new(Group {
            registry: Arc::clone(registry),
            form: Arc::clone(&form),
            members: members.into(),
            mentioned,
        });
        for ((name, data), position) in group.members.iter().zip(0..) {
            let (name, data) = (*name, Arc::clone(data));
            let listed = Listed { name, data, group: Arc::downgrade(&group), position };
            self.types[name.id.0 as usize] = Some(listed);
        }
        self.groups.insert(form, Arc::downgrade(&group));
        group
    }

    /// The display of a type in canonical form whose supertype is listed, or is one of the group's
    /// `members` so far.
    fn display(
        &self,
        ty: &SubType,
        name: DefinedType,
        members: &[(DefinedType, Arc<TypeData>)],
    ) -> Box<[u32]> {
        let supertype = match ty.supertype {
            Some(TypeUse::Rec(position)) => members.get(position as usize).map(|(_, data)| data),
            Some(TypeUse::Defined(of)) => {
                self.get(of, ty.composite.kind()).map(|listed| &listed.data)
            }
            Some(TypeUse::Index(_)) | None => None,
        };
        let inherited = supertype.map_or(&[][..], |data| &data.display[1..]);
        let count = inherited.len() as u32 + 1;
        [count].iter().chain(inherited).chain(&[name.id.0]).copied().collect()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.leave_lists();
        // A chain of groups may be long: each is let go here, not by the one before it.
        let mut pending = std::mem::take(&mut self.mentioned);
        while let Some(group) = pending.pop() {
            if let Some(mut group) = Arc::into_inner(group) {
                pending.append(&mut group.mentioned);
            }
        }
    }
}

impl Group {
    fn leave_lists(&self) {
        let mut lists = self.registry.0.write().unwrap_or_else(PoisonError::into_inner);
        // An equal group may have been registered meanwhile, since this one was kept no more.
        if lists.groups.get(&self.form).is_some_and(|group| std::ptr::eq(group.as_ptr(), self)) {
            lists.groups.remove(&self.form);
        }
        for (name, _) in &self.members {
            lists.types[name.id.0 as usize] = None;
            lists.free.push(name.id.0);
        }
    }
}
