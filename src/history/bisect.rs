//! Where a property of the states of a log changes.
//!
//! What is asked of a state is the caller's; here is which states are asked. Halving asks both ends
//! and then between them: that finds one change, and the only one where a property that has come
//! stays. A state of which it cannot be known, because a page of it is gone, is passed over, and is
//! never taken for one that has the property or for one that has it not.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Whether a state has the property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// It has.
    Yes,
    /// It has not.
    No,
    /// That cannot be known.
    Unknown,
}

/// Two states, one of which has the property; it is not known of any between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The earlier one.
    pub from: u32,
    /// The later one.
    pub to: u32,
    /// Whether it is the later one that has the property.
    pub comes: bool,
    /// All states between were asked.
    pub is_settled: bool,
}

impl Turn {
    /// The state that made the change, where no other can be.
    #[must_use]
    pub fn exact(&self) -> Option<u32> {
        (self.to == self.from + 1).then_some(self.to)
    }
}

/// What was asked of the states of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    range: RangeInclusive<u32>,
    states: BTreeMap<u32, Holds>,
}

impl Asked {
    /// Asks both ends of `range`, and then what is between them until a change is found. Where the
    /// first state is not known, the search begins at the earliest that halving finds to be known.
    /// Nothing more is asked where the last one is not known.
    ///
    /// # Errors
    /// Whatever `ask` reports.
    pub fn by_halves<E>(
        range: RangeInclusive<u32>,
        ask: &mut dyn FnMut(u32) -> Result<Holds, E>,
    ) -> Result<Self, E> {
        let (first, last) = range.clone().into_inner();
        let mut asked = Self { range, states: BTreeMap::new() };
        if asked.ask(last, ask)? == Holds::Unknown {
            return Ok(asked);
        }
        asked.find_earliest(first, last, ask)?;
        while let Some(state) = asked.next_between() {
            asked.ask(state, ask)?;
        }
        Ok(asked)
    }

    /// Asks every state of `range`.
    ///
    /// # Errors
    /// Whatever `ask` reports.
    pub fn each<E>(
        range: RangeInclusive<u32>,
        ask: &mut dyn FnMut(u32) -> Result<Holds, E>,
    ) -> Result<Self, E> {
        let mut asked = Self { range: range.clone(), states: BTreeMap::new() };
        for state in range {
            asked.ask(state, ask)?;
        }
        Ok(asked)
    }

    fn ask<E>(
        &mut self,
        state: u32,
        ask: &mut dyn FnMut(u32) -> Result<Holds, E>,
    ) -> Result<Holds, E> {
        if let Some(known) = self.states.get(&state) {
            return Ok(*known);
        }
        let holds = ask(state)?;
        self.states.insert(state, holds);
        Ok(holds)
    }

    /// Asks until a state is known whose predecessor is not, or the first one is known.
    fn find_earliest<E>(
        &mut self,
        first: u32,
        last: u32,
        ask: &mut dyn FnMut(u32) -> Result<Holds, E>,
    ) -> Result<(), E> {
        if self.ask(first, ask)? != Holds::Unknown {
            return Ok(());
        }
        let (mut unknown, mut known) = (first, last);
        while known - unknown > 1 {
            let middle = unknown + (known - unknown) / 2;
            match self.ask(middle, ask)? {
                Holds::Unknown => unknown = middle,
                Holds::Yes | Holds::No => known = middle,
            }
        }
        Ok(())
    }

    /// The state to ask next: the middle of the longest run of those that were not asked, within
    /// the first change that is not settled. Where the first state is not known, the search for the
    /// earliest that is may come upon several changes.
    fn next_between(&self) -> Option<u32> {
        let turn = self.turns().find(|turn| turn.comes && !turn.is_settled)?;
        let inside = turn.from + 1..turn.to;
        let mut longest = 0..0;
        let mut start = inside.start;
        let asked = self.states.range(inside.clone()).map(|(state, _)| *state);
        for state in asked.chain([inside.end]) {
            if state - start > longest.end - longest.start {
                longest = start..state;
            }
            start = state + 1;
        }
        (!longest.is_empty()).then(|| longest.start + (longest.end - longest.start) / 2)
    }

    /// The states that were asked, in their order.
    pub fn states(&self) -> impl Iterator<Item = (u32, Holds)> {
        self.states.iter().map(|(state, holds)| (*state, *holds))
    }

    /// Those of which something is known.
    fn known(&self) -> impl Iterator<Item = (u32, bool)> {
        self.states().filter_map(|(state, holds)| match holds {
            Holds::Yes => Some((state, true)),
            Holds::No => Some((state, false)),
            Holds::Unknown => None,
        })
    }

