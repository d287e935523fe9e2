//! Measured operators of GPUs (`scripts/kernel_tables.py` makes the files).

use crate::diagnostic::Diagnostic;
use blis_latency::profiled::KernelTables;
use flate2::read::ZlibDecoder;
use std::io::Read;
use std::sync::{Arc, OnceLock};

/// Most bytes of a GPU's tables once they are unpacked; more is damage.
const MAX_BYTES: u64 = 1 << 28;

/// GPU names, the name of their tables, and the built-in ones.
const TABLES: [(&[&str], &str, &[u8]); 7] = [
    (&["A100-80", "A100-SXM"], "a100", include_bytes!("../../data/kernels/a100.kern")),
    (&["B200"], "b200", include_bytes!("../../data/kernels/b200.kern")),
    (&["B300"], "b300", include_bytes!("../../data/kernels/b300.kern")),
    (&["GB200"], "gb200", include_bytes!("../../data/kernels/gb200.kern")),
    (&["H100"], "h100", include_bytes!("../../data/kernels/h100.kern")),
    (&["H200"], "h200", include_bytes!("../../data/kernels/h200.kern")),
    (&["L40S"], "l40s", include_bytes!("../../data/kernels/l40s.kern")),
];

/// Names of the GPUs with built-in tables, in alphabetical order.
pub fn measured_gpus() -> Vec<&'static str> {
    TABLES.iter().flat_map(|(gpus, ..)| gpus.iter().copied()).collect()
}

/// The name of the file in a user's folder that holds a GPU's tables.
pub fn file_name(gpu: &str) -> String {
    let known = TABLES.iter().find(|(gpus, ..)| gpus.contains(&gpu)).map(|(_, name, _)| (*name).to_owned());
    format!("{}.kern", known.unwrap_or_else(|| gpu.to_lowercase()))
}

/// The built-in tables of a GPU, unpacked once.
pub(super) fn embedded(gpu: &str) -> Option<Arc<KernelTables>> {
    static UNPACKED: [OnceLock<Arc<KernelTables>>; TABLES.len()] = [const { OnceLock::new() }; TABLES.len()];
    let place = TABLES.iter().position(|(gpus, ..)| gpus.contains(&gpu))?;
    let (.., bytes) = TABLES[place];
    let unpacked = || unpacked(bytes, "embedded tables").unwrap_or_else(|problem| panic!("{problem}"));
    Some(Arc::clone(UNPACKED[place].get_or_init(|| Arc::new(unpacked()))))
}

/// Reads a file of tables.
///
/// # Errors
/// The bytes are no tables.
pub fn unpacked(bytes: &[u8], file: &str) -> Result<KernelTables, Diagnostic> {
    let mut plain = Vec::new();
    let read = ZlibDecoder::new(bytes).take(MAX_BYTES).read_to_end(&mut plain);
    let tables = read.map_err(|error| error.to_string());
    let tables = tables.and_then(|_| KernelTables::from_bytes(&plain).map_err(|bad| bad.to_string()));
    tables.map_err(|what| {
        Diagnostic::new(what)
            .in_file(file)
            .with_help("scripts/kernel_tables.py writes such files from an installed aiconfigurator-core")
    })
}

#[cfg(test)]
mod tests {
    use super::{embedded, file_name, measured_gpus, unpacked};

    #[test]
    fn every_measured_gpu_has_sound_tables() {
        for gpu in measured_gpus() {
            let tables = embedded(gpu).expect("it is listed");
            assert!(tables.source().starts_with("aiconfigurator-core "), "{gpu}: {}", tables.source());
        }
        assert_eq!(embedded("MI300X"), None);
    }

    #[test]
    fn a_users_file_is_named_after_the_gpu_and_a_damaged_one_is_refused() {
        assert_eq!(file_name("A100-SXM"), "a100.kern");
        assert_eq!(file_name("MI300X"), "mi300x.kern");
        let problem =
            unpacked(b"no zlib", "mine/h100.kern").expect_err("it is no file of tables").to_string();
        assert!(problem.starts_with("mine/h100.kern: "), "{problem}");
    }
}
