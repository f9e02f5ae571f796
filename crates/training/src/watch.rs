//! Who watches a suite or a training: told how far it is, and given its figures to draw where they are wanted.

use crate::figure::Figure;

/// How far something long is.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// What is being done, in a few words.
    pub what: &'a str,
    /// How many parts of it are done.
    pub done: usize,
    /// How many there are.
    pub of: usize,
}

/// Takes progress and figures.
pub struct Watch<'a> {
    tell: Box<dyn FnMut(Progress<'_>) + 'a>,
    figures: Option<Vec<Figure>>,
}

impl std::fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("figures", &self.figures.as_ref().map(Vec::len)).finish_non_exhaustive()
    }
}

impl<'a> Watch<'a> {
    /// Tells progress; keeps figures only where they are wanted, since they cost memory.
    pub fn new(tell: impl FnMut(Progress<'_>) + 'a, figures: bool) -> Self {
        Self { tell: Box::new(tell), figures: figures.then(Vec::new) }
    }

    /// Nobody watches.
    pub fn nobody() -> Self {
        Self::new(|_| {}, false)
    }

    /// The figures so far, which are then forgotten.
    pub fn take_figures(&mut self) -> Vec<Figure> {
        self.figures.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(crate) fn tell(&mut self, what: &str, done: usize, of: usize) {
        (self.tell)(Progress { what, done, of });
    }

    /// Draws only for those who want to see.
    pub(crate) fn draw(&mut self, make: impl FnOnce() -> Figure) {
        if let Some(figures) = &mut self.figures {
            figures.push(make());
        }
    }
}
