//! The reference's figures for the transfer station alone.

use blis_engine::kv::offload::{Direction, TransferStation};
use blis_engine::{Channel, DeviceModel, OffloadTierConfig};
use blis_kernel::Tick;
use serde_json::Value;

fn tier(value: &Value) -> OffloadTierConfig {
    let integer = |key: &str| value[key].as_i64().expect("a whole number");
    let channel = |way: &str| Channel {
        bytes_per_us: value[format!("{way}_bw")].as_f64().expect("a bandwidth"),
        base_latency: Tick::from_us(integer(&format!("{way}_base"))),
    };
    OffloadTierConfig {
        read_threads: integer("n_read") as u32,
        write_threads: integer("n_write") as u32,
        device: DeviceModel {
            read: channel("read"),
            write: channel("write"),
            saturation_depth: integer("qsat") as u32,
            single_transfer_fraction: value["f1"].as_f64().expect("a fraction"),
            jitter_stddev: 0.0,
        },
    }
}

#[test]
fn transfers_finish_in_the_references_order() {
    let path = format!("{}/../../testdata/engine/transfer-station.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut checked = 0;
    for (n, line) in text.lines().enumerate() {
        let vector: Value = serde_json::from_str(line).expect("a vector");
        let tiers = vector["tiers"].as_array().expect("tiers");
        let mut station = TransferStation::new(&tiers.iter().map(tier).collect::<Vec<_>>());
        for op in vector["ops"].as_array().expect("operations") {
            let now = Tick::from_us(op["tick"].as_i64().expect("a time"));
            if op["op"] == "poll" {
                let done: Vec<u64> = op["done"]
                    .as_array()
                    .map_or(Vec::new(), |done| done.iter().map(|job| job.as_u64().expect("a job")).collect());
                assert_eq!(station.poll(now), done, "vector {n}, poll at {now:?}");
                checked += done.len();
                continue;
            }
            let direction = if op["dir"] == "read" { Direction::Read } else { Direction::Write };
            let tier = op["tier"].as_u64().unwrap_or(0) as usize;
            let bytes = op["bytes"].as_u64().unwrap_or(0);
            let job = station.submit(tier, direction, bytes, now, op["jitter"].as_f64());
            assert_eq!(Some(job), op["id"].as_u64(), "vector {n}, submission at {now:?}");
        }
    }
    assert!(checked > 40, "only {checked} transfers were checked");
}
