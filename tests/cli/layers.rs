//! The layers of ARCHITECTURE.md are those of the code: an import points down in that list, and
//! neither folders nor the modules of the bindings import each other in a circle.
//!
//! What is read is the text: `use` lines and paths that begin with `crate::`, `super::` or
//! `rover_rtc::`. Tests are left out, for they look at everything.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of a crate, by their paths (`link::mux::frame`), and what each imports.
struct Modules {
    files: BTreeMap<String, PathBuf>,
    imports: BTreeMap<String, BTreeSet<String>>,
}

impl Modules {
    /// Of a crate with this name.
    fn read(src: &Path, name: &str) -> Self {
        let mut files = BTreeMap::new();
        collect(src, "", &mut files);
        let mut all = Self { files, imports: BTreeMap::new() };
        let of = |(module, file): (&String, &PathBuf)| {
            let text = code(&fs::read_to_string(file).unwrap());
            let found =
                paths(&text).into_iter().filter_map(|path| all.resolve(name, module, &path));
            (module.clone(), found.filter(|m| m != module).collect())
        };
        all.imports = all.files.iter().map(of).collect();
        all
    }

    /// The module that a path leads into, seen from another one.
    fn resolve(&self, name: &str, from: &str, path: &str) -> Option<String> {
        let mut parts: Vec<_> = path.split("::").map(str::trim).collect();
        let mut at: Vec<_> = match parts[0] {
            root if root == "crate" || root == name => Vec::new(),
            "super" | "self" => from.split("::").collect(),
            _ => return None,
        };
        while let Some(first @ ("crate" | "rover_rtc" | "super" | "self")) = parts.first().copied()
        {
            if first == "super" {
                at.pop();
            }
            parts.remove(0);
        }
        at.extend(parts);
        (1..=at.len()).rev().map(|n| at[..n].join("::")).find(|m| self.files.contains_key(m))
    }

    /// The same between folders: what lies in a folder itself is one node, and so is each file at
    /// the top.
    fn by_folder(&self, src: &Path) -> Graph {
        let folder = |module: &str| {
            let dir = self.files[module].parent().unwrap().strip_prefix(src).unwrap().to_owned();
            if dir.as_os_str().is_empty() { module.to_owned() } else { dir.display().to_string() }
        };
        let mut graph = Graph::default();
        for (from, to) in &self.imports {
            let targets = to.iter().map(|m| (folder(m), format!("{from} -> {m}")));
            let targets = targets.filter(|(to, _)| *to != folder(from));
            graph.entry(folder(from)).or_default().extend(targets);
        }
        graph
    }

    fn by_file(&self) -> Graph {
        let edge = |from: &str, to: &String| (to.clone(), format!("{from} -> {to}"));
        let edges = |(from, to): (&String, &BTreeSet<String>)| {
            (from.clone(), to.iter().map(|to| edge(from, to)).collect())
        };
        self.imports.iter().map(edges).collect()
    }
}

/// To whom each node has arrows, and what such an arrow stands for.
type Graph = BTreeMap<String, BTreeMap<String, String>>;

fn collect(dir: &Path, prefix: &str, files: &mut BTreeMap<String, PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name.ends_with("tests") || matches!(name.as_str(), "lib" | "main") {
            continue;
        }
        let module = if prefix.is_empty() { name.clone() } else { format!("{prefix}::{name}") };
        if path.is_dir() {
            collect(&path, &module, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.insert(if name == "mod" { prefix.to_owned() } else { module }, path);
        }
    }
}

/// A file without comments, tests, and what says who may see an item.
fn code(text: &str) -> String {
    let text = text.split("\n#[cfg(test)]\nmod ").next().unwrap();
    let text = text.split("\n#[cfg(test)]\n#[allow").next().unwrap();
    let seen = |line: &str| match line.split_once("pub(in ") {
        Some((before, after)) => before.to_owned() + after.split_once(')').unwrap().1,
        None => line.to_owned(),
    };
    let lines = text.lines().map(|line| seen(line.split("//").next().unwrap()));
    lines.collect::<Vec<_>>().join("\n")
}

/// All paths of a text, those in braces one by one.
fn paths(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut rest = text;
    while let Some(at) = ["crate::", "super::", "rover_rtc::", "self::"]
        .iter()
        .filter_map(|start| rest.find(start))
        .min()
    {
        rest = &rest[at..];
        let end = rest.find(|c: char| !(c.is_alphanumeric() || "_:".contains(c)));
        let end = end.unwrap_or(rest.len());
        let (path, tail) = rest.split_at(end);
        match path.strip_suffix("::").filter(|_| tail.starts_with('{')) {
            Some(prefix) => {
                let inner = braces(tail);
                all.extend(list(inner).iter().map(|item| format!("{prefix}::{item}")));
                rest = &tail[inner.len() + 2..];
            }
            None => {
                all.push(path.to_owned());
                rest = tail;
            }
        }
    }
    all
}

/// What is between the first brace and the one that closes it.
fn braces(text: &str) -> &str {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[1..at];
        }
    }
    panic!("a brace is not closed: {text:.80}");
}

