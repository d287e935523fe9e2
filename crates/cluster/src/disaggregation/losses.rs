//! Transfers that do not arrive.
//!
//! Nobody learns of a loss before the transfer should have ended. The prefill instance has the prompt's KV still, so the
//! transfer begins anew, which counts as a retry; the decode instance keeps its blocks meanwhile. When one of the two
//! instances crashes, there is nothing to send, or nobody to send it to: the request begins anew.

use super::Start;
use crate::plan::FaultTarget;
use crate::run::Cluster;
use blis_kernel::{InstanceId, Tick};
use blis_metrics::RequestEnding;
use blis_workload::RequestEnd;

impl Cluster<'_> {
    /// Transfers under way from or to these instances will not arrive.
    pub(crate) fn spoil_transfers(&mut self, target: FaultTarget) {
        let Some(pools) = &self.disaggregation else { return };
        for handle in pools.link.under_way() {
            let split = self.requests.get_mut(handle).split.as_mut().expect("a split request");
            let ends = [Some(split.decode), split.source];
            let fleet = &self.fleet;
            split.is_spoilt |= ends.iter().flatten().any(|end| fleet.is_target(end.index(), target));
        }
    }

    /// A transfer begins: whether it will not arrive.
    pub(super) fn draw_loss(&mut self, handle: u32, now: Tick) {
        let Some(faults) = &mut self.faults else { return };
        let split = self.requests.get_mut(handle).split.as_mut().expect("a split request");
        let ends = [Some(split.decode), split.source];
        let fleet = &self.fleet;
        split.is_spoilt = faults.loses_transfer(now, |target| {
            ends.iter().flatten().any(|end| fleet.is_target(end.index(), target))
        });
    }

    /// A transfer has not arrived: it begins anew, or its request fails.
    pub(super) fn transfer_was_lost(&mut self, handle: u32, now: Tick) {
        let request = self.requests.get_mut(handle);
        let faults = self.faults.as_mut().expect("there may be faults");
        faults.figures.lost_transfers += 1;
        if !faults.take(&mut request.retries) {
            self.cancel_reservation(handle, now);
            return self.end_split(handle, RequestEnding::Failed, RequestEnd::Dropped, now);
        }
        let blocks = request.spec.input_tokens.div_ceil(self.plan.instance.block_tokens);
        let reservation = self.split(handle).reservation.expect("blocks were set aside before the transfer");
        self.draw_loss(handle, now);
        self.pools().link.start(handle, u64::from(blocks - reservation.cached_blocks), now);
    }

    /// The instance loses what it has: so do transfers from and to it, and those that wait for room there.
    pub(crate) fn lose_transfers_of(&mut self, index: usize, now: Tick) {
        let Some(pools) = &self.disaggregation else { return };
        let is_of = |handle: &u32| {
            let split = self.requests.get(*handle).split.as_ref().expect("a split request");
            [Some(split.decode), split.source].contains(&Some(InstanceId(index as u32)))
        };
        let under_way: Vec<_> = pools.link.under_way().into_iter().filter(is_of).collect();
        let mut lost = under_way.clone();
        lost.extend(pools.waiting_for_room.iter().flatten().filter(|handle| is_of(handle)));
        let starts = pools.transfer_starts.iter();
        let about_to_start = starts.filter_map(|(_, start)| match start {
            Start::Of(handle) => Some(handle),
            Start::Retry(_) => None,
        });
        lost.extend(about_to_start.filter(|handle| is_of(handle)));
        let pools = self.pools();
        pools.waiting_for_room.iter_mut().for_each(|queue| queue.retain(|handle| !lost.contains(handle)));
        pools
            .transfer_starts
            .retain(|(_, start)| !matches!(start, Start::Of(handle) if lost.contains(handle)));
        for &handle in &under_way {
            self.pools().link.remove(handle, now);
            self.faults().figures.lost_transfers += 1;
            self.cancel_reservation(handle, now);
        }
        for handle in lost {
            self.lose_between(handle, now);
        }
    }

    /// A split request is lost between its instances.
    pub(super) fn lose_between(&mut self, handle: u32, now: Tick) {
        if !self.goes_elsewhere(handle, false, now) {
            self.end_split(handle, RequestEnding::Failed, RequestEnd::Dropped, now);
        }
    }

    /// Blocks that were set aside for a transfer are free again, for another one perhaps.
    fn cancel_reservation(&mut self, handle: u32, now: Tick) {
        let split = self.split(handle);
        let (instance, reservation) = (split.decode.index(), split.reservation.take());
        let Some(reservation) = reservation else { return };
        self.bring_instance_up_to_date(instance, now);
        self.instances[instance].cancel(now, reservation);
        self.next_events.set(instance, self.instances[instance].next_event_at());
        self.retry_transfers(instance, now);
    }
}
