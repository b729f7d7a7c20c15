//! Standard output and standard error as they are: a full disk behind them is no reason to lose a report.

use std::fmt::Arguments;
use std::io::{self, Write};
use std::sync::Mutex;

static FAILURE: Mutex<Option<io::Error>> = Mutex::new(None);

/// Writes to standard output. What goes wrong is told by [`failure`].
pub fn to_stdout(text: Arguments<'_>) {
    let mut out = anstream::stdout();
    if let Err(error) = out.write_fmt(text).and_then(|()| out.flush())
        // Who closes the pipe has read enough.
        && error.kind() != io::ErrorKind::BrokenPipe
        && let Ok(mut failure) = FAILURE.lock()
    {
        failure.get_or_insert(error);
    }
}

/// Writes to standard error, if that can be.
pub fn to_stderr(text: Arguments<'_>) {
    let _ = anstream::stderr().write_fmt(text);
}

/// Why something of the output is missing.
pub fn failure() -> Option<io::Error> {
    FAILURE.lock().ok()?.take()
}

/// As `print!`, by [`to_stdout`].
macro_rules! put {
    ($($text:tt)*) => { $crate::cli::out::to_stdout(format_args!($($text)*)) };
}

/// As `println!`, by [`to_stdout`].
macro_rules! putln {
    ($($text:tt)*) => { $crate::cli::out::to_stdout(format_args!("{}\n", format_args!($($text)*))) };
}

/// As `eprintln!`, by [`to_stderr`].
macro_rules! warnln {
    ($($text:tt)*) => { $crate::cli::out::to_stderr(format_args!("{}\n", format_args!($($text)*))) };
}

pub(crate) use {put, putln, warnln};
