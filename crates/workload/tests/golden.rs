//! Law: a seed gives the requests that inference-sim (commit f90a1e3a) gives for the same description.

use blis_kernel::Tick;
use blis_kernel::samplers::{ArrivalProcess, EmpiricalLengths, GapShape, LengthSampler};
use blis_workload::client::DEFAULT_SESSION_TIMEOUT;
use blis_workload::{
    Client, Labels, NormalLengths, Prefix, RequestEnd, RequestSource, RequestSpec, SyntheticLoad,
    SyntheticParams, Traffic, Workload, allocate_rates,
};

struct Row {
    arrival_us: i64,
    request: String,
    lengths: (u32, u32),
    tenant: String,
}

fn golden(name: &str) -> Vec<Row> {
    let path = format!("{}/tests/golden/{name}.csv", env!("CARGO_MANIFEST_DIR"));
    let mut reader = csv::Reader::from_path(path).unwrap();
    reader
        .records()
        .map(|record| {
            let record = record.unwrap();
            let number = |i: usize| record[i].parse().unwrap();
            Row {
                arrival_us: number(0) as i64,
                request: record[1].to_owned(),
                lengths: (number(2), number(3)),
                tenant: record[4].to_owned(),
            }
        })
        .collect()
}

fn assert_same(source: &dyn RequestSource, got: &RequestSpec, row: &Row) {
    assert_eq!(got.name.to_string(), row.request);
    assert_eq!(got.arrival.as_us(), row.arrival_us, "arrival of {}", row.request);
    assert_eq!((got.input_tokens, got.output_tokens), row.lengths, "lengths of {}", row.request);
    assert_eq!(source.labels()[got.labels.0 as usize].tenant, row.tenant, "tenant of {}", row.request);
}

fn check(name: &str, workload: &Workload) {
    let mut source = workload.stream();
    for row in golden(name) {
        let got = source.next_arrival().expect("as many requests as recorded");
        assert_same(&*source, &got, &row);
    }
    assert!(source.next_arrival().is_none(), "{name}: more requests than recorded");
}

fn client(
    id: &str,
    tenant: &str,
    process: ArrivalProcess,
    input: LengthSampler,
    output: LengthSampler,
) -> Client {
    let labels = Labels { client: id.into(), tenant: tenant.into(), ..Labels::default() };
    Client::new(labels, Traffic::Rate { per_us: 0.0, process }, input, output)
}

fn workload(seed: i64, rate_per_s: f64, max_requests: u64, clients: Vec<(f64, Client)>) -> Workload {
    let (fractions, mut clients): (Vec<f64>, Vec<Client>) = clients.into_iter().unzip();
    for (client, rate) in clients.iter_mut().zip(allocate_rates(rate_per_s, &fractions)) {
        if let Traffic::Rate { per_us, .. } = &mut client.traffic {
            *per_us = rate;
        }
    }
    Workload { seed, clients, horizon: Tick::MAX, max_requests: Some(max_requests), bounds_follow_ups: false }
}

fn normal(mean: f64, std_dev: f64, min: i64, max: i64) -> LengthSampler {
    LengthSampler::Gaussian { mean, std_dev, min, max }
}

fn exponential(mean: f64) -> LengthSampler {
    LengthSampler::Exponential { mean, min: 0, max: 0 }
}

fn lognormal(mu: f64, sigma: f64, min: i64, max: i64) -> LengthSampler {
    LengthSampler::Lognormal { mu, sigma, min, max }
}

fn varying(cv: f64) -> GapShape {
    GapShape { cv: Some(cv), ..GapShape::default() }
}

#[test]
fn flags_with_a_shared_prefix() {
    let params = SyntheticParams {
        client: "distribution".into(),
        load: SyntheticLoad::Rate { per_s: 12.5 },
        prompt_tokens: NormalLengths { mean: 300, std_dev: 250, min: 50, max: 900 },
        output_tokens: NormalLengths { mean: 60, std_dev: 40, min: 10, max: 150 },
        prefix_tokens: 200,
        timeout: Some(DEFAULT_SESSION_TIMEOUT),
        horizon: Tick::MAX,
        max_requests: Some(150),
        seed: 51,
    };
    check("dist-flags", &params.workload());
}

#[test]
fn every_arrival_process_and_most_length_distributions() {
    let clients = vec![
        (
            0.3,
            client(
                "p",
                "a",
                ArrivalProcess::Poisson,
                normal(200.0, 80.0, 20, 600),
                normal(60.0, 20.0, 4, 150),
            ),
        ),
        (0.3, client("g", "b", ArrivalProcess::Gamma(varying(2.5)), exponential(240.0), exponential(50.0))),
        (
            0.2,
            client(
                "w",
                "c",
                ArrivalProcess::Weibull(varying(0.6)),
                lognormal(5.3, 0.5, 0, 0),
                lognormal(3.8, 0.4, 0, 0),
            ),
        ),
        (
            0.2,
            client(
                "c",
                "d",
                ArrivalProcess::Constant,
                LengthSampler::Constant { value: 333 },
                LengthSampler::Constant { value: 44 },
            ),
        ),
    ];
    check("arrivals-all", &workload(61, 14.0, 140, clients));
}

