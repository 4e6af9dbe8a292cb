use alloc::vec::Vec;
use core::ops::{Index, IndexMut};

use crate::BookError;

/// Rows that are only ever added, known by their number: four bytes instead of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table<T>(Vec<T>);

/// The number of the row at this position.
pub(crate) fn id(position: usize) -> Result<u32, BookError> {
    u32::try_from(position).map_err(|_| BookError::Overflow("the number of rows"))
}

impl<T> Table<T> {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn push(&mut self, row: T) {
        self.0.push(row);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table(Vec::new())
    }
}

// A number comes from the table that it is used with, and no row is ever removed.
impl<T> Index<u32> for Table<T> {
    type Output = T;

    fn index(&self, row: u32) -> &T {
        &self.0[row as usize]
    }
}

impl<T> IndexMut<u32> for Table<T> {
    fn index_mut(&mut self, row: u32) -> &mut T {
        &mut self.0[row as usize]
    }
}
