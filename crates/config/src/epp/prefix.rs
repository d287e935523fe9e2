//! Scorers of cached prefixes: the router's own guess, or what the instances report.

use super::file::EppFile;
use super::{Generation, Mapper};
use crate::diagnostic::Diagnostic;
use crate::yaml::tree::Section;

/// Releases from 0.9 on never match smaller blocks than this many tokens.
const SMALLEST_BLOCK_TOKENS: i64 = 64;
/// Tokens of a block where nobody says anything, there and here.
const BLOCK_TOKENS: i64 = 16;
/// Blocks of an instance that are remembered where nobody says anything.
const CAPACITY: i64 = 31_250;
/// Tokens and blocks of a prompt that are looked at where nobody says anything, by generation.
const MAX_TOKENS: i64 = 131_072;
const MAX_BLOCKS: i64 = 2_048;
const MAX_BLOCKS_BEFORE: i64 = 256;

/// The router's guess as a file describes it.
struct Guess {
    auto_tune: bool,
    block_tokens: i64,
    max_tokens: i64,
    max_blocks: i64,
    capacity: i64,
}

impl Mapper<'_, '_> {
    /// The scorer here that a prefix scorer there is.
    pub(super) fn prefix_scorer(&mut self, file: &mut EppFile, index: usize) -> Option<&'static str> {
        let is_precise = file.plugins[index].kind.starts_with("precise");
        let params = file.plugins[index].params.take();
        if self.generation == Generation::Inference {
            if is_precise {
                if let Some(mut params) = params {
                    self.precise(&mut params);
                    self.finish(params);
                }
                return Some("precise-prefix-cache");
            }
            let guess = self.guess(params);
            return self.prefix_affinity(&guess, 1);
        }
        let mut producer = None;
        if let Some(mut params) = params {
            producer = params.text(&mut self.findings, "prefixMatchInfoProducerName");
            let weight = params.number(
                &mut self.findings,
                "matchLengthWeight",
                |weight| (0.0..=1.0).contains(&weight),
                "from 0 to 1",
            );
            if let Some(weight) = weight.filter(|weight| weight.value > 0.0) {
                self.not_modelled_value(
                    &weight,
                    "the score is the share of the prompt alone, not its length",
                );
            }
            params.number(&mut self.findings, "matchLengthScaleTokens", f64::is_finite, "a finite number");
            if is_precise {
                self.precise(&mut params);
            }
            self.finish(params);
        }
        let producer = producer.filter(|name| !name.value.is_empty());
        let at = match &producer {
            Some(name) => Some(self.refer(file, name)?),
            None if is_precise => file.plugins.iter().position(|p| p.kind == "precise-prefix-cache-producer"),
            None => file.find("approx-prefix-cache-producer"),
        };
        let params = at.and_then(|at| {
            file.plugins[at].is_used = true;
            file.plugins[at].params.take()
        });
        let is_precise = is_precise || at.is_some_and(|at| file.plugins[at].kind.starts_with("precise"));
        if !is_precise {
            let guess = self.guess(params);
            return self.prefix_affinity(&guess, SMALLEST_BLOCK_TOKENS);
        }
        let mut block_tokens = BLOCK_TOKENS;
        if let Some(mut params) = params {
            block_tokens = self.precise(&mut params).unwrap_or(block_tokens);
            self.finish(params);
        }
        let granularity = self.granularity(block_tokens)?;
        self.param("cached-share-granularity", granularity as f64);
        Some("cached-share")
    }

    fn guess(&mut self, params: Option<Section>) -> Guess {
        let is_old = self.generation == Generation::Inference;
        let mut guess = Guess {
            auto_tune: !is_old,
            block_tokens: BLOCK_TOKENS,
            max_tokens: if is_old { 0 } else { MAX_TOKENS },
            max_blocks: if is_old { MAX_BLOCKS_BEFORE } else { MAX_BLOCKS },
            capacity: CAPACITY,
        };
        let Some(mut params) = params else { return guess };
        let findings = &mut self.findings;
        if let Some(auto_tune) = params.flag(findings, "autoTune") {
            guess.auto_tune = auto_tune.value;
        }
        for (key, value) in [
            ("blockSizeTokens", &mut guess.block_tokens),
            ("maxPrefixTokensToMatch", &mut guess.max_tokens),
            ("maxPrefixBlocksToMatch", &mut guess.max_blocks),
            ("lruCapacityPerServer", &mut guess.capacity),
        ] {
            let least = i64::from(key == "blockSizeTokens" || key == "lruCapacityPerServer");
            if let Some(given) = params.whole(findings, key, least..=i64::from(u32::MAX)) {
                *value = given.value;
            }
        }
        let block = params.whole(findings, "blockSize", 0..=i64::from(u32::MAX));
        let characters = params.whole(findings, "hashBlockSize", 0..=i64::from(u32::MAX));
        match block.filter(|block| block.value > 0) {
            Some(block) if is_old => {
                self.not_modelled_value(&block, "it counts characters, and prompts are tokens here");
            }
            Some(block) if guess.block_tokens == BLOCK_TOKENS => guess.block_tokens = block.value,
            _ => {}
        }
        if let Some(characters) = characters {
            self.not_modelled_value(&characters, "it counts characters, and prompts are tokens here");
        }
        self.finish(params);
        guess
    }

    fn prefix_affinity(&mut self, guess: &Guess, smallest_block_tokens: i64) -> Option<&'static str> {
        let own_block_tokens = self.options.block_size_in_tokens.unwrap_or(BLOCK_TOKENS).max(1);
        let block_tokens = if guess.auto_tune { own_block_tokens } else { guess.block_tokens };
        let block_tokens = block_tokens.max(smallest_block_tokens);
        let granularity = self.granularity(block_tokens)?;
        let capacity = match self.options.total_kv_blocks.filter(|_| guess.auto_tune) {
            Some(reported) => reported,
            None => guess.capacity,
        };
        let max_blocks =
            if guess.max_tokens > 0 { guess.max_tokens / block_tokens } else { guess.max_blocks };
        if guess.auto_tune && self.options.total_kv_blocks.is_none() {
            self.findings.warn(
                None,
                Diagnostic::new(format!(
                    "autoTune takes the capacity of the prefix index from the instances; {capacity} blocks are taken here"
                ))
                .with_help("--total-kv-blocks says how many an instance has"),
            );
        }
        self.param("prefix-affinity-granularity", granularity as f64);
        self.param("prefix-affinity-capacity", (capacity.max(1) * granularity) as f64);
        self.param("prefix-affinity-max-blocks", (max_blocks * granularity) as f64);
        Some("prefix-affinity")
    }

    /// What of a precise index matters; gives the tokens of its blocks.
    fn precise(&mut self, params: &mut Section) -> Option<i64> {
        let findings = &mut self.findings;
        let mut block_tokens = None;
        if let Some(mut section) = params.section(findings, "tokenProcessorConfig") {
            section.ignore_case(super::plugins::PARAMETERS);
            let whole = 0..=i64::from(u32::MAX);
            let given = section.whole(findings, "blockSizeTokens", whole.clone());
            let alias = section.whole(findings, "blockSize", whole);
            block_tokens = given.or(alias).map(|item| item.value).filter(|&tokens| tokens > 0);
        }
        let tiers = params
            .section(findings, "indexerConfig")
            .and_then(|mut indexer| indexer.sections(findings, "kvCacheBackendConfigs"));
        for mut tier in tiers.unwrap_or_default() {
            let name = tier.text(findings, "name").map(|name| name.value);
            let weight = tier.number(findings, "weight", f64::is_finite, "a finite number");
            let is_empty = name.as_deref() == Some("cpu") && self.options.kv_cpu_blocks.unwrap_or(0) == 0;
            if let Some(weight) = weight.filter(|weight| weight.value != 1.0 && !is_empty) {
                let what = "blocks count the same wherever an instance holds them";
                weight.report(findings, format_args!("is not modelled: {what}"));
            }
        }
        // Transport.
        params.take("kvEventsConfig");
        params.take("speculativeTTL");
        if let Some(flag) = params.flag(findings, "speculativeIndexing").filter(|flag| flag.value) {
            self.not_modelled_value(&flag, "what was just routed counts as cached once an instance says so");
        }
        block_tokens
    }

    /// How many of our blocks one of theirs is.
    fn granularity(&mut self, block_tokens: i64) -> Option<i64> {
        let own = self.options.block_size_in_tokens.unwrap_or(BLOCK_TOKENS).max(1);
        if block_tokens % own == 0 {
            return Some(block_tokens / own);
        }
        let text = format!("blocks of {block_tokens} tokens are not made of whole KV blocks of {own} tokens");
        self.findings
            .problem(None, Diagnostic::new(text).with_help("--block-size-in-tokens has to divide them"));
        None
    }
}