/// The items of a list, nested ones spelt out.
fn list(text: &str) -> Vec<String> {
    let (mut all, mut item, mut depth) = (Vec::new(), String::new(), 0);
    for c in text.chars().chain([',']) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if c != ',' || depth > 0 {
            item.push(c);
            continue;
        }
        let trimmed = std::mem::take(&mut item).trim().to_owned();
        match trimmed.split_once('{') {
            Some((prefix, inner)) => {
                let inner = list(inner.strip_suffix('}').unwrap());
                all.extend(inner.iter().map(|item| format!("{prefix}{item}")));
            }
            None if trimmed.is_empty() => {}
            None => all.push(trimmed.split(" as ").next().unwrap().to_owned()),
        }
    }
    all
}

/// A circle, if there is one, as the arrows that make it.
fn circle(graph: &Graph) -> Option<Vec<String>> {
    fn visit(
        graph: &Graph,
        at: &str,
        trail: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> bool {
        if let Some(begin) = trail.iter().position(|node| node == at) {
            trail.drain(..begin);
            return true;
        }
        if done.contains(at) {
            return false;
        }
        trail.push(at.to_owned());
        let targets = graph.get(at).into_iter().flat_map(BTreeMap::keys);
        if targets.into_iter().any(|to| visit(graph, to, trail, done)) {
            return true;
        }
        trail.pop();
        done.insert(at.to_owned());
        false
    }
    let mut done = BTreeSet::new();
    for start in graph.keys() {
        let mut trail = Vec::new();
        if visit(graph, start, &mut trail, &mut done) {
            let next = trail.iter().cycle().skip(1);
            return Some(trail.iter().zip(next).map(|(a, b)| graph[a][b].clone()).collect());
        }
    }
    None
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The list of layers, from the top down, each with its modules.
fn layers() -> Vec<Vec<String>> {
    let page = fs::read_to_string(root().join("rover-rtc/ARCHITECTURE.md")).unwrap();
    let (_, list) = page.split_once("<!-- layers -->\n```\n").expect("the list of layers");
    let (list, _) = list.split_once("```\n").unwrap();
    let modules = |line: &str| {
        let (modules, _) = line.split_once("  ").expect("modules, two spaces, what they are");
        modules.split(' ').map(str::to_owned).collect()
    };
    list.lines().map(modules).collect()
}

#[test]
fn imports_point_down_in_the_list_of_layers() {
    let layers = layers();
    let rank = |module: &str| {
        let top = module.split("::").next().unwrap();
        let at = layers.iter().position(|layer| layer.iter().any(|m| m == top));
        at.unwrap_or_else(|| panic!("{top} is in no layer of ARCHITECTURE.md"))
    };
    let modules = Modules::read(&root().join("rover-rtc/src"), "rover_rtc");
    assert!(modules.files.len() > 100, "{}", modules.files.len());
    let mut wrong = Vec::new();
    for (from, to) in
        modules.imports.iter().flat_map(|(from, all)| all.iter().map(move |to| (from, to)))
    {
        let same = from.split("::").next() == to.split("::").next();
        if !same && rank(from) >= rank(to) {
            wrong.push(format!("{from} -> {to}"));
        }
    }
    assert!(wrong.is_empty(), "these do not point down:\n{}", wrong.join("\n"));
    for module in layers.iter().flatten() {
        assert!(modules.files.contains_key(module), "{module} is in the list, and not in the code");
    }
}

/// The parts of the hub are still one: each adds verbs to it, and uses those of the others.
#[test]
fn folders_but_the_hubs_do_not_import_each_other_in_circles() {
    let src = root().join("rover-rtc/src");
    let mut folders = Modules::read(&src, "rover_rtc").by_folder(&src);
    folders.retain(|folder, _| !folder.starts_with("server/"));
    let found = circle(&folders);
    assert_eq!(found, None, "a circle of folders");
}

#[test]
fn the_modules_of_the_bindings_do_not_import_each_other_in_circles() {
    for bindings in ["rover-rtc-ffi", "rover-rtc-py"] {
        let modules = Modules::read(&root().join(bindings).join("src"), "");
        assert!(modules.files.len() > 10, "{bindings}");
        assert_eq!(circle(&modules.by_file()), None, "a circle in {bindings}");
    }
}

#[test]
fn circles_and_paths_are_found() {
    let text = "use crate::a::{self, b::{C, D as E}, f};\nlet x = super::g::h(crate::i::J);";
    let expected = ["crate::a::self", "crate::a::b::C", "crate::a::b::D", "crate::a::f"];
    assert_eq!(paths(text), [&expected[..], &["super::g::h", "crate::i::J"]].concat());
    let arrows = |edges: &[(&str, &str)]| {
        let mut graph = Graph::default();
        for (from, to) in edges {
            let arrow = format!("{from}{to}");
            graph.entry((*from).into()).or_default().insert((*to).into(), arrow);
        }
        graph
    };
    assert_eq!(circle(&arrows(&[("a", "b"), ("b", "c"), ("a", "c")])), None);
    let found = circle(&arrows(&[("a", "b"), ("b", "c"), ("c", "b"), ("a", "c")])).unwrap();
    assert_eq!(found, ["bc", "cb"]);
}
