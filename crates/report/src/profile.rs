//! What a workload looks like: for people in at most 80 columns, and as one JSON document.

use crate::json::{self, Object};
use crate::sparkline::sparkline;
use crate::table::{finished, new_table};
use blis_workload::Profile;
use blis_workload::profile::{ProfileOptions, Tally};
use std::fmt::{Result, Write};

/// Widest curve.
const CURVE_COLUMNS: usize = 64;
/// Columns of a distribution of lengths.
const LENGTH_COLUMNS: usize = 48;
/// Prefix groups that a table shows.
const SHOWN_GROUPS: usize = 10;

/// The profile of the workload `name`, for reading, ending in a newline.
pub fn profile_table(name: &str, profile: &Profile, options: ProfileOptions) -> String {
    let mut out = String::new();
    write_table(&mut out, name, profile, options).expect("a string takes everything");
    out
}

fn write_table(out: &mut String, name: &str, profile: &Profile, options: ProfileOptions) -> Result {
    let seconds = (profile.last - profile.first).as_us() as f64 / 1e6;
    let (requests, clients) = (profile.requests, profile.names.clients);
    writeln!(out, "{name}: {requests} requests from {clients} clients within {seconds:.3} s")?;
    if requests == 0 {
        return Ok(());
    }
    if profile.is_cut {
        writeln!(out, "only the first {requests} requests were looked at; there are more")?;
    }
    if profile.is_reactive {
        let ms = options.token_time.as_us() as f64 / 1e3;
        writeln!(out, "some requests wait for answers; here a token of an answer takes {ms} ms")?;
    }
    write_rate(out, profile, seconds)?;
    for (what, lengths) in [("prompts", &profile.prompt), ("answers", &profile.output)] {
        let (least, most) = (lengths.quantile(0.0), lengths.quantile(1.0));
        writeln!(out, "\n{what} of {least} to {most} tokens, left to right in equal ratios")?;
        writeln!(out, "  {}", sparkline(&length_bins(lengths)))?;
    }
    let mut table = new_table(&["tokens", "mean", "min", "p10", "p50", "p90", "p99", "max", "sum"]);
    for (what, lengths) in [("prompt", &profile.prompt), ("answer", &profile.output)] {
        let quantiles = [0.0, 0.1, 0.5, 0.9, 0.99, 1.0].map(|q| lengths.quantile(q).to_string());
        let mut row = vec![what.to_owned(), format!("{:.1}", lengths.mean())];
        row.extend(quantiles);
        row.push(lengths.sum().to_string());
        table.add_row(row);
    }
    writeln!(out, "\n{}", finished(table))?;
    write_sharing(out, profile)?;
    if profile.rounds.total() > 0 {
        let rounds = &profile.rounds;
        let (sessions, mean, most) = (rounds.total(), rounds.mean(), rounds.quantile(1.0));
        writeln!(out, "\n{sessions} sessions of {mean:.1} requests on average, {most} at most")?;
    }
    let mut table = new_table(&["SLO class", "requests", "share", "prompt p50", "p99", "answer p50", "p99"]);
    for (class, figures) in &profile.classes {
        let count = figures.prompt.total();
        let mut row = vec![
            if class.is_empty() { "(none)".to_owned() } else { class.clone() },
            count.to_string(),
            percent(count, requests),
        ];
        for lengths in [&figures.prompt, &figures.output] {
            row.extend([0.5, 0.99].map(|q| lengths.quantile(q).to_string()));
        }
        table.add_row(row);
    }
    writeln!(out, "\n{}", finished(table))?;
    let names = profile.names;
    let kinds = [(names.tenants, "tenants"), (names.models, "models"), (names.adapters, "adapters")];
    let kinds: Vec<_> = kinds.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    if kinds.is_empty() { Ok(()) } else { writeln!(out, "\n{} are named", kinds.join(", ")) }
}

fn write_rate(out: &mut String, profile: &Profile, seconds: f64) -> Result {
    let counts = profile.rate.counts();
    let merged = counts.len().div_ceil(CURVE_COLUMNS).max(1);
    let bins: Vec<f64> = counts.chunks(merged).map(|bins| bins.iter().sum::<u64>() as f64).collect();
    let bin_s = profile.rate.bin().as_us() as f64 / 1e6 * merged as f64;
    let busiest = bins.iter().copied().fold(0.0, f64::max) / bin_s;
    if seconds > 0.0 {
        let (mean, cv) = ((profile.requests - 1) as f64 / seconds, profile.gap_cv);
        writeln!(out, "{mean:.3} requests/s on average, variation of gaps {cv:.2} (Poisson: 1)")?;
    }
    writeln!(out, "\narrivals from time 0 on, {bin_s} s per column, at most {busiest:.3} requests/s")?;
    writeln!(out, "  {}", sparkline(&bins))
}

