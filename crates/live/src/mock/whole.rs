//! An answer in one piece.

use super::chunks::Reply;
use super::request::Form;
use serde_json::{Value, json};

/// The body of a finished answer.
pub(crate) fn body(mut reply: Reply) -> Value {
    let returns_ids = reply.prompt_ids.is_some();
    let mut choices = Vec::new();
    for index in 0..reply.choices.len() {
        let prompt_ids = reply.prompt_ids(index).map(<[u32]>::to_vec);
        let reader = &mut reply.choices[index].reader;
        let mut text = String::new();
        let mut ids = Vec::new();
        while !reader.is_done() {
            let (piece, id) = reader.next();
            text.push_str(piece);
            ids.push(id);
        }
        let finish = &reader.planned.finish;
        let stop_reason: Value = serde_json::from_str(&finish.stop_reason()).unwrap_or_default();
        let ids = returns_ids.then_some(ids);
        choices.push(match reply.form {
            Form::Text => json!({
                "index": index, "text": text, "logprobs": null, "finish_reason": finish.reason(),
                "stop_reason": stop_reason, "token_ids": ids, "prompt_logprobs": null, "prompt_token_ids": prompt_ids,
            }),
            Form::Chat => json!({
                "index": index,
                "message": {
                    "role": "assistant", "content": text, "refusal": null, "annotations": null, "audio": null,
                    "function_call": null, "reasoning": null,
                },
                "logprobs": null, "finish_reason": finish.reason(), "stop_reason": stop_reason, "token_ids": ids,
            }),
        });
    }
    let (prompt, completion) = (reply.prompt_tokens, reply.completion_tokens());
    let usage = json!({
        "prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion,
        "prompt_tokens_details": null,
    });
    let Reply { form, ref id, created, ref model, .. } = reply;
    match form {
        Form::Text => json!({
            "id": id, "object": "text_completion", "created": created, "model": model, "choices": choices,
            "service_tier": null, "system_fingerprint": null, "usage": usage, "kv_transfer_params": null,
        }),
        Form::Chat => json!({
            "id": id, "object": "chat.completion", "created": created, "model": model, "choices": choices,
            "service_tier": null, "system_fingerprint": null, "usage": usage, "prompt_logprobs": null,
            "prompt_token_ids": reply.prompt_ids(0), "kv_transfer_params": null,
        }),
    }
}
