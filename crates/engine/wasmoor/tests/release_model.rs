//! Which instances are freed, against a naive model: after each of many random steps, the same
//! ones live. The tests run in the baseline, without a pool and with two kinds of pools.

#![cfg(feature = "baseline")]

#[path = "common/allocators.rs"]
mod allocators;

use std::collections::HashMap;
use wasmoor::*;

const CELLS: usize = 3;
const HOST_CELLS: usize = 3;

/// A module that imports a function, a table, a memory, a global and a tag, or some of them, and
/// exports what it has of its own (`f` answers `n`), and the imported function as `r`.
fn module_text(imports: [bool; 5]) -> String {
    let kinds = [
        r#"(func (import "" "") (result i32)) (export "r" (func 0))"#,
        r#"(table (import "" "") 0 funcref)"#,
        r#"(memory (import "" "") 0)"#,
        r#"(global (import "" "") (mut funcref))"#,
        r#"(tag (import "" "") (param funcref))"#,
    ];
    let imports = kinds.iter().zip(imports).filter(|(_, is_wanted)| *is_wanted);
    let imports: String = imports.map(|(text, _)| *text).collect();
    format!(
        r#"(module {imports}
        (table $t (export "t") {CELLS} funcref) (memory $m (export "m") 1)
        (global $g (export "g") (mut funcref) (ref.null func))
        (global $n (export "n") (mut i32) (i32.const 0))
        (tag (export "e") (param funcref))
        (func $f (export "f") (result i32) (i32.load $m (i32.const 0)))
        (elem (table $t) (i32.const 0) func $f)
        (func (export "number") (param i32) (i32.store $m (i32.const 0) (local.get 0)))
        (func (export "put") (param i32 funcref)
            (table.set $t (local.get 0) (local.get 1))))"#
    )
}

/// What the model knows of an instance: other instances by number.
struct Node {
    instance: Instance,
    is_held: bool,
    is_alive: bool,
    imports: Vec<usize>,
    /// Whose function it exports as `r`.
    reexported: Option<usize>,
    table: [Option<usize>; CELLS],
    global: Option<usize>,
}

struct Thrown {
    exception: ExnRef,
    is_held: bool,
    tag: Option<usize>,
    payload: Option<usize>,
}

#[derive(Default)]
struct Model {
    nodes: Vec<Node>,
    thrown: Vec<Thrown>,
    host_table: [Option<usize>; HOST_CELLS],
    host_global: Option<usize>,
    /// Cells with exceptions.
    stash: [Option<usize>; HOST_CELLS],
}

impl Model {
    /// Marks everything that can be reached, by looking at everything again until nothing changes.
    fn collect(&mut self) {
        let mut reached: Vec<bool> =
            self.nodes.iter().map(|node| node.is_alive && node.is_held).collect();
        for host in self.host_table.iter().chain([&self.host_global]).flatten() {
            reached[*host] = true;
        }
        for (at, thrown) in self.thrown.iter().enumerate() {
            if thrown.is_held || self.stash.contains(&Some(at)) {
                thrown.tag.iter().chain(&thrown.payload).for_each(|&node| reached[node] = true);
            }
        }
        loop {
            let before = reached.clone();
            for (node, _) in self.nodes.iter().zip(&before).filter(|(_, is_reached)| **is_reached) {
                let held = node.table.iter().chain([&node.global]).flatten();
                node.imports.iter().chain(held).for_each(|&to| reached[to] = true);
            }
            if before == reached {
                break;
            }
        }
        for (node, is_reached) in self.nodes.iter_mut().zip(reached) {
            assert!(node.is_alive || !is_reached, "the model never finds what is freed");
            node.is_alive = is_reached;
        }
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn one(&mut self, numbers: &[usize]) -> Option<usize> {
        (!numbers.is_empty()).then(|| numbers[self.below(numbers.len())])
    }
}

struct World {
    store: Store<()>,
    modules: HashMap<[bool; 5], Module>,
    engine: Engine,
    model: Model,
    random: Random,
    host_table: Table,
    host_global: Global,
    stash: Table,
    host_tag: Tag,
}

impl World {
    fn new(engine: &Engine, seed: u64) -> Result<World> {
        let mut store = Store::new(engine, ())?;
        let table = |element| TableType {
            element,
            minimum: HOST_CELLS as u64,
            maximum: None,
            index64: false,
        };
        let (null, ty) = (Val::FuncRef(None), FuncType::new([ValType::FUNCREF], []));
        let global = GlobalType { content: ValType::FUNCREF, mutable: true };
        Ok(World {
            host_table: Table::new(&mut store, table(RefType::FUNCREF), null)?,
            host_global: Global::new(&mut store, global, null)?,
            stash: Table::new(&mut store, table(RefType::EXNREF), Val::ExnRef(None))?,
            host_tag: Tag::new(&mut store, ty)?,
            store,
            modules: HashMap::new(),
            engine: engine.clone(),
            model: Model::default(),
            random: Random(seed),
        })
    }

