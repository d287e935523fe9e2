//! The JSON of a model's configuration, as publishers write it: with numbers that only Python reads, the language model inside
//! a larger one, and the quantisation in a second file.

use crate::diagnostic::Diagnostic;
use serde_json::{Map, Value};

/// The file beside a `config.json` in which some publishers say how the weights are quantised.
pub const QUANTIZATION_FILE: &str = "hf_quant_config.json";
const QUANTIZATION: &str = "quantization_config";

/// The fields of a configuration; those inside a `text_config` go before those outside.
///
/// # Errors
/// The text is no JSON object.
pub(crate) fn fields(text: &str, file_name: &str) -> Result<Map<String, Value>, Vec<Diagnostic>> {
    match parse(text) {
        Ok(Value::Object(mut fields)) => {
            if let Some(Value::Object(inner)) = fields.remove("text_config") {
                fields.extend(inner);
            }
            Ok(fields)
        }
        Ok(_) => {
            let message = "a model configuration must be a JSON object: { \"num_hidden_layers\": ... }";
            Err(vec![Diagnostic::new(message).in_file(file_name)])
        }
        Err(error) => {
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or_default();
            let problem = Diagnostic::new(format!("not valid JSON: {message}")).in_file(file_name);
            Err(vec![problem.at(error.line() as u32, error.column() as u32)])
        }
    }
}

/// Puts what the second file says about quantisation where the first one would say it, if it does not.
///
/// # Errors
/// As of [`fields`].
pub(crate) fn add_quantization(
    fields: &mut Map<String, Value>,
    text: &str,
    file_name: &str,
) -> Result<(), Vec<Diagnostic>> {
    let mut second = self::fields(text, file_name)?;
    if let Some(Value::Object(mut stated)) = second.remove("quantization")
        && !has_quantization(fields)
    {
        // As in the configurations in which this tool writes the same itself.
        stated.insert("quant_method".to_owned(), Value::from("modelopt"));
        fields.insert(QUANTIZATION.to_owned(), Value::Object(stated));
    }
    Ok(())
}

/// Whether a configuration says how its weights are quantised.
pub(crate) fn has_quantization(fields: &Map<String, Value>) -> bool {
    fields.get(QUANTIZATION).is_some_and(Value::is_object)
}

/// JSON, in which numbers may be missing as Python writes that.
pub(crate) fn parse(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str(text).or_else(|_| serde_json::from_str(&without_python_numbers(text)))
}

/// The text with null, at the same place and in the same space, for infinite numbers and those that are none.
fn without_python_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let (mut in_string, mut is_escaped) = (false, false);
    while let Some(next) = rest.chars().next() {
        let word =
            ["-Infinity", "Infinity", "NaN"].into_iter().find(|word| !in_string && rest.starts_with(word));
        if let Some(word) = word {
            out.push_str("null     ".get(..word.len().max(4)).unwrap_or("null"));
            rest = &rest[word.len()..];
            continue;
        }
        in_string ^= next == '"' && !is_escaped;
        is_escaped = in_string && next == '\\' && !is_escaped;
        out.push(next);
        rest = &rest[next.len_utf8()..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{add_quantization, fields, parse};
    use serde_json::json;

    #[test]
    fn numbers_of_python_are_absent_and_texts_stay() {
        let read = parse(r#"{"a": [0.0, Infinity, -Infinity], "b": NaN, "c": "NaN \" Infinity", "d": 1}"#);
        let expected = json!({"a": [0.0, null, null], "b": null, "c": "NaN \" Infinity", "d": 1});
        assert_eq!(read.expect("JSON but for its numbers"), expected);
        let error = parse("{\"a\": Infinity,\n \"b\": nonsense}").expect_err("no JSON at all");
        assert_eq!((error.line(), error.column()), (2, 8));
    }

    #[test]
    fn the_second_file_counts_where_the_first_is_silent() {
        let second = r#"{"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4"}}"#;
        let quantization = |first: &str| {
            let mut first = fields(first, "config.json").expect("an object");
            add_quantization(&mut first, second, "hf_quant_config.json").expect("an object");
            first["quantization_config"]["quant_algo"].as_str().map(str::to_owned)
        };
        assert_eq!(quantization("{}").as_deref(), Some("NVFP4"));
        assert_eq!(quantization(r#"{"quantization_config": {"quant_algo": "FP8"}}"#).as_deref(), Some("FP8"));
    }
}
