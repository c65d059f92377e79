//! The tables of `docs/configuration.md` are those of the code: each flag and setting is there,
//! none is made up, and the defaults are right.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use rover_rtc::http::server::HttpLimits;
use rover_rtc::{
    ChannelConfig, HealthConfig, JournalConfig, OutboxConfig, PathConfig, PeerConfig,
    RecoveryConfig, ServerConfig,
};

use crate::guide::prose;

/// The tables below a heading, as cells of rows, without their heads.
fn tables(heading: &str) -> Vec<Vec<Vec<String>>> {
    let lines = prose("docs/configuration.md");
    let begin = lines.iter().position(|line| line == heading);
    let begin = begin.unwrap_or_else(|| panic!("no {heading}")) + 1;
    let section = lines[begin..].iter().take_while(|line| !line.starts_with('#'));
    let mut tables: Vec<Vec<_>> = vec![Vec::new()];
    for line in section {
        match line.strip_prefix("| ") {
            Some(row) => {
                let cells =
                    row.trim_end_matches('|').split(" | ").map(|cell| cell.trim().to_owned());
                tables.last_mut().unwrap().push(cells.collect::<Vec<_>>());
            }
            // The line below a head.
            None if line.starts_with("|-") => tables.last_mut().unwrap().clear(),
            None => tables.push(Vec::new()),
        }
    }
    tables.retain(|table| !table.is_empty());
    tables
}

/// What is between the first back-quotes of a cell.
fn code(cell: &str) -> &str {
    cell.split('`').nth(1).unwrap_or_else(|| panic!("no code in {cell:?}"))
}

/// The flags of a command: what they take, and their defaults.
fn flags_of(command: &str) -> BTreeMap<String, (String, String)> {
    let cli = rover_rtc::cli::command();
    let command = cli.find_subcommand(command).unwrap().clone();
    let flags = command.get_arguments().filter(|arg| arg.get_long().is_some_and(|l| l != "help"));
    let text = |arg: &clap::Arg| {
        let takes = arg.get_action().takes_values();
        let value = arg.get_value_names().filter(|_| takes).map(|names| names.join(" "));
        let defaults = arg.get_default_values().iter().map(|v| v.to_str().unwrap());
        let default = if takes { defaults.collect::<Vec<_>>().join(" ") } else { String::new() };
        (arg.get_long().unwrap().to_owned(), (value.unwrap_or_default(), default))
    };
    flags.map(text).collect()
}

/// The same of the rows of a table.
fn flags_in(table: &[Vec<String>]) -> BTreeMap<String, (String, String)> {
    let of_row = |row: &Vec<String>| {
        let flag = code(&row[0]).strip_prefix("--").unwrap();
        let (name, value) = flag.split_once([' ', '[']).unwrap_or((flag, ""));
        let value = value.trim_matches(['=', ']']);
        (name.to_owned(), (value.to_owned(), row[1].clone()))
    };
    table.iter().map(of_row).collect()
}

#[test]
fn flags_are_those_of_the_program() {
    let tables = tables("## Flags");
    let [server, common, peer] = &tables[..] else { panic!("{} tables", tables.len()) };
    let [server, common, mut peer] = [server, common, peer].map(|table| flags_in(table));
    peer.extend(common.clone());
    for (command, documented) in [("server", server), ("peer", peer)] {
        let flags = flags_of(command);
        let names = |of: &BTreeMap<String, _>| of.keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(names(&documented), names(&flags), "flags of {command}");
        for (name, (value, default)) in flags {
            let told = &documented[&name];
            assert_eq!(told.0, value, "what --{name} of {command} takes");
            assert!(default.is_empty() || told.1 == default, "--{name}: {told:?}, not {default}");
        }
    }
    let text = prose("docs/configuration.md").join(" ");
    for command in ["send", "receive"] {
        for (name, (value, _)) in flags_of(command) {
            let told = format!("`--{name} {value}`").replace(" `", "`");
            assert!(common.contains_key(&name) || text.contains(&told), "{command} --{name}");
        }
    }
}

#[test]
fn settings_are_those_of_the_library() {
    compare("PeerConfig", &PeerConfig::default());
    compare("ChannelConfig", &ChannelConfig::new("label"));
    compare("OutboxConfig", &OutboxConfig::default());
    compare("JournalConfig", &JournalConfig::default());
    compare("PathConfig", &PathConfig::default());
    compare("RecoveryConfig", &RecoveryConfig::default());
    compare("ServerConfig", &ServerConfig::default());
    compare("HealthConfig", &HealthConfig::default());
    compare("HttpLimits", &HttpLimits::default());
}

/// A struct as it shows itself, and its table.
fn compare(name: &str, settings: &impl Debug) {
    let shown = format!("{settings:#?}");
    let fields = shown.lines().filter_map(|line| line.strip_prefix("    ")?.split_once(": "));
    let fields: BTreeMap<_, _> = fields
        .filter(|(name, _)| !name.starts_with(' '))
        .map(|(name, value)| (name, value.trim_end_matches(',')))
        .collect();
    let table = tables(&format!("### {name}")).remove(0);
    let told: BTreeMap<_, _> = table.iter().map(|row| (code(&row[0]), &*row[1])).collect();
    let (in_table, in_code): (Vec<_>, Vec<_>) = (told.keys().collect(), fields.keys().collect());
    assert_eq!(in_table, in_code, "settings of {name}");
    for (setting, default) in told {
        let value = fields[setting];
        let is_same = default.starts_with("see ") || as_shown(default).iter().any(|d| d == value);
        assert!(is_same, "{name}::{setting} is {value}, and not {default}");
    }
}

/// How the value of a cell may show itself.
fn as_shown(cell: &str) -> Vec<String> {
    let text = cell.trim_matches('`');
    if text == "none" {
        return vec!["None".to_owned(), "[]".to_owned()];
    }
    let plain = text.replace(',', "");
    let (number, unit) = plain.split_once(' ').unwrap_or((&plain, ""));
    let times = |by: u64| number.parse().map(|n: u64| n * by).unwrap_or_default();
    let shown = match unit {
        "KiB" => times(1024).to_string(),
        "MiB" => times(1 << 20).to_string(),
        "ms" => format!("{number}ms"),
        "s" => format!("{number}s"),
        "h" => format!("{}s", times(3600)),
        _ => plain.clone(),
    };
    vec![shown, format!("{plain:?}")]
}