    /// Whether every state of the range was asked.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.states.len() as u64 == u64::from(self.range.end() - self.range.start()) + 1
    }

    /// The earliest state of which it is known whether it has the property.
    #[must_use]
    pub fn earliest(&self) -> Option<(u32, bool)> {
        self.known().next()
    }

    /// The last one.
    #[must_use]
    pub fn last(&self) -> Option<(u32, bool)> {
        self.known().last()
    }

    /// Every change that is known, in the order of the states.
    pub fn turns(&self) -> impl Iterator<Item = Turn> {
        let later = self.known().skip(1);
        let pairs = self.known().zip(later).filter(|((_, before), (_, after))| before != after);
        pairs.map(|((from, _), (to, comes))| {
            let between = self.states.range(from + 1..to).count();
            Turn { from, to, comes, is_settled: between as u64 == u64::from(to - from - 1) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Holds::{No, Unknown, Yes};
    use super::*;

    /// Every list of what `length` states may be.
    fn all(length: u32) -> impl Iterator<Item = Vec<Holds>> {
        (0..3_u32.pow(length)).map(move |number| {
            (0..length)
                .map(|place| match number / 3_u32.pow(place) % 3 {
                    0 => No,
                    1 => Yes,
                    _ => Unknown,
                })
                .collect()
        })
    }

    fn halved(states: &[Holds]) -> Asked {
        let last = u32::try_from(states.len()).unwrap() - 1;
        let ask = &mut |state: u32| Ok::<_, ()>(states[state as usize]);
        Asked::by_halves(0..=last, ask).unwrap()
    }

    #[test]
    fn a_change_is_one_whatever_the_states_are() {
        for length in 1..=10 {
            for states in all(length) {
                let asked = halved(&states);
                for (state, holds) in asked.states() {
                    assert_eq!(states[state as usize], holds, "{states:?}");
                }
                for turn in asked.turns().filter(|turn| turn.comes) {
                    let [from, to] = [turn.from, turn.to].map(|it| states[it as usize]);
                    assert_eq!((from, to), (No, Yes), "{states:?}");
                    assert!(turn.is_settled, "{states:?}");
                    for between in turn.from + 1..turn.to {
                        assert_eq!(states[between as usize], Unknown, "{states:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_only_change_is_found_among_unknown_states() {
        let mut found = 0;
        for length in 2..=8 {
            for states in all(length) {
                let first = states.iter().position(|it| *it != Unknown);
                let yes = states.iter().position(|it| *it == Yes);
                let no = states.iter().rposition(|it| *it == No);
                let (Some(yes), Some(no)) = (yes, no) else { continue };
                if yes < no || states.last() == Some(&Unknown) {
                    continue;
                }
                let asked = halved(&states);
                // What is known before a state that is not is not looked for.
                if asked.earliest().unwrap().1 {
                    assert!(states[0] == Unknown && first.unwrap() < yes, "{states:?}");
                    continue;
                }
                found += 1;
                let turns: Vec<Turn> = asked.turns().collect();
                let (from, to) = (u32::try_from(no).unwrap(), u32::try_from(yes).unwrap());
                assert_eq!(turns, [Turn { from, to, comes: true, is_settled: true }], "{states:?}");
            }
        }
        assert!(found > 500, "{found}");
    }

    #[test]
    fn few_states_are_asked() {
        for (length, most) in [(2, 2), (3, 3), (1000, 12), (1_000_000, 22)] {
            for change in [1, length / 2, length - 1] {
                let ask = &mut |state| Ok::<_, ()>(if state < change { No } else { Yes });
                let asked = Asked::by_halves(0..=length - 1, ask).unwrap();
                assert_eq!(asked.turns().next().unwrap().exact(), Some(change));
                assert!(asked.states().count() <= most, "{length}: {}", asked.states().count());
            }
        }
        // A beginning that is gone costs as little.
        let ask = &mut |state| {
            Ok::<_, ()>(match state {
                ..50_000 => Unknown,
                50_000..70_000 => No,
                _ => Yes,
            })
        };
        let asked = Asked::by_halves(0..=99_999, ask).unwrap();
        assert_eq!(asked.turns().next().unwrap().exact(), Some(70_000));
        assert_eq!(asked.earliest(), Some((50_000, false)));
        assert!(asked.states().count() < 40);
    }

    #[test]
    fn every_change_is_seen_where_all_are_asked() {
        let states = [No, Yes, Unknown, No, No, Yes, Yes];
        let ask = &mut |state: u32| Ok::<_, ()>(states[state as usize]);
        let asked = Asked::each(0..=6, ask).unwrap();
        let turns: Vec<_> = asked.turns().map(|it| (it.from, it.to, it.comes)).collect();
        assert_eq!(turns, [(0, 1, true), (1, 3, false), (4, 5, true)]);
        assert!(asked.is_complete());
    }
}
