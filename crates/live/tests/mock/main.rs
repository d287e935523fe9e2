//! `blis mock` from outside: shapes, errors, streams, its account, and the times at which tokens come.

mod client;

use blis_config::RunOptions;
use client::{Server, options};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const COMPLETIONS: &str = "/v1/completions";
const CHAT: &str = "/v1/chat/completions";
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

fn ask(prompt: &str, tokens: u32) -> Value {
    json!({"model": "m", "prompt": prompt, "max_tokens": tokens, "ignore_eos": true})
}

fn chat(text: &str) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": text}]})
}

/// A prompt of so many tokens that begins in a way of its own.
fn long_prompt(first: &str, tokens: usize) -> String {
    format!("{first}{}", " word".repeat(tokens - 1))
}

#[test]
fn a_whole_answer_has_the_shape_of_vllms() {
    let server = Server::start(options(), 20.0);
    let answer = server.post(COMPLETIONS, &ask("Hello there", 5));
    assert_eq!(answer.status, 200);
    assert!(answer.headers.contains("content-type: application/json"), "{}", answer.headers);
    let body = answer.json();
    assert_eq!(body["object"], "text_completion");
    assert!(body["id"].as_str().is_some_and(|id| id.starts_with("cmpl-")));
    let choice = &body["choices"][0];
    assert_eq!(choice["text"].as_str().map(|text| text.split_whitespace().count()), Some(5));
    assert_eq!((&choice["finish_reason"], &choice["stop_reason"]), (&json!("length"), &Value::Null));
    let usage = &body["usage"];
    assert_eq!(
        [&usage["prompt_tokens"], &usage["completion_tokens"], &usage["total_tokens"]],
        [&json!(2), &json!(5), &json!(7)]
    );
    let members = body.as_object().expect("an object");
    for name in ["service_tier", "system_fingerprint", "kv_transfer_params"] {
        assert!(members.get(name).is_some_and(Value::is_null), "{name} is there, and null");
    }

    let body = server.post(CHAT, &chat("Hello there")).json();
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["choices"][0]["message"]["role"], "assistant");
    assert_eq!(body["choices"][0]["finish_reason"], "stop", "it ended by itself");
    assert_eq!(body["usage"]["completion_tokens"], 20);
}

#[test]
fn several_prompts_and_choices_are_numbered_by_prompt_then_choice() {
    let server = Server::start(options(), 20.0);
    let body = json!({"prompt": ["one", "two three"], "n": 2, "max_tokens": 3, "ignore_eos": true});
    let answer = server.post(COMPLETIONS, &body).json();
    let indices: Vec<_> =
        answer["choices"].as_array().expect("choices").iter().map(|c| &c["index"]).collect();
    assert_eq!(indices, [&json!(0), &json!(1), &json!(2), &json!(3)]);
    assert_eq!(
        (&answer["usage"]["prompt_tokens"], &answer["usage"]["completion_tokens"]),
        (&json!(3), &json!(12))
    );
    assert_ne!(answer["choices"][0]["text"], answer["choices"][1]["text"], "choices differ");
    let again = server.post(COMPLETIONS, &body).json();
    assert_eq!(answer["choices"], again["choices"], "equal prompts get equal answers");
}

