//! Links between pages lead to files and headings that are there.

use std::path::Path;

use crate::guide::{pages_in, prose, root};

#[test]
fn links_lead_somewhere() {
    let folders = ["", "docs", "examples", "rover-rtc", "rover-rtc-py"];
    let mut seen = 0;
    for page in folders.into_iter().flat_map(pages_in) {
        for target in targets(&page) {
            seen += 1;
            let why = broken(&page, &target);
            assert!(why.is_none(), "{page}: {target}: {why:?}");
        }
    }
    assert!(seen > 80, "only {seen} links");
}

/// Where a page's links lead, but for those into the web.
fn targets(page: &str) -> Vec<String> {
    let text = prose(page).join("\n");
    let inline = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    inline.filter(|target| !target.contains("://")).map(str::to_owned).collect()
}

/// Why a link leads nowhere.
fn broken(page: &str, target: &str) -> Option<String> {
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let folder = Path::new(page).parent().unwrap();
    let path = if file.is_empty() { Path::new(page).to_owned() } else { folder.join(file) };
    if !root().join(&path).exists() {
        return Some(format!("{} is not there", path.display()));
    }
    let found = anchor.is_empty() || anchors(path.to_str()?).iter().any(|a| a == anchor);
    (!found).then(|| format!("{} has no heading #{anchor}", path.display()))
}

/// What headings are called in links, as GitHub makes them.
fn anchors(page: &str) -> Vec<String> {
    let headings = prose(page).into_iter().filter(|line| line.starts_with('#'));
    let anchor = |line: String| {
        let text = line.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn what_leads_nowhere_is_found() {
    assert_eq!(broken("README.md", "docs/rust.md#without-a-hub"), None);
    assert_eq!(broken("docs/rust.md", "#without-a-hub"), None);
    for target in ["docs/none.md", "docs/rust.md#none", "#none"] {
        assert!(broken("README.md", target).is_some(), "{target}");
    }
}
