//! What is said about policies: the page of the documentation, and whether its examples work.

use blis_config::options::RunOptions;
use blis_config::policy_file::lay_under;
use blis_config::policy_listing::{json, markdown, policy_file, text};
use blis_policy::Registry;
use serde_json::Value;
use std::fs;
use std::path::Path;

#[test]
fn the_page_of_the_documentation_is_up_to_date() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/policies.md");
    let written = fs::read_to_string(page).expect("docs/policies.md can be read");
    let is_current = written == markdown(&Registry::built_in());
    assert!(is_current, "docs/policies.md is out of date: blis policies --markdown > docs/policies.md");
}

#[test]
fn every_example_of_a_policy_file_is_one() {
    let registry = Registry::built_in();
    for (axis, policies) in registry.axes() {
        for policy in policies {
            let Some(file) = policy_file(&axis, &policy) else { continue };
            let mut options = RunOptions::default();
            let read = lay_under(&mut options, &file, "p.yaml", &registry);
            assert_eq!(read, Ok(Vec::new()), "{file}");
            for param in policy.params {
                assert_eq!(options.policy_file_params.get(param.name), Some(&param.default), "{file}");
            }
        }
    }
}

#[test]
fn the_listings_leave_nothing_out() {
    let registry = Registry::built_in();
    let (text, document) = (text(&registry), serde_json::from_str::<Value>(&json(&registry)).unwrap());
    let policies = document["axes"].as_array().unwrap().iter().map(|axis| &axis["policies"]);
    assert_eq!(
        policies.map(|policies| policies.as_array().unwrap().len()).sum::<usize>(),
        registry.axes().iter().map(|(_, policies)| policies.len()).sum::<usize>()
    );
    for (axis, policies) in registry.axes() {
        assert!(text.contains(&format!("--{} NAME", axis.flag)));
        for policy in policies {
            assert!(text.contains(&format!("\n  {}: {}\n", policy.name, policy.summary)), "{}", policy.name);
            assert!(policy.params.iter().all(|param| text.contains(&format!("--{} NUM", param.name))));
        }
    }
}