#[test]
fn a_chat_stream_has_a_role_then_a_chunk_per_token_then_usage() {
    let server = Server::start(options(), 20.0);
    let mut body = chat("Hello there");
    body["max_tokens"] = 4.into();
    body["stream_options"] = json!({"include_usage": true});
    let events: Vec<_> = server.stream(CHAT, &body).read_all().into_iter().map(|(_, event)| event).collect();
    assert_eq!(events.len(), 1 + 4 + 1);
    assert!(
        events
            .iter()
            .all(|event| event["object"] == "chat.completion.chunk" && event["id"] == events[0]["id"])
    );
    assert_eq!(events[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    for event in &events[1..5] {
        let text = event["choices"][0]["delta"]["content"].as_str().expect("text");
        assert_eq!(text.split_whitespace().count(), 1, "a chunk is a token");
        assert!(event.get("usage").is_none());
    }
    assert_eq!(events[3]["choices"][0]["finish_reason"], Value::Null);
    assert_eq!(events[4]["choices"][0]["finish_reason"], "length", "the last token says why it is the last");
    assert_eq!(events[5]["choices"], json!([]));
    let prompt = events[5]["usage"]["prompt_tokens"].as_u64().expect("a count");
    assert_eq!(
        events[5]["usage"],
        json!({"prompt_tokens": prompt, "total_tokens": prompt + 4, "completion_tokens": 4})
    );
}

#[test]
fn a_completion_stream_has_no_role_and_usage_on_every_chunk_if_asked_for() {
    let server = Server::start(options(), 20.0);
    let mut body = ask("Hello there", 3);
    body["stream_options"] = json!({"include_usage": true, "continuous_usage_stats": true});
    let events = server.stream(COMPLETIONS, &body).read_all();
    let counts: Vec<_> =
        events.iter().map(|(_, event)| event["usage"]["completion_tokens"].clone()).collect();
    assert_eq!(counts, [json!(1), json!(2), json!(3), json!(3)]);
    let plain = server.stream(COMPLETIONS, &ask("Hello there", 3)).read_all();
    assert_eq!(plain.len(), 3);
    assert!(plain.iter().all(|(_, event)| event.get("usage").is_none()));
    let texts = |events: &[(Instant, Value)]| -> String {
        events
            .iter()
            .filter_map(|(_, event)| event["choices"][0]["text"].as_str().map(str::to_owned))
            .collect()
    };
    let whole = server.post(COMPLETIONS, &ask("Hello there", 3)).json();
    assert_eq!(whole["choices"][0]["text"], texts(&plain), "the stream says what the whole answer says");
}

#[test]
fn stop_ends_an_answer_and_token_ids_are_returned_on_request() {
    let server = Server::start(options(), 20.0);
    let whole = server.post(COMPLETIONS, &ask("Go on", 40)).json();
    let text = whole["choices"][0]["text"].as_str().expect("text").to_owned();
    let stop = text.split_whitespace().nth(5).expect("six words");
    let mut body = ask("Go on", 40);
    body["stop"] = json!([format!(" {stop}")]);
    body["return_token_ids"] = true.into();
    let cut = server.post(COMPLETIONS, &body).json();
    let choice = &cut["choices"][0];
    assert_eq!(
        (&choice["finish_reason"], &choice["stop_reason"]),
        (&json!("stop"), &json!(format!(" {stop}")))
    );
    assert!(text.starts_with(choice["text"].as_str().expect("text")));
    let ids = choice["token_ids"].as_array().expect("ids");
    assert_eq!(json!(ids.len()), cut["usage"]["completion_tokens"]);
    assert_eq!(choice["prompt_token_ids"].as_array().map(Vec::len), Some(2));
}

#[test]
fn other_paths_tell_what_serves_here() {
    let mut server = Server::with(options(), |settings| settings.served_names.push("other-name".to_owned()));
    assert_eq!((server.get("/health").status, server.get("/health").text.as_str()), (200, ""));
    assert_eq!(server.send("POST", "/ping", &[], "").status, 200);
    assert_eq!(server.get("/version").json(), json!({"version": "0.33.0"}));
    assert_eq!(server.get("/load").json(), json!({"server_load": 0}));
    let models = server.get("/v1/models").json();
    let ids: Vec<_> = models["data"].as_array().expect("models").iter().map(|card| &card["id"]).collect();
    assert_eq!(ids, ["m", "other-name"]);
    assert_eq!(models["data"][0]["max_model_len"], 40_960);
    let tokens =
        server.post("/tokenize", &json!({"prompt": "Hello there.", "return_token_strs": true})).json();
    assert_eq!((&tokens["count"], &tokens["token_strs"]), (&json!(3), &json!(["Hello", " there", "."])));
    assert_eq!(server.stop().requests, 0);
}

#[test]
fn refusals_look_like_vllms() {
    let server = Server::with(options(), |settings| settings.api_key = Some("secret".to_owned()));
    let authorized = [("content-type", "application/json"), ("authorization", "Bearer secret")];
    let post = |path: &str, body: &str| server.send("POST", path, &authorized, body);
    let error = |response: &client::Response| -> (u16, String, Value) {
        let body = response.json()["error"].clone();
        assert_eq!(body["code"], response.status);
        (response.status, body["type"].as_str().expect("a type").to_owned(), body["param"].clone())
    };
    let unknown = post(COMPLETIONS, r#"{"model": "x", "prompt": "a"}"#);
    assert_eq!(error(&unknown), (404, "NotFoundError".into(), "model".into()));
    assert_eq!(unknown.json()["error"]["message"], "The model `x` does not exist.");
    let broken = post(CHAT, "{\"messages\": [");
    assert_eq!(error(&broken), (400, "Bad Request".into(), "body".into()));
    let typed = post(CHAT, r#"{"messages": "hello"}"#);
    assert_eq!(error(&typed), (400, "Bad Request".into(), "body.messages".into()));
    let long = json!({"prompt": vec![7; 40_960]}).to_string();
    let long = post(COMPLETIONS, &long);
    assert_eq!(error(&long), (400, "BadRequestError".into(), "input_tokens".into()));
    assert!(long.text.contains("This model's maximum context length is 40960 tokens."));
    let no_type = server.send("POST", COMPLETIONS, &authorized[1..], "{}");
    assert_eq!(error(&no_type).0, 400);
    assert_eq!(error(&server.get("/nowhere")), (404, "Not Found".into(), Value::Null));
    assert_eq!(error(&server.get("/tokenize")), (405, "Method Not Allowed".into(), Value::Null));
    let locked = server.get("/v1/models");
    assert_eq!((locked.status, locked.json()), (401, json!({"error": "Unauthorized"})));
    assert_eq!(server.get("/health").status, 200, "only /v1 is locked");
}

#[test]
fn tokens_come_at_the_times_of_the_account() {
    let server = Server::start(options(), 1.0);
    let mut ttft_s = 0.0;
    let mut e2e_s = 0.0;
    for number in 0..4 {
        let stream = server.stream(COMPLETIONS, &ask(&long_prompt(&format!("{number}"), 400), 30));
        let asked = stream.asked;
        let events = stream.read_all();
        assert_eq!(events.len(), 30);
        ttft_s += (events[0].0 - asked).as_secs_f64();
        e2e_s += (events[29].0 - asked).as_secs_f64();
    }
    let sum = |name: &str| server.metric(&format!("vllm:{name}_seconds_sum"), "");
    assert_eq!(server.metric("vllm:time_to_first_token_seconds_count", ""), 4.0);
    assert_eq!(server.metric("vllm:inter_token_latency_seconds_count", ""), 4.0 * 29.0);
    // A busy machine wakes late, but nobody wakes early.
    let close = |measured: f64, account: f64| measured >= account * 0.99 && measured < account * 1.25 + 0.05;
    assert!(close(ttft_s, sum("time_to_first_token")), "{ttft_s} s, not {}", sum("time_to_first_token"));
    assert!(close(e2e_s, sum("e2e_request_latency")), "{e2e_s} s, not {}", sum("e2e_request_latency"));
    let decode_s = e2e_s - ttft_s;
    assert!(close(decode_s, sum("inter_token_latency")), "{decode_s} s, not {}", sum("inter_token_latency"));
}

#[test]
fn speed_divides_the_times() {
    let time = |speedup| {
        let server = Server::start(options(), speedup);
        server.post(COMPLETIONS, &ask("Hello", 50));
        server.metric("vllm:e2e_request_latency_seconds_sum", "")
    };
    let (plain, fast) = (time(1.0), time(10.0));
    assert!((plain / fast - 10.0).abs() < 0.01, "{plain} s, and {fast} s ten times as fast");
}

#[test]
fn texts_with_a_common_beginning_share_blocks() {
    let server = Server::start(options(), 20.0);
    let hits = || server.metric("vllm:prefix_cache_hits_total", "");
    let system = long_prompt("System", 160);
    server.post(COMPLETIONS, &ask(&format!("{system} alpha beta"), 2));
    assert_eq!(hits(), 0.0);
    server.post(COMPLETIONS, &ask(&format!("{system} gamma delta"), 2));
    assert_eq!(hits(), 160.0, "ten blocks of sixteen tokens");
    assert_eq!(server.metric("vllm:prefix_cache_queries_total", ""), 2.0 * 162.0);
    let mut salted = ask(&format!("{system} alpha beta"), 2);
    salted["cache_salt"] = "mine".into();
    server.post(COMPLETIONS, &salted);
    assert_eq!(hits(), 160.0, "a salt has a cache of its own");
}

#[test]
fn a_conversation_finds_its_own_answers_in_the_cache() {
    let server = Server::start(options(), 20.0);
    let mut body = chat(&long_prompt("Tell", 20));
    body["max_tokens"] = 100.into();
    body["ignore_eos"] = true.into();
    let first = server.post(CHAT, &body).json();
    let messages = body["messages"].as_array_mut().expect("messages");
    messages.push(first["choices"][0]["message"].clone());
    messages.push(json!({"role": "user", "content": "And then?"}));
    server.post(CHAT, &body);
    let said = first["usage"]["total_tokens"].as_f64().expect("a count");
    let hits = server.metric("vllm:prefix_cache_hits_total", "");
    // The last token of an answer takes its slot only with the next one.
    assert!(hits >= said - 17.0 && hits > 100.0, "{hits} of {said} tokens");
}

#[test]
fn a_client_that_goes_away_frees_its_place() {
    let server = Server::start(options(), 1.0);
    let mut streams = Vec::new();
    for number in 0..3 {
        let mut stream = server.stream(COMPLETIONS, &ask(&format!("Number {number}"), 30_000));
        assert!(stream.next().is_some());
        streams.push(stream);
    }
    server.wait_for("vllm:num_requests_running", 3.0);
    streams.remove(0).hang_up();
    server.wait_for("vllm:num_requests_running", 2.0);
    let whole = server.ask(
        "POST",
        COMPLETIONS,
        &[("content-type", "application/json")],
        &ask("Whole", 30_000).to_string(),
    );
    server.wait_for("vllm:num_requests_running", 3.0);
    drop(whole);
    server.wait_for("vllm:num_requests_running", 2.0);
    streams.into_iter().for_each(client::Events::hang_up);
    server.wait_for("vllm:num_requests_running", 0.0);
    server.wait_for("vllm:kv_cache_usage_perc", 0.0);
    assert_eq!(server.metric("vllm:request_success_total", "finished_reason=\"abort\""), 4.0);
}

#[test]
fn every_family_is_there_from_the_start_and_every_line_can_be_read() {
    let server = Server::start(RunOptions { num_instances: Some(2), ..options() }, 20.0);
    let response = server.get("/metrics");
    assert!(response.headers.contains("content-type: text/plain; version=0.0.4"));
    let mut kind = None;
    for line in response.text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            kind = rest.split_once(' ');
        } else if !line.starts_with("# HELP ") {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let (family, kind) = kind.expect("a type before the first series");
            let suffix = series.split('{').next().and_then(|name| name.strip_prefix(family));
            let known = if kind == "histogram" { vec!["_bucket", "_sum", "_count"] } else { vec![""] };
            assert!(suffix.is_some_and(|suffix| known.contains(&suffix)), "{line} in {family}");
        }
    }
    for name in ["num_requests_waiting", "num_requests_running", "kv_cache_usage_perc", "cache_config_info"] {
        let series = response.text.lines().filter(|line| line.starts_with(&format!("vllm:{name}{{"))).count();
        assert_eq!(series, 2, "one series of {name} for each instance");
    }
    assert!(response.text.contains("block_size=\"16\""));
    assert!(!response.text.contains("lora_requests_info"), "there are no adapters");
}

#[test]
fn a_cluster_spreads_its_requests() {
    let options =
        RunOptions { num_instances: Some(2), routing_policy: Some("round-robin".into()), ..options() };
    let server = Server::start(options, 20.0);
    for number in 0..6 {
        server.post(COMPLETIONS, &ask(&format!("Number {number}"), 2));
    }
    for engine in ["engine=\"0\"", "engine=\"1\""] {
        assert_eq!(server.metric("vllm:generation_tokens_total", engine), 6.0);
    }
}

#[test]
fn a_request_that_the_gateway_turns_away_gets_a_status() {
    let options = RunOptions { admission_policy: Some("reject-all".into()), ..options() };
    let server = Server::start(options, 1.0);
    let mut body = ask("Hello", 5);
    assert_eq!(server.post(COMPLETIONS, &body).status, 429);
    body["stream"] = true.into();
    let refused = server.post(COMPLETIONS, &body);
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (429, &json!(429)));
}

#[test]
fn stopping_lets_answers_end_and_takes_nothing_more() {
    let mut server = Server::start(options(), 1.0);
    let mut stream = server.stream(COMPLETIONS, &ask("Hello", 40));
    assert!(stream.next().is_some());
    let address = server.address;
    let reader = std::thread::spawn(move || stream.read_all().len());
    let summary = server.stop();
    assert_eq!(reader.join().expect("a whole stream"), 39);
    assert_eq!((summary.requests, summary.punctuality.tokens), (1, 40));
    assert!(std::net::TcpStream::connect(address).is_err(), "nobody listens any more");
}

#[test]
fn stopping_in_a_hurry_ends_answers() {
    let mut server =
        Server::with(options(), |settings| settings.shutdown_timeout = Duration::from_millis(50));
    let mut stream = server.stream(COMPLETIONS, &ask("Hello", 30_000));
    assert!(stream.next().is_some());
    let asked = Instant::now();
    server.stop();
    assert!(asked.elapsed() < Duration::from_secs(5));
}

/// Many streams at once: none fails, and none loses a token. `BLIS_MOCK_STREAMS=10000` makes it a load test; then
/// `--nocapture` shows how late tokens were.
#[test]
#[allow(clippy::print_stdout)] // figures, for whoever asks for them
fn many_streams_at_once_lose_nothing() {
    let streams: u32 =
        std::env::var("BLIS_MOCK_STREAMS").map_or(400, |count| count.parse().expect("a number"));
    let files = blis_live::mock::raise_open_files().expect("a limit");
    // Each stream has two ends in this process.
    assert!(files > 2 * u64::from(streams), "{files} open files are too few for {streams} streams");
    // They all run at once, on a cluster that is so slow that the tokens per second do not depend on how many there are.
    let (tokens, speedup) = (100, 400.0 / f64::from(streams));
    let (instances, most) = (4, i64::from(streams.div_ceil(4)));
    let options = RunOptions {
        num_instances: Some(instances),
        max_num_seqs: Some(most),
        max_num_batched_tokens: Some(most.max(2_048)),
        ..options()
    };
    let mut server = Server::start(options, speedup);
    let opened: Vec<_> = (0..streams)
        .map(|number| {
            let mut body = ask(&format!("Number {number}"), tokens);
            body["stream"] = true.into();
            body["stream_options"] = json!({"include_usage": true});
            server.ask("POST", COMPLETIONS, JSON, &body.to_string())
        })
        .collect();
    let load = || server.get("/load").json()["server_load"].as_u64().expect("a count");
    // The server reads requests while it answers others.
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut most_at_once = load();
    while most_at_once < u64::from(streams) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
        let now = load();
        if now < most_at_once {
            break;
        }
        most_at_once = now;
    }
    let is_over = |event: &Value| event["usage"]["completion_tokens"] == tokens;
    for connection in opened {
        let events = client::Events::of(connection).read_all();
        assert_eq!(events.len(), tokens as usize + 1);
        assert!(is_over(&events.last().expect("events").1));
    }
    let length = "finished_reason=\"length\"";
    assert_eq!(server.metric("vllm:request_success_total", length), f64::from(streams));
    assert_eq!(server.metric("vllm:num_requests_running", ""), 0.0);
    let summary = server.stop();
    println!("{most_at_once} of {streams} streams at once, {:?}", summary.punctuality);
    assert_eq!(summary.punctuality.tokens, u64::from(streams) * u64::from(tokens));
    assert!(most_at_once > u64::from(streams) / 2, "only {most_at_once} streams at once");
}
