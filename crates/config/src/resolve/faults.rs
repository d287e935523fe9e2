//! What goes wrong.

use super::check::Check;
use crate::diagnostic::Diagnostic;
use crate::options::RunOptions;
use blis_cluster::{FaultKind, FaultPlan, FaultTarget};

/// The faults, if there are any, of a cluster that begins with so many instances.
pub(super) fn faults(
    check: &mut Check,
    options: &RunOptions,
    instances: u32,
    come_and_go: bool,
) -> Option<FaultPlan> {
    let faults = options.faults.as_ref()?;
    let pools = &options.pools;
    let shared = pools.shared_instances.unwrap_or(0) > 0;
    let has_prefill = shared || pools.prefill_instances.unwrap_or(0) > 0;
    let has_decode = shared || pools.decode_instances.unwrap_or(0) > 0;
    let has_encode = pools.encode_instances.unwrap_or(0) > 0;
    let no_pool = |name: &str| Some(format!("there are no {name} instances"));
    for (fault, place) in faults.plan.scheduled.iter().zip(&faults.places) {
        let problem = match fault.target {
            FaultTarget::Instance(number) if number >= instances && !come_and_go => {
                Some(format!("there is no instance {number}; the last one is {}", instances - 1))
            }
            FaultTarget::Prefill if !has_prefill => no_pool("prefill"),
            FaultTarget::Decode if !has_decode => no_pool("decode"),
            FaultTarget::Encode if !has_encode => no_pool("encode"),
            _ if fault.kind == FaultKind::LostTransfers && !has_prefill => {
                Some("there are no transfers without prefill and decode instances".to_owned())
            }
            _ => None,
        };
        if let Some(message) = problem {
            check.problem(Diagnostic { message: format!("a scheduled fault: {message}"), ..place.clone() });
        }
    }
    if faults.plan.transfer_loss > 0.0 && !has_prefill {
        let problem =
            "faults.random.lost_transfers: there are no transfers without prefill and decode instances";
        check.problem(Diagnostic::new(problem));
    }
    Some(faults.plan.clone())
}
