//! The detection matrix: every scenario against every fixture, to prove that a suite catches what it is for.

mod fixture;
mod grid;

pub use fixture::{Fixture, FixtureError, Unavailable};
pub use grid::{Cell, Grid, Row};
