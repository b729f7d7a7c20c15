//! Commands: split as a shell would, without a shell.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Why a command cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Its quotes do not close.
    #[error("`{0}`: a quotation mark is not closed")]
    Quotes(String),
    /// It has no words.
    #[error("the command is empty")]
    Empty,
    /// There is no such program.
    #[error("`{0}`: there is no such file{hint}", hint = if .0.contains('/') { "" } else { " in PATH; a program in this folder is written ./NAME" })]
    NotFound(String),
    /// It is a folder.
    #[error("`{0}` is a folder, not a program")]
    Folder(String),
    /// It may not be executed.
    #[error("`{0}` is not executable; `chmod +x {0}` makes it so")]
    NotExecutable(String),
    /// The runner does not know its own place.
    #[error("the place of forkspec itself is not known: {0}")]
    Own(std::io::Error),
}

/// Splits a command into words and finds its program.
pub fn split(text: &str) -> Result<Vec<String>, CommandError> {
    let words = shell_words::split(text).map_err(|_| CommandError::Quotes(text.to_owned()))?;
    resolve(words)
}

/// Replaces a command's first word by the path of its program.
pub fn resolve(mut words: Vec<String>) -> Result<Vec<String>, CommandError> {
    let name = words.first().filter(|name| !name.is_empty()).cloned().ok_or(CommandError::Empty)?;
    if name.contains('/') {
        usable(Path::new(&name), &name)?;
        return Ok(words);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates: Vec<PathBuf> =
        std::env::split_paths(&path).map(|folder| folder.join(&name)).filter(|file| file.is_file()).collect();
    let Some(first) = candidates.first() else { return Err(CommandError::NotFound(name)) };
    let found = candidates.iter().find(|file| usable(file, &name).is_ok()).unwrap_or(first);
    usable(found, &name)?;
    words[0] = found.to_string_lossy().into_owned();
    Ok(words)
}

fn usable(path: &Path, name: &str) -> Result<(), CommandError> {
    let data = std::fs::metadata(path).map_err(|_| CommandError::NotFound(name.to_owned()))?;
    if data.is_dir() {
        return Err(CommandError::Folder(name.to_owned()));
    }
    if data.permissions().mode() & 0o111 == 0 {
        return Err(CommandError::NotExecutable(name.to_owned()));
    }
    Ok(())
}

/// A client is told where to connect: a command that does not say where gets the address as its last argument, as
/// the book's clients want it.
pub fn client_command(mut words: Vec<String>) -> Vec<String> {
    if !words.iter().any(|word| word.contains("{host}")) {
        words.push("{host}".into());
    }
    words
}

/// The command of a reference program.
pub fn reference(name: &str, args: &[&str]) -> Result<Vec<String>, CommandError> {
    let own = std::env::current_exe().map_err(CommandError::Own)?;
    let words = [own.to_string_lossy().into_owned(), "reference".into(), name.into()];
    Ok(words.into_iter().chain(args.iter().map(|arg| (*arg).to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_split_without_a_shell() {
        assert_eq!(split("/bin/sh -c 'echo $HOME; ls'").unwrap(), ["/bin/sh", "-c", "echo $HOME; ls"]);
        assert!(matches!(split("/bin/sh 'x"), Err(CommandError::Quotes(_))));
        assert!(matches!(split(" "), Err(CommandError::Empty)));
    }

    #[test]
    fn programs_are_found_or_the_reason_is_said() {
        assert!(split("sh").unwrap()[0].ends_with("/sh"));
        assert!(matches!(split("no-such-program-anywhere"), Err(CommandError::NotFound(_))));
        assert!(matches!(split("./no/such"), Err(CommandError::NotFound(_))));
        assert!(matches!(split("/"), Err(CommandError::Folder(_))));
        assert!(matches!(split("./Cargo.toml"), Err(CommandError::NotExecutable(_))));
    }

    #[test]
    fn a_client_gets_the_address_unless_it_says_where() {
        assert_eq!(client_command(vec!["./c".into()]), ["./c", "{host}"]);
        assert_eq!(client_command(vec!["./c".into(), "-h{host}".into()]), ["./c", "-h{host}"]);
    }
}
