//! Law: a policy is known to its own file and to one line of the registry's tables. Nothing else names it, so adding one
//! touches nothing else, but for the line that makes its file a module.

use blis_policy::Registry;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Files that may name policies, and why. A new policy needs none of them.
const MAY_NAME: [(&str, &str); 5] = [
    ("config/src/epp/", "what the plugins of Endpoint Pickers are here"),
    ("config/src/policy_file.rs", "a file that chooses tier-shed without its rank gets the reference's"),
    ("config/src/resolve/lora.rs", "the scorer that --lora-scorer-weight adds"),
    ("config/src/resolve/policies.rs", "SLO targets without the order that looks at them are told"),
    ("policy/src/registry/scorers.rs", "the scorers that hold when nobody names any"),
];

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every source file with its code, comments and tests apart.
fn sources() -> BTreeMap<String, String> {
    let (mut folders, mut sources) = (vec![crates()], BTreeMap::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(crates()).expect("below").to_string_lossy().replace('\\', "/");
            let is_test =
                ["tests", "benches", "examples"].iter().any(|part| name.split('/').any(|p| p == *part));
            if path.is_dir() && !is_test {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs")
                && name.contains("/src/")
                && !name.ends_with("tests.rs")
            {
                let text = fs::read_to_string(&path).expect("a source file");
                let code = text.split("#[cfg(test)]").next().unwrap_or_default();
                let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
                sources.insert(name, lines.collect::<Vec<_>>().join("\n"));
            }
        }
    }
    sources
}

/// Where a policy's entry is: its file by its name. Names are unique within an axis only.
fn entries(sources: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let of = |(file, code): (&String, &String)| {
        let entry = code.split("pub const ENTRY: Entry<").nth(1)?;
        let name = entry.split("name: \"").nth(1)?.split('"').next()?;
        Some((name.to_owned(), file.clone()))
    };
    sources.iter().filter(|(file, _)| file.starts_with("policy/src/")).filter_map(of).collect()
}

#[test]
fn every_policy_has_one_file_and_one_line_in_the_tables() {
    let sources = sources();
    let entries = entries(&sources);
    let listed = Registry::built_in().axes().iter().map(|(_, policies)| policies.len()).sum::<usize>();
    assert_eq!(entries.len(), listed, "a file without a line in the tables, or a line without a file");
    let tables = &sources["policy/src/registry/tables.rs"];
    for (name, file) in &entries {
        let module = file.trim_end_matches(".rs").trim_start_matches("policy/src/").rsplit('/');
        let path = module.take(2).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("::");
        let lines = tables.lines().filter(|line| line.contains(&format!("{path}::ENTRY"))).count();
        let module = format!("{path}::");
        let crowded =
            tables.lines().filter(|line| line.contains("::ENTRY") && line.contains(&module)).count();
        assert_eq!((lines, crowded), (1, 1), "{name}: lines of tables.rs with {path}::ENTRY");
    }
}

#[test]
fn nothing_else_names_a_policy() {
    let sources = sources();
    let entries = entries(&sources);
    // Names of one word are words of other things too; those of two are only theirs.
    for (name, own) in entries.iter().filter(|(name, _)| name.contains('-')) {
        let quoted = [format!("\"{name}\""), format!("\"{name}:"), format!(",{name}:")];
        let is_own = |file: &str| entries.iter().any(|(other, path)| other == name && path == file);
        for (file, code) in sources.iter().filter(|(file, _)| !is_own(file)) {
            let may = MAY_NAME.iter().any(|(allowed, _)| file.starts_with(allowed));
            // The table of an axis says which one is the default.
            let is_table = file == "policy/src/registry/tables.rs";
            let lines = code.lines().filter(|line| !(is_table && line.contains("default: \"")));
            let naming: Vec<_> =
                lines.filter(|line| quoted.iter().any(|q| line.contains(q.as_str()))).collect();
            assert!(may || naming.is_empty(), "{file} names {name} of {own}: {naming:#?}");
        }
    }
}

#[test]
fn only_the_tables_take_an_entry() {
    for (file, code) in sources() {
        let takes = code.lines().filter(|line| line.contains("::ENTRY")).count();
        let allowed = match file.as_str() {
            "policy/src/registry/tables.rs" => usize::MAX,
            // The router that takes scorers.
            "policy/src/registry/scorers.rs" => 1,
            _ => 0,
        };
        assert!(takes <= allowed, "{file} takes the entry of a policy");
    }
}

/// Law: the file of a policy opens with its rule and closes with an example.
#[test]
fn every_policy_opens_with_its_rule_and_closes_with_an_example() {
    for (name, file) in entries(&sources()) {
        let text = fs::read_to_string(crates().join(&file)).expect("a source file");
        let (code, tests) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
        assert!(code.starts_with("//! "), "{file} does not open with the rule of {name}");
        assert!(code.contains("    formula: \""), "{file} does not give the formula of {name}");
        assert!(tests.contains("    #[test]\n"), "{file} has no example of {name}");
    }
}