#[test]
fn explicit_shapes_and_tables() {
    let table = |pairs: &[(i64, f64)]| LengthSampler::Empirical(EmpiricalLengths::new(pairs.iter().copied()));
    let gap = |cv, shape, scale_us| GapShape { cv: Some(cv), shape: Some(shape), scale_us: Some(scale_us) };
    let mixture =
        LengthSampler::ParetoLognormal { alpha: 1.8, xm: 120.0, mu: 5.2, sigma: 0.7, mix_weight: 0.25 };
    let clients = vec![
        (
            0.5,
            client(
                "gm",
                "",
                ArrivalProcess::Gamma(gap(1.4, 0.51, 196_000.0)),
                mixture,
                table(&[(20, 0.25), (45, 0.35), (90, 0.3), (200, 0.1)]),
            ),
        ),
        (
            0.5,
            client(
                "wb",
                "",
                ArrivalProcess::Weibull(gap(1.2, 0.84, 175_000.0)),
                table(&[(64, 2.0), (256, 5.0), (700, 2.0), (1_500, 1.0)]),
                lognormal(4.0, 0.5, 5, 220),
            ),
        ),
    ];
    check("arrivals-fitted", &workload(62, 10.0, 120, clients));
}

#[test]
fn four_prefix_groups() {
    let clients = [("t0", 0.4, 480), ("t1", 0.3, 544), ("t0", 0.2, 608), ("t1", 0.1, 672)]
        .into_iter()
        .enumerate()
        .map(|(i, (tenant, fraction, tokens))| {
            let lengths = (normal(120.0, 50.0, 8, 400), normal(60.0, 20.0, 4, 150));
            let plain = client(&format!("g{i}"), tenant, ArrivalProcess::Poisson, lengths.0, lengths.1);
            (fraction, Client { prefix: Some(Prefix { group: format!("pg{i}"), tokens }), ..plain })
        })
        .collect();
    check("prefix-groups", &workload(64, 12.0, 120, clients));
}

#[test]
fn users_with_think_time_follow_up_until_the_budget_is_spent() {
    let think_us = 350_000;
    let params = SyntheticParams {
        client: "distribution".into(),
        load: SyntheticLoad::Concurrency { users: 6, think_time: Tick::from_us(think_us) },
        prompt_tokens: NormalLengths { mean: 256, std_dev: 80, min: 2, max: 7_000 },
        output_tokens: NormalLengths { mean: 60, std_dev: 20, min: 2, max: 7_000 },
        prefix_tokens: 0,
        timeout: Some(DEFAULT_SESSION_TIMEOUT),
        horizon: Tick::MAX,
        max_requests: Some(70),
        seed: 56,
    };
    let rows = golden("concurrency-think");
    let mut source = params.workload().stream();
    let mut last_of_user = std::collections::BTreeMap::new();
    for (number, row) in rows.iter().enumerate() {
        let got = if number < 6 {
            source.next_arrival().expect("six users")
        } else {
            // The record tells when the follow-up was sent; its predecessor ended a think time earlier.
            let user = row.request.strip_prefix("session_").unwrap().split("_round").next().unwrap();
            let at = Tick::from_us(row.arrival_us - think_us);
            source
                .on_end(last_of_user[user], at, RequestEnd::Completed { output_tokens: 1 })
                .expect("budget left")
        };
        assert_same(&*source, &got, row);
        assert_eq!(got.deadline, Some(got.arrival + DEFAULT_SESSION_TIMEOUT));
        let session = got.session.unwrap();
        last_of_user.insert(source.session_name(session.session).to_owned(), session);
    }
    assert!(source.next_arrival().is_none());
    let end = last_of_user.into_values().next().unwrap();
    let answer = RequestEnd::Completed { output_tokens: 1 };
    assert!(source.on_end(end, Tick::from_us(1_000_000_000), answer).is_none(), "70 requests were allowed");
}

/// 108 requests of three groups of two clients, each with its share spread over 12 seconds.
#[test]
fn counted_arrivals_are_as_recorded() {
    let constant = |value| LengthSampler::Constant { value };
    let clients = (0..6).map(|number| {
        let group = format!("prompt-{}", number / 2);
        let labels = Labels { tenant: group.clone(), ..Labels::default() };
        let traffic = Traffic::Counted { requests: 18, duration: Tick::from_us(12_000_000) };
        let prefix = Some(Prefix { group, tokens: 400 });
        Client { prefix, ..Client::new(labels, traffic, constant(90), constant(60)) }
    });
    let workload = Workload {
        seed: 81,
        clients: clients.collect(),
        horizon: Tick::MAX,
        max_requests: None,
        bounds_follow_ups: false,
    };
    check("counted", &workload);
}