    fn living(&self) -> Vec<usize> {
        let nodes = self.model.nodes.iter().enumerate();
        nodes.filter(|(_, node)| node.is_alive).map(|(at, _)| at).collect()
    }

    fn make(&mut self) -> Result<()> {
        let living = self.living();
        let wanted: [bool; 5] =
            std::array::from_fn(|_| self.random.below(6) == 0 && !living.is_empty());
        let (mut items, mut imports, mut reexported) = (Vec::new(), Vec::new(), None);
        for (name, _) in ["f", "t", "m", "g", "e"].into_iter().zip(wanted).filter(|(_, is)| *is) {
            let from = living[self.random.below(living.len())];
            let node = &self.model.nodes[from];
            let (mut name, mut owner) = (name, from);
            if let ("f", Some(original), 0) = (name, node.reexported, self.random.below(2)) {
                (name, owner) = ("r", original);
            }
            if name == "f" || name == "r" {
                reexported = Some(owner);
            }
            items.extend(node.instance.get_export(&self.store, name));
            imports.push(owner);
        }
        let engine = &self.engine;
        let module = self.modules.entry(wanted);
        let module = module.or_insert_with(|| Module::new(engine, module_text(wanted)).unwrap());
        let instance = Instance::new(&mut self.store, module, &items)?;
        let number = self.model.nodes.len();
        let set = instance.get_typed_func::<i32, ()>(&self.store, "number")?;
        set.call(&mut self.store, number as i32)?;
        let mut table = [None; CELLS];
        table[0] = Some(number);
        self.model.nodes.push(Node {
            instance,
            is_held: true,
            is_alive: true,
            imports,
            reexported,
            table,
            global: None,
        });
        Ok(())
    }

    /// A function, or null, and whose it is.
    fn any_func(&mut self) -> (Val, Option<usize>) {
        let living = self.living();
        let Some(from) = self.random.one(&living).filter(|_| self.random.below(2) > 0) else {
            return (Val::FuncRef(None), None);
        };
        let node = &self.model.nodes[from];
        let (name, owner) = match (node.reexported, self.random.below(2)) {
            (Some(original), 0) => ("r", original),
            _ => ("f", from),
        };
        let func = node.instance.get_func(&self.store, name).expect("an export");
        (Val::FuncRef(Some(func)), Some(owner))
    }

    fn set_reference(&mut self) -> Result<()> {
        let (value, owner) = self.any_func();
        let living = self.living();
        let (at, host_at) = (self.random.below(CELLS), self.random.below(HOST_CELLS));
        let way = self.random.below(5);
        match (self.random.one(&living), way) {
            (_, 0) => {
                self.host_table.set(&mut self.store, host_at as u64, value)?;
                self.model.host_table[host_at] = owner;
            }
            (_, 1) | (None, _) => {
                self.host_global.set(&mut self.store, value)?;
                self.model.host_global = owner;
            }
            (Some(holder), 2) => {
                let node = &mut self.model.nodes[holder];
                let global = node.instance.get_global(&self.store, "g").expect("an export");
                global.set(&mut self.store, value)?;
                node.global = owner;
            }
            (Some(holder), _) => {
                let node = &mut self.model.nodes[holder];
                let put = node.instance.get_func(&self.store, "put").expect("an export");
                put.call(&mut self.store, &[Val::I32(at as i32), value], &mut [])?;
                node.table[at] = owner;
            }
        }
        Ok(())
    }

    fn throw(&mut self) -> Result<()> {
        let (value, payload) = self.any_func();
        let living = self.living();
        let owner = self.random.one(&living).filter(|_| self.random.below(2) == 0);
        let tag = match owner {
            Some(at) => self.model.nodes[at].instance.get_tag(&self.store, "e").expect("an export"),
            None => self.host_tag,
        };
        let exception = ExnRef::new(&mut self.store, tag, &[value])?;
        self.model.thrown.push(Thrown { exception, is_held: true, tag: owner, payload });
        Ok(())
    }

