//! The guide: its pages, and the examples in them.
#![allow(dead_code, reason = "each suite uses a part")]

use std::path::{Path, PathBuf};

/// A fenced block of code.
#[derive(Debug)]
pub struct Block {
    /// Where it is: page and line, for messages.
    pub place: String,
    /// The first word behind the fence, without what follows a comma.
    pub language: String,
    pub text: String,
}

/// The workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// A page's text; it is named from the root of the workspace.
pub fn read(page: &str) -> String {
    std::fs::read_to_string(root().join(page)).unwrap_or_else(|e| panic!("{page}: {e}"))
}

/// The README and the pages of `docs`.
pub fn guide() -> Vec<String> {
    let mut pages: Vec<_> = pages_in("docs");
    pages.push("README.md".to_owned());
    pages.sort();
    pages
}

/// The pages in a folder, named from the root.
pub fn pages_in(folder: &str) -> Vec<String> {
    let found = std::fs::read_dir(root().join(folder)).unwrap();
    let names = found.map(|file| file.unwrap().file_name().into_string().unwrap());
    let pages = names.filter(|name| name.ends_with(".md"));
    pages.map(|name| Path::new(folder).join(name).to_str().unwrap().to_owned()).collect()
}

/// All blocks of a page. A fence that is not closed fails.
pub fn blocks(page: &str) -> Vec<Block> {
    let (text, mut blocks, mut open) = (read(page), Vec::new(), None::<Block>);
    for (number, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        open = match (open, fence) {
            (None, None) => None,
            (None, Some(info)) => Some(Block {
                place: format!("{page}, line {}", number + 1),
                language: info.split([',', ' ']).next().unwrap_or_default().to_owned(),
                text: String::new(),
            }),
            (Some(block), Some(_)) => {
                blocks.push(block);
                None
            }
            (Some(block), None) => Some(Block { text: block.text + line + "\n", ..block }),
        };
    }
    assert!(open.is_none(), "{page}: a block is not closed: {open:?}");
    blocks
}

/// The blocks of these pages in one of these languages.
pub fn blocks_in(pages: &[String], languages: &[&str]) -> Vec<Block> {
    let all = pages.iter().flat_map(|page| blocks(page));
    all.filter(|block| languages.contains(&block.language.as_str())).collect()
}

/// A page's lines that are not in blocks.
pub fn prose(page: &str) -> Vec<String> {
    let mut fenced = false;
    let outside = |line: &&str| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    };
    read(page).lines().filter(outside).map(str::to_owned).collect()
}