fn write_sharing(out: &mut String, profile: &Profile) -> Result {
    let sharing = &profile.sharing;
    let all = sharing.fresh_tokens + sharing.prefix_tokens + sharing.history_tokens;
    writeln!(
        out,
        "\nprompt tokens: {} new, {} shared prefixes, {} earlier rounds",
        percent(sharing.fresh_tokens, all),
        percent(sharing.prefix_tokens, all),
        percent(sharing.history_tokens, all)
    )?;
    if sharing.groups.is_empty() {
        return Ok(());
    }
    let mut groups: Vec<_> = sharing.groups.iter().collect();
    groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.requests));
    let mut table = new_table(&["prefix group", "tokens", "requests", "share"]);
    for (name, group) in groups.iter().take(SHOWN_GROUPS) {
        let figures = [group.tokens.to_string(), group.requests.to_string()];
        let share = percent(group.requests, profile.requests);
        table.add_row([(*name).clone()].into_iter().chain(figures).chain([share]));
    }
    writeln!(out, "\n{}", finished(table))?;
    match groups.len().saturating_sub(SHOWN_GROUPS) {
        0 => Ok(()),
        more => writeln!(out, "… and {more} more groups"),
    }
}

fn percent(part: u64, all: u64) -> String {
    format!("{:.1} %", if all == 0 { 0.0 } else { part as f64 / all as f64 * 100.0 })
}

/// How many lengths lie in each of so many intervals that grow in the same ratio.
fn length_bins(lengths: &Tally) -> Vec<f64> {
    let (least, most) = (lengths.quantile(0.0).max(1), lengths.quantile(1.0).max(1));
    let ratio = libm::log(f64::from(most) / f64::from(least));
    let mut bins = vec![0.0; LENGTH_COLUMNS];
    for (length, count) in lengths.iter() {
        let place = libm::log(f64::from(length.max(1)) / f64::from(least)) / ratio;
        let place = if ratio > 0.0 { (place * LENGTH_COLUMNS as f64) as usize } else { LENGTH_COLUMNS / 2 };
        bins[place.min(LENGTH_COLUMNS - 1)] += count as f64;
    }
    bins
}

/// The profile as JSON, ending in a newline.
pub fn profile_document(name: &str, profile: &Profile, options: ProfileOptions) -> String {
    let mut text = json::object(|o| {
        o.field("workload", name);
        o.field("requests", profile.requests);
        o.field("is_cut", profile.is_cut);
        o.field("waits_for_answers", profile.is_reactive);
        if profile.is_reactive {
            o.field("assumed_token_time_us", options.token_time.as_us());
        }
        o.field("first_arrival_us", profile.first.as_us());
        o.field("last_arrival_us", profile.last.as_us());
        o.field("gap_cv", profile.gap_cv);
        o.object("names", |o| {
            let names = profile.names;
            o.field("clients", names.clients as u64);
            o.field("tenants", names.tenants as u64);
            o.field("models", names.models as u64);
            o.field("adapters", names.adapters as u64);
        });
        let mut start_us = 0;
        o.array("rate", profile.rate.counts().iter().zip(profile.rate.per_s()), |o, (&count, per_s)| {
            o.field("start_us", start_us);
            o.field("requests", count);
            o.field("requests_per_s", per_s);
            start_us += profile.rate.bin().as_us();
        });
        o.object("prompt_tokens", |o| write_tally(o, &profile.prompt));
        o.object("output_tokens", |o| write_tally(o, &profile.output));
        o.object("prompt_token_sources", |o| {
            o.field("new", profile.sharing.fresh_tokens);
            o.field("shared_prefixes", profile.sharing.prefix_tokens);
            o.field("earlier_rounds", profile.sharing.history_tokens);
        });
        o.array("prefix_groups", &profile.sharing.groups, |o, (name, group)| {
            o.field("name", name);
            o.field("tokens", group.tokens);
            o.field("requests", group.requests);
        });
        if profile.rounds.total() > 0 {
            o.object("requests_per_session", |o| write_tally(o, &profile.rounds));
        }
        o.array("slo_classes", &profile.classes, |o, (name, class)| {
            o.field("name", name);
            o.field("requests", class.prompt.total());
            o.object("prompt_tokens", |o| write_tally(o, &class.prompt));
            o.object("output_tokens", |o| write_tally(o, &class.output));
        });
    });
    text.push('\n');
    text
}

fn write_tally(o: &mut Object<'_>, tally: &Tally) {
    o.field("count", tally.total());
    o.field("sum", tally.sum());
    o.field("mean", tally.mean());
    for (key, q) in [("min", 0.0), ("p10", 0.1), ("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)] {
        o.field(key, tally.quantile(q));
    }
}