    /// Moves an exception into a cell, or empties one.
    fn stash(&mut self) -> Result<()> {
        let thrown = self.model.thrown.iter().enumerate();
        let held: Vec<_> = thrown.filter(|(_, thrown)| thrown.is_held).map(|(at, _)| at).collect();
        let cell = self.random.below(HOST_CELLS);
        let chosen = self.random.one(&held).filter(|_| self.random.below(2) == 0);
        let exception = chosen.map(|at| self.model.thrown[at].exception);
        self.stash.set(&mut self.store, cell as u64, Val::ExnRef(exception))?;
        self.model.stash[cell] = chosen;
        if let Some(at) = self.random.one(&held) {
            self.model.thrown[at].exception.release(&self.store);
            self.model.thrown[at].is_held = false;
        }
        Ok(())
    }

    fn release(&mut self) -> Result<()> {
        let all: Vec<_> = (0..self.model.nodes.len()).collect();
        // Mostly one that lives; now and then one that may be gone.
        let candidates = if self.random.below(8) > 0 { self.living() } else { all };
        let Some(at) = self.random.one(&candidates) else { return Ok(()) };
        let (instance, is_alive) = (self.model.nodes[at].instance, self.model.nodes[at].is_alive);
        assert_eq!(instance.release(&mut self.store).is_ok(), is_alive);
        if is_alive {
            self.model.nodes[at].is_held = false;
            self.model.collect();
        }
        Ok(())
    }

    fn step(&mut self) -> Result<()> {
        match self.random.below(20) {
            // Between a few and a few dozen live at a time.
            0..6 if self.living().len() < 40 => self.make(),
            6..10 => self.set_reference(),
            10 => self.throw(),
            11..13 => self.stash(),
            13 => {
                self.store.free_released();
                self.model.collect();
                Ok(())
            }
            _ => self.release(),
        }
    }

    fn compare(&mut self) -> Result<()> {
        let living = self.living();
        for node in &self.model.nodes {
            assert_eq!(node.instance.is_alive(&self.store), node.is_alive);
        }
        assert_eq!(self.store.instances_living(), living.len());
        let meter = self.store.meter();
        assert_eq!(meter.memory_bytes, (living.len() as u64) << 16);
        let cells = living.len() * CELLS + 2 * HOST_CELLS;
        assert_eq!(meter.table_elements, cells as u64);
        let stats = self.engine.stats();
        assert_eq!((stats.instances, stats.memories), (living.len() as u64, living.len() as u64));
        assert_eq!(stats.tables, living.len() as u64 + 2);
        if let Some(at) = self.random.one(&living) {
            // What lives is whole: so are the functions that it imports and holds.
            let node = &self.model.nodes[at];
            let mut functions = vec![(node.instance.get_func(&self.store, "f"), Some(at))];
            functions.push((node.instance.get_func(&self.store, "r"), node.reexported));
            let table = node.instance.get_table(&self.store, "t").expect("an export");
            for (cell, &owner) in node.table.iter().enumerate() {
                let value = table.get(&self.store, cell as u64);
                let Some(Val::FuncRef(func)) = value else { panic!("{value:?}") };
                functions.push((func, owner));
            }
            for (func, owner) in functions {
                assert_eq!(func.is_some(), owner.is_some());
                if let (Some(func), Some(owner)) = (func, owner) {
                    let func = func.typed::<(), i32>(&self.store)?;
                    assert_eq!(func.call(&mut self.store, ())?, owner as i32);
                }
            }
        }
        Ok(())
    }
}

#[test]
fn baseline_the_same_instances_live_as_in_the_model() {
    let seed = raw::seed();
    for (name, engine) in allocators::allocators(Tier::Baseline) {
        eprintln!("{name}, WASMOOR_SEED={seed}");
        let mut world = World::new(&engine, seed).expect("a world");
        let mut most = 0;
        for step in 0..3000 {
            world.step().unwrap_or_else(|error| panic!("step {step}: {error:?}"));
            world.compare().unwrap_or_else(|error| panic!("step {step}: {error:?}"));
            most = most.max(world.living().len());
        }
        let freed = world.model.nodes.iter().filter(|node| !node.is_alive).count();
        assert!(freed > 100 && most > 10, "{name}: {freed} freed, {most} lived at once");
    }
}
