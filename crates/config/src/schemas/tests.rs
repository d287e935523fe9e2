use super::SCHEMAS;
use crate::workload_file::{self, Overrides};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fs;

fn schema() -> Value {
    serde_json::from_str(SCHEMAS[0].1).expect("the schema is JSON")
}

fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(path) => root.pointer(path.trim_start_matches('#')).expect("a reference leads somewhere"),
        None => schema,
    }
}

/// What is wrong with a value, as far as our schemas use the language of schemas.
fn check(root: &Value, schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    let schema = resolved(root, schema);
    if let Some(allowed) = schema["enum"].as_array().filter(|allowed| !allowed.contains(value)) {
        wrong.push(format!("{at}: {value} is not in {allowed:?}"));
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        other => panic!("unknown type {other}"),
    };
    if !types.is_empty() && !types.iter().any(|kind| is(kind)) {
        wrong.push(format!("{at}: {value} is not {types:?}"));
    }
    let number = value.as_f64();
    let below = |key: &str, is_wrong: fn(f64, f64) -> bool| {
        number.zip(schema[key].as_f64()).is_some_and(|(number, bound)| is_wrong(number, bound))
    };
    if below("minimum", |x, b| x < b)
        || below("maximum", |x, b| x > b)
        || below("exclusiveMinimum", |x, b| x <= b)
    {
        wrong.push(format!("{at}: {value} is out of range"));
    }
    for (number, item) in value.as_array().into_iter().flatten().enumerate() {
        check(root, &schema["items"], item, &format!("{at}[{number}]"), wrong);
    }
    for (key, item) in value.as_object().into_iter().flatten() {
        let at = format!("{at}.{key}");
        match (schema["properties"].get(key), &schema["additionalProperties"]) {
            (None, Value::Bool(false)) => wrong.push(format!("{at}: unknown key")),
            (Some(schema), _) | (None, schema) => check(root, schema, item, &at, wrong),
        }
    }
}

/// Law: the schema accepts every workload file that the tests of this project use.
#[test]
fn the_schema_accepts_the_files_that_the_reader_accepts() {
    let root = schema();
    let workspace = format!("{}/../..", env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<_> = fs::read_dir(format!("{workspace}/testdata/parity"))
        .unwrap()
        .map(|entry| entry.unwrap().path().join("workload.yaml"))
        .filter(|path| path.exists())
        .collect();
    paths.extend(
        fs::read_dir(format!("{workspace}/fuzz/corpus/workload")).unwrap().map(|e| e.unwrap().path()),
    );
    assert!(paths.len() > 8, "{paths:?}");
    for path in paths {
        let value: Value = serde_saphyr::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let mut wrong = Vec::new();
        check(&root, &root, &value, "", &mut wrong);
        assert!(wrong.is_empty(), "{}: {wrong:#?}", path.display());
    }
    let mut wrong = Vec::new();
    check(
        &root,
        &root,
        &serde_json::json!({"sed": 1, "horizon": -1, "clients": [{"id": []}]}),
        "",
        &mut wrong,
    );
    assert_eq!(wrong.len(), 3, "{wrong:?}");
}

/// The keys that the reader allows where `wrap` puts a mapping.
fn keys_of_reader(wrap: &dyn Fn(Value) -> Value) -> BTreeSet<String> {
    let unknown = Value::Object(Map::from_iter([("no_such_key".to_owned(), Value::from(1))]));
    let text = wrap(unknown).to_string();
    let problems = workload_file::read(&text, "w.yaml", Overrides::default()).unwrap_err();
    let found = problems.iter().find(|problem| problem.message.contains("unknown key \"no_such_key\""));
    let message = &found.unwrap_or_else(|| panic!("{text}: {problems:?}")).message;
    let (_, allowed) = message.split_once("allowed: ").expect("the allowed keys are told");
    allowed.split(", ").map(str::to_owned).collect()
}

fn compare(root: &Value, schema: &Value, wrap: &dyn Fn(Value) -> Value, seen: &mut usize) {
    let schema = resolved(root, schema);
    if let Some(properties) = schema["properties"].as_object() {
        let mut keys: BTreeSet<String> = properties.keys().cloned().collect();
        // Clients and cohorts are read alike; which key is for which is checked afterwards.
        for (def, other) in [("client", "cohort"), ("cohort", "client")] {
            if std::ptr::eq(schema, &raw const root["$defs"][def]) {
                keys.extend(root["$defs"][other]["properties"].as_object().unwrap().keys().cloned());
            }
        }
        assert_eq!(keys, keys_of_reader(wrap));
        *seen += 1;
        for (key, inner) in properties {
            let deeper = |value| wrap(Value::Object(Map::from_iter([(key.clone(), value)])));
            compare(root, inner, &deeper, seen);
        }
    } else if schema["items"].is_object() {
        compare(root, &schema["items"], &|value| wrap(Value::Array(vec![value])), seen);
    } else if schema["additionalProperties"].is_object() {
        let inner = |value| wrap(Value::Object(Map::from_iter([("some".to_owned(), value)])));
        compare(root, &schema["additionalProperties"], &inner, seen);
    }
}

/// Law: at every place the schema has the keys that the reader knows, and no others.
#[test]
fn the_schema_has_the_keys_of_the_reader() {
    let root = schema();
    let mut seen = 0;
    compare(&root, &root, &|value| value, &mut seen);
    assert!(seen > 30, "{seen} mappings were compared");
}
