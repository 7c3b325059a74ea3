//! Which slot of a pool the next instance gets: a policy without any memory, so that it can be
//! held against a naive model (`tests/slots.rs`).
//!
//! A slot is *affine* to the module whose instance used it last: to give it to another instance of
//! that module changes the least. The choice, in this order:
//!
//! 1. the most recently used of the unused slots that are affine to the module: its pages are
//!    most likely to be in the caches;
//! 2. when more than `warm_max` unused slots are affine to other modules, the one of them that was
//!    used least recently;
//! 3. a slot that is affine to nothing;
//! 4. the least recently used of those affine to other modules, unless `warm_max` is infinite.
//!
//! So with `warm_max = 0` memory that is warm is always used again, and with an infinite one no
//! module ever loses a slot to another.
//!
//! The unused affine slots are in two doubly linked lists, both from the least to the most
//! recently used: one of all of them, and one per module. Every operation takes constant time.

use std::collections::HashMap;

/// A module (and its memories), as the policy knows it: never used for two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Affinity(pub u64);

/// Number of a slot, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotIndex(pub u32);

/// A slot was chosen, and this is how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The slot, now in use.
    pub slot: SlotIndex,
    /// What it was before.
    pub former: Former,
}

/// What a chosen slot was affine to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Former {
    /// The module that it was chosen for.
    Same,
    /// Another module.
    Other(Affinity),
    /// Nothing.
    Nothing,
}

/// The state of the slots; see the head of this module.
#[derive(Debug)]
pub struct SlotPolicy {
    slots_max: u32,
    warm_max: Option<u32>,
    /// Slots that have been used; the others are affine to nothing.
    slots: Vec<Slot>,
    /// Unused ones among them that are affine to nothing; the last is taken first.
    cold: Vec<SlotIndex>,
    warm: List,
    warm_by_affinity: HashMap<Affinity, List>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Of an unused slot.
    affinity: Option<Affinity>,
    is_used: bool,
    /// In the list of all, and in that of the module.
    links: [Links; 2],
}

#[derive(Clone, Copy, Debug, Default)]
struct Links {
    older: Option<SlotIndex>,
    newer: Option<SlotIndex>,
}

#[derive(Clone, Copy, Debug, Default)]
struct List {
    oldest: Option<SlotIndex>,
    newest: Option<SlotIndex>,
    len: u32,
}

/// Which of a slot's links a list uses.
#[derive(Clone, Copy)]
enum Kind {
    All = 0,
    Module = 1,
}

impl SlotPolicy {
    /// No slot is in use. `warm_max`: see the head of this module; `None` is infinite.
    #[must_use]
    pub fn new(slots_max: u32, warm_max: Option<u32>) -> Self {
        SlotPolicy {
            slots_max,
            warm_max,
            slots: Vec::new(),
            cold: Vec::new(),
            warm: List::default(),
            warm_by_affinity: HashMap::new(),
        }
    }

    /// Chooses a slot for a module; `None`: there is none.
    pub fn take(&mut self, affinity: Affinity) -> Option<Choice> {
        let same = self.warm_by_affinity.get(&affinity).and_then(|list| list.newest);
        let choice = if let Some(slot) = same {
            self.unlink(slot);
            Choice { slot, former: Former::Same }
        } else if self.warm_max.is_some_and(|max| self.warm.len > max) {
            self.take_oldest()?
        } else if let Some(slot) = self.take_cold() {
            Choice { slot, former: Former::Nothing }
        } else if self.warm_max.is_some() {
            self.take_oldest()?
        } else {
            return None;
        };
        self.slot(choice.slot).is_used = true;
        Some(choice)
    }

    /// Gives a slot back, affine to the module that used it, or to nothing.
    ///
    /// # Panics
    /// When the slot is not in use.
    pub fn give(&mut self, slot: SlotIndex, affinity: Option<Affinity>) {
        let state = self.slot(slot);
        assert!(state.is_used, "a slot was given back twice");
        state.is_used = false;
        state.affinity = affinity;
        match affinity {
            None => self.cold.push(slot),
            Some(affinity) => {
                push(&mut self.slots, &mut self.warm, Kind::All, slot);
                let list = self.warm_by_affinity.entry(affinity).or_default();
                push(&mut self.slots, list, Kind::Module, slot);
            }
        }
    }

    /// The unused slots of a module become affine to nothing. Answers which they are.
    pub fn forget(&mut self, affinity: Affinity) -> Vec<SlotIndex> {
        let mut slots = Vec::new();
        while let Some(slot) = self.warm_by_affinity.get(&affinity).and_then(|list| list.newest) {
            self.unlink(slot);
            self.cold.push(slot);
            slots.push(slot);
        }
        slots
    }

    /// All unused slots become affine to nothing. Answers which they are.
    pub fn forget_all(&mut self) -> Vec<SlotIndex> {
        let mut slots = Vec::new();
        while let Some(slot) = self.warm.newest {
            self.unlink(slot);
            self.cold.push(slot);
            slots.push(slot);
        }
        slots
    }

    /// Unused slots that are affine to a module.
    #[must_use]
    pub fn warm(&self) -> u32 {
        self.warm.len
    }

    /// Slots in use.
    #[must_use]
    pub fn used(&self) -> u32 {
        (self.slots.len() - self.cold.len()) as u32 - self.warm.len
    }

    fn take_oldest(&mut self) -> Option<Choice> {
        let slot = self.warm.oldest?;
        let affinity = self.unlink(slot)?;
        Some(Choice { slot, former: Former::Other(affinity) })
    }

    fn take_cold(&mut self) -> Option<SlotIndex> {
        self.cold.pop().or_else(|| {
            let slot = u32::try_from(self.slots.len()).ok().filter(|&len| len < self.slots_max)?;
            self.slots.push(Slot::default());
            Some(SlotIndex(slot))
        })
    }

    /// Takes a warm slot off its lists; its affinity ends.
    fn unlink(&mut self, slot: SlotIndex) -> Option<Affinity> {
        let affinity = self.slot(slot).affinity.take()?;
        remove(&mut self.slots, &mut self.warm, Kind::All, slot);
        if let Some(list) = self.warm_by_affinity.get_mut(&affinity) {
            remove(&mut self.slots, list, Kind::Module, slot);
            if list.len == 0 {
                self.warm_by_affinity.remove(&affinity);
            }
        }
        Some(affinity)
    }

    fn slot(&mut self, slot: SlotIndex) -> &mut Slot {
        &mut self.slots[slot.0 as usize]
    }
}

fn links(slots: &mut [Slot], slot: SlotIndex, kind: Kind) -> &mut Links {
    &mut slots[slot.0 as usize].links[kind as usize]
}

fn push(slots: &mut [Slot], list: &mut List, kind: Kind, slot: SlotIndex) {
    *links(slots, slot, kind) = Links { older: list.newest, newer: None };
    match list.newest {
        Some(newest) => links(slots, newest, kind).newer = Some(slot),
        None => list.oldest = Some(slot),
    }
    list.newest = Some(slot);
    list.len += 1;
}

fn remove(slots: &mut [Slot], list: &mut List, kind: Kind, slot: SlotIndex) {
    let Links { older, newer } = std::mem::take(links(slots, slot, kind));
    match older {
        Some(older) => links(slots, older, kind).newer = newer,
        None => list.oldest = newer,
    }
    match newer {
        Some(newer) => links(slots, newer, kind).older = older,
        None => list.newest = older,
    }
    list.len -= 1;
}
