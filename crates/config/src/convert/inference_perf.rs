//! The block of a benchmark as plain clients.

use super::{Converted, finish};
use crate::Diagnostic;
use crate::workload_file;

/// The workload file `text` with its `inference_perf` block written out. Gaps become those of Poisson processes at the
/// same rates.
///
/// # Errors
/// Everything that is wrong with the file.
pub fn inference_perf(text: &str, file_name: &str) -> Result<Converted, Vec<Diagnostic>> {
    let (file, warnings) = workload_file::expand_inference_perf(text, file_name)?;
    finish(&file, warnings)
}

#[cfg(test)]
mod tests {
    use super::inference_perf;
    use crate::workload_file::{self, Overrides, WorkloadFile};
    use blis_kernel::Tick;

    fn block(stages: &str, chat: bool) -> String {
        format!(
            "version: 2\nseed: 5\ninference_perf:\n  stages: [{stages}]\n  shared_prefix: \
             {{num_unique_system_prompts: 3, num_users_per_system_prompt: 2, system_prompt_len: 40, \
             question_len: 9, output_len: 5, enable_multi_turn_chat: {chat}}}\n"
        )
    }

    fn read(text: &str) -> WorkloadFile {
        workload_file::read(text, "w.yaml", Overrides::default()).unwrap_or_else(|p| panic!("{p:#?}\n{text}"))
    }

    fn arrivals(text: &str) -> Vec<Tick> {
        let mut stream = read(text).workload.stream();
        std::iter::from_fn(|| stream.next_arrival()).map(|request| request.arrival).collect()
    }

    #[test]
    fn one_stage_has_exactly_its_requests_in_its_time() {
        let arrivals = arrivals(&block("{rate: 10, duration: 7}", false));
        assert_eq!(arrivals.len(), 70);
        assert!(arrivals.iter().all(|&at| at <= Tick::from_us(7_000_000)));
    }

    /// Law: every stage runs at its own rate, as the block is and as it is written out.
    #[test]
    fn a_written_out_file_keeps_the_rate_of_every_stage() {
        let text = block("{rate: 8, duration: 600}, {rate: 20, duration: 600}", false);
        let written = inference_perf(&text, "w.yaml").unwrap().yaml;
        for text in [text, written] {
            let arrivals = arrivals(&text);
            let first = arrivals.iter().filter(|&&at| at < Tick::from_us(600_000_000)).count();
            // Five standard deviations of a Poisson count.
            assert!((first as f64 - 4_800.0).abs() < 350.0, "{first}");
            let second = arrivals.len() - first;
            assert!((second as f64 - 12_000.0).abs() < 550.0, "{second}");
        }
    }

    #[test]
    fn chatting_users_share_the_rounds_and_those_without_any_are_left_out() {
        let workload = read(&block("{rate: 2, duration: 2}", true)).workload;
        let rounds: Vec<_> = workload.clients.iter().map(|c| c.conversation.unwrap().max_rounds).collect();
        assert_eq!(rounds, [1, 1, 1, 1], "four requests for six users");
        assert_eq!(workload.clients[3].labels.client, "prompt-1-user-1");
        assert_eq!(workload.clients[0].conversation.unwrap().think_time, Tick::from_us(3_000_000));
        let written = inference_perf(&block("{rate: 2, duration: 2}", true), "w.yaml").unwrap().yaml;
        let again = read(&written).workload;
        let names = |workload: &blis_workload::Workload| -> Vec<String> {
            workload.clients.iter().map(|client| client.labels.client.clone()).collect()
        };
        assert_eq!(names(&again), names(&workload));
        assert_eq!(again.clients[0].conversation, workload.clients[0].conversation);
    }

    #[test]
    fn a_prompt_of_no_tokens_is_no_prefix() {
        let text =
            block("{rate: 10, duration: 7}", false).replace("system_prompt_len: 40", "system_prompt_len: 0");
        assert!(read(&text).workload.clients.iter().all(|client| client.prefix.is_none()));
    }

    #[test]
    fn everything_that_is_wrong_with_a_block_is_told_at_once() {
        let problems = |text: &str| -> Vec<String> {
            inference_perf(text, "w.yaml").unwrap_err().iter().map(ToString::to_string).collect()
        };
        let bad =
            block("{rate: 0, duration: 7}, {rate: 3}", false).replace("num_users_per_system_prompt: 2, ", "");
        let found = problems(&bad);
        let expected = [
            "w.yaml:5:18: inference_perf.shared_prefix.num_users_per_system_prompt is missing",
            "w.yaml:4:19: inference_perf.stages[0].rate is 0; it must be a finite number above 0",
            "w.yaml:4:36: inference_perf.stages[1].duration is missing",
        ];
        assert_eq!(found, expected, "{found:#?}");
        let few = problems(&block("{rate: 1, duration: 5}", false));
        assert!(few[0].contains("stages[0] has 5 requests, rate times duration, for 6 clients"), "{few:?}");
        assert!(problems("version: 2\nnum_requests: 4\n")[0].contains("inference_perf is missing"));
        let both = block("{rate: 10, duration: 7}", false) + "cohorts: [{population: 1}]\n";
        assert!(problems(&both).iter().any(|p| p.contains("cohorts and inference_perf are given")));
    }
}
