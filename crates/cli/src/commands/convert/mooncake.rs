//! `blis convert mooncake`.

use super::recording::{Kind, RecordingFlags, convert};
use crate::Exit;
use crate::flags::{Findings, Typed};
use blis::Diagnostic;
use blis_convert::{Facts, MooncakeOptions, mooncake};
use clap::Args;

const DEFAULT_BLOCK_TOKENS: i64 = 512;
/// Blocks are shorter than this.
const BLOCK_TOKENS_LIMIT: i64 = 1 << 30;

#[derive(Args, Debug)]
pub(crate) struct MooncakeArgs {
    #[command(flatten)]
    files: RecordingFlags,
    /// Tokens of the blocks that hash_ids name [default: 512]
    #[arg(long, value_name = "INT")]
    block_tokens: Option<Typed<i64>>,
}

/// # Errors
/// Whatever is wrong with the flags or the files.
pub(super) fn run(args: MooncakeArgs, mut findings: Findings) -> Result<(), Exit> {
    let tokens = findings.value("--block-tokens", args.block_tokens).unwrap_or(DEFAULT_BLOCK_TOKENS);
    if !(1..BLOCK_TOKENS_LIMIT).contains(&tokens) {
        let most = BLOCK_TOKENS_LIMIT - 1;
        findings.add(Diagnostic::new(format!("--block-tokens is {tokens}; it must be from 1 to {most}")));
    }
    let block_tokens = tokens as u32;
    let mut kind = Kind::traffic("mooncake");
    kind.header.prefix_block_tokens = Some(block_tokens);
    kind.columns.blocks = true;
    convert(args.files, findings, kind, |input, sink| {
        mooncake(input, MooncakeOptions { block_tokens }, sink).map(|()| Facts::default())
    })
}
