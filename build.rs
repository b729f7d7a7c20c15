//! Puts the standard suite and the defect catalogue into the binary, so that a copied binary needs nothing beside it.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    embed(&root.join("scenarios"), &out.join("scenarios.rs"), "SCENARIOS", "The standard suite: id and text.")?;
    embed(&root.join("defects"), &out.join("defects.rs"), "DEFECTS", "The defect catalogue: id and text.")
}

fn embed(folder: &Path, out: &Path, name: &str, about: &str) -> io::Result<()> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files = Vec::new();
    walk(folder, folder, &mut files)?;
    files.sort();
    let mut code = format!("/// {about}\nstatic {name}: &[(&str, &str)] = &[\n");
    for (id, path) in files {
        writeln!(code, "    ({id:?}, include_str!({path:?})),").expect("writing to a String cannot fail");
    }
    code.push_str("];\n");
    fs::write(out, code)
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(root, &path, files)?;
        } else if path.extension().is_some_and(|ending| ending == "toml") {
            let id = path.strip_prefix(root).expect("it lies below").with_extension("");
            let id: Vec<_> = id.iter().map(|part| part.to_string_lossy()).collect();
            files.push((id.join("/"), path));
        }
    }
    Ok(())
}
