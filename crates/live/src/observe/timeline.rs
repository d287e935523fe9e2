//! How an observation went: who waited and who was answered, at evenly spaced times.

use super::Observation;
use blis_kernel::Tick;
use blis_metrics::{Sample, Timeline};

/// The requests in flight, as their clients saw them: before the first token they wait, from then on they run.
pub fn timeline(observation: &Observation) -> Timeline {
    let clock = &observation.clock;
    let times = observation.requests.iter().map(|request| {
        let exchange = &request.exchange;
        let ended_at = clock.time(exchange.ended_at);
        (clock.time(exchange.sent_at), exchange.first_at.map_or(ended_at, |at| clock.time(at)), ended_at)
    });
    of_times(times)
}

/// Of the times of sending, of the first token and of the end.
fn of_times(times: impl Iterator<Item = (Tick, Tick, Tick)>) -> Timeline {
    let (mut sent, mut first, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    for (sent_at, first_at, ended_at) in times {
        sent.push(sent_at);
        first.push(first_at);
        ended.push(ended_at);
    }
    for times in [&mut sent, &mut first, &mut ended] {
        times.sort_unstable();
    }
    let mut timeline = Timeline::default();
    let last = ended.last().copied().unwrap_or_default();
    while timeline.next_at() <= last {
        let at = timeline.next_at();
        let before = |times: &[Tick]| times.partition_point(|&time| time < at) as u64;
        let (arrived, answered, ended) = (before(&sent), before(&first), before(&ended));
        timeline.push(Sample {
            at,
            arrived,
            ended,
            waiting: arrived - answered,
            running: answered - ended,
            ..Sample::default()
        });
    }
    timeline
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_wait_until_their_first_token() {
        let ms = |ms: i64| Tick::from_us(ms * 1_000);
        let times = [(ms(0), ms(10), ms(30)), (ms(5), ms(20), ms(20)), (ms(40), ms(41), ms(60))];
        let timeline = of_times(times.into_iter());
        let at = |at: i64| {
            let sample = timeline.samples().iter().find(|sample| sample.at == ms(at)).expect("a sample");
            (sample.arrived, sample.waiting, sample.running, sample.ended)
        };
        assert_eq!(
            [at(0), at(6), at(15), at(35), at(60)],
            [(0, 0, 0, 0), (2, 2, 0, 0), (2, 1, 1, 0), (2, 0, 0, 2), (3, 0, 1, 2)]
        );
    }
}
