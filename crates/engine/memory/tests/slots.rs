//! The policy against a naive model of it.

mod common;

use common::Random;
use wasmoor_memory::slots::{Affinity, Choice, Former, SlotIndex, SlotPolicy};

/// The policy as its description says it, slot by slot.
struct Model {
    slots: Vec<State>,
    warm_max: Option<u32>,
    now: u64,
    /// Slots that became affine to nothing, the latest last.
    cold: Vec<u32>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    NeverUsed,
    Cold,
    Used,
    Warm { affinity: Affinity, since: u64 },
}

impl Model {
    fn new(slots_max: u32, warm_max: Option<u32>) -> Self {
        let slots = vec![State::NeverUsed; slots_max as usize];
        Model { slots, warm_max, now: 0, cold: Vec::new() }
    }

    fn warm(&self) -> Vec<(u64, usize, Affinity)> {
        let warm = self.slots.iter().enumerate().filter_map(|(slot, state)| match *state {
            State::Warm { affinity, since } => Some((since, slot, affinity)),
            _ => None,
        });
        let mut warm: Vec<_> = warm.collect();
        warm.sort();
        warm
    }

    fn take(&mut self, wanted: Affinity) -> Option<Choice> {
        let warm = self.warm();
        let (same, others): (Vec<_>, Vec<_>) =
            warm.into_iter().partition(|&(_, _, affinity)| affinity == wanted);
        let oldest = others.first().map(|&(_, slot, affinity)| (slot, Former::Other(affinity)));
        let too_many = self.warm_max.is_some_and(|max| others.len() > max as usize);
        let cold = self.cold.last().map(|&slot| slot as usize);
        let fresh = self.slots.iter().position(|&state| state == State::NeverUsed);
        let (slot, former) = if let Some(&(_, slot, _)) = same.last() {
            (slot, Former::Same)
        } else if too_many {
            oldest?
        } else if let Some(slot) = cold.or(fresh) {
            (slot, Former::Nothing)
        } else {
            self.warm_max.and(oldest)?
        };
        self.cold.retain(|&cold| cold as usize != slot);
        self.slots[slot] = State::Used;
        Some(Choice { slot: SlotIndex(slot as u32), former })
    }

    fn give(&mut self, slot: SlotIndex, affinity: Option<Affinity>) {
        self.now += 1;
        self.slots[slot.0 as usize] = match affinity {
            Some(affinity) => State::Warm { affinity, since: self.now },
            None => State::Cold,
        };
        if affinity.is_none() {
            self.cold.push(slot.0);
        }
    }

    fn forget(&mut self, wanted: Affinity) -> Vec<SlotIndex> {
        let mut slots: Vec<_> = self.warm();
        slots.retain(|&(_, _, affinity)| affinity == wanted);
        slots.iter().rev().for_each(|&(_, slot, _)| {
            self.slots[slot] = State::Cold;
            self.cold.push(slot as u32);
        });
        slots.iter().rev().map(|&(_, slot, _)| SlotIndex(slot as u32)).collect()
    }
}

#[test]
fn every_choice_is_the_models() {
    let configurations = [
        (1, Some(0)),
        (1, None),
        (4, Some(0)),
        (4, Some(2)),
        (4, None),
        (16, Some(1)),
        (16, Some(100)),
        (100, Some(20)),
        (100, None),
        (0, Some(0)),
    ];
    for (seed, (slots_max, warm_max)) in configurations.into_iter().enumerate() {
        let mut random = Random::new(seed as u64);
        let mut policy = SlotPolicy::new(slots_max, warm_max);
        let mut model = Model::new(slots_max, warm_max);
        let mut used: Vec<(SlotIndex, Affinity)> = Vec::new();
        let (mut refused, mut same, mut other) = (0, 0, 0);
        for step in 0..20_000 {
            let modules = 1 + u64::from(slots_max) / 2 * (1 + step / 4000);
            match random.below(20) {
                0 => {
                    let affinity = Affinity(random.below(modules));
                    assert_eq!(policy.forget(affinity), model.forget(affinity), "step {step}");
                }
                1..=10 => {
                    let affinity = Affinity(random.below(modules));
                    let choice = policy.take(affinity);
                    assert_eq!(choice, model.take(affinity), "{slots_max} {warm_max:?} {step}");
                    match choice {
                        Some(choice) => used.push((choice.slot, affinity)),
                        None => refused += 1,
                    }
                    same += u32::from(choice.is_some_and(|it| it.former == Former::Same));
                    other +=
                        u32::from(choice.is_some_and(|it| matches!(it.former, Former::Other(_))));
                }
                _ if used.is_empty() => {}
                _ => {
                    let at = random.below(used.len() as u64) as usize;
                    let (slot, affinity) = used.swap_remove(at);
                    let affinity = (random.below(10) != 0).then_some(affinity);
                    policy.give(slot, affinity);
                    model.give(slot, affinity);
                }
            }
            assert_eq!(policy.used() as usize, used.len());
            assert_eq!(policy.warm() as usize, model.warm().len());
        }
        if slots_max > 1 {
            let never_evicts = warm_max.is_none() || warm_max == Some(100);
            assert!(same > 100, "{slots_max} {warm_max:?}: {same} same, {refused} refused");
            assert!(other > 10 || never_evicts, "{slots_max} {warm_max:?}: {other} evicted");
            assert!(other == 0 || warm_max.is_some());
        }
    }
}

#[test]
#[should_panic(expected = "given back twice")]
fn a_slot_is_given_back_once() {
    let mut policy = SlotPolicy::new(2, None);
    let choice = policy.take(Affinity(1)).unwrap();
    policy.give(choice.slot, None);
    policy.give(choice.slot, Some(Affinity(1)));
}
