//! Instances that hold the request's LoRA adapter first: 1 where it is resident, 0 elsewhere. All alike, 1, for a request
//! without adapter, and where all or none have it.

use crate::Reads;
use crate::registry::{Entry, MakeScorer};
use crate::routing::{RouterView, Scorer};

/// What the registry says of it.
pub const ENTRY: Entry<MakeScorer> = Entry {
    name: "lora-affinity",
    summary: "the request's LoRA adapter is resident",
    formula: "1 where it is, 0 where it is not; 1 for all without an adapter, or when all or none have it",
    params: &[],
    make: &|_| Box::new(LoraAffinity),
};

/// `lora-affinity`.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoraAffinity;

impl Scorer for LoraAffinity {
    fn score(&mut self, view: &RouterView<'_>, out: &mut [f64]) {
        let resident = view.adapter_resident;
        if resident.iter().all(|&is_resident| is_resident) || !resident.contains(&true) {
            return out.fill(1.0);
        }
        for (score, &is_resident) in out.iter_mut().zip(resident) {
            *score = f64::from(u8::from(is_resident));
        }
    }

    fn reads(&self) -> Reads {
        Reads::SNAPSHOT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::tests::Sheet;

    fn scores(resident: &[bool]) -> Vec<f64> {
        let sheet = Sheet { adapter_resident: resident.to_vec(), ..Sheet::idle(3) };
        sheet.scores(&mut LoraAffinity)
    }

    #[test]
    fn worked_example() {
        assert_eq!(scores(&[false, true, false]), [0.0, 1.0, 0.0]);
        assert_eq!(scores(&[]), [1.0; 3], "a request without adapter");
    }

    #[test]
    fn all_or_none_is_no_difference() {
        assert_eq!(scores(&[true; 3]), [1.0; 3]);
        assert_eq!(scores(&[false; 3]), [1.0; 3]);
    }
}
