use super::search::{Found, ModelHub, Origin, Search, cached_config, find_model, is_repository};
use super::{Catalogue, embedded, kernels};
use crate::diagnostic::Diagnostic;
use blis_latency::profiled::{KvFormat, Tuning, WeightFormat};
use blis_latency::{
    Batch, Blackbox, CrossModel, Deployment, Fp8Rule, LatencyModel, Profiled, Roofline, TrainedPhysics,
    TrainedRoofline,
};
use std::fs;
use std::path::{Path, PathBuf};

const SMALL: &str =
    r#"{"num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 4, "dtype": "float16"}"#;

fn messages(problems: Vec<Diagnostic>) -> Vec<String> {
    problems.into_iter().map(|problem| problem.to_string()).collect()
}

#[test]
fn every_bundled_model_runs_on_every_bundled_gpu_with_the_bundled_coefficients() {
    let catalogue = Catalogue::embedded();
    let rule = Fp8Rule::Fp8WeightsOnly;
    assert_eq!(catalogue.architecture_names().len(), 14);
    assert_eq!(catalogue.gpu_names().len(), 9);
    for model in catalogue.architecture_names() {
        let architecture = catalogue.architecture(&model).expect("a bundled model");
        for gpu in catalogue.gpu_names() {
            let gpu = catalogue.gpu(&gpu).expect("a bundled GPU");
            let coefficients = catalogue.trained_physics_coefficients();
            let one = Deployment::tensor_parallel(1);
            TrainedPhysics::new(&architecture, &gpu, &one, &coefficients, rule).expect("sound figures");
            Roofline::new(&architecture, &gpu, 1, &[0.0; 3], rule).expect("sound figures");
            TrainedRoofline::new(&architecture, &gpu, 1, &catalogue.trained_roofline())
                .expect("sound figures");
        }
        CrossModel::new(&architecture, 1, &catalogue.crossmodel()).expect("sound figures");
    }
}

#[test]
fn every_model_known_by_name_has_a_gpu_and_blackbox_coefficients() {
    let catalogue = Catalogue::embedded();
    assert_eq!(catalogue.model_names().len(), 30);
    for model in catalogue.model_names() {
        let (gpu, tp) = catalogue.default_deployment(&model).expect("a default");
        assert!(tp > 0);
        catalogue.gpu(&gpu).expect("a bundled GPU");
        let entry = catalogue.model_entry(&model.to_uppercase()).expect("names are found in any case");
        assert!(entry.hub_repository.is_none_or(|repository| is_repository(&repository)), "{model}");
    }
    let rows: Vec<_> = embedded::blackbox().collect();
    assert_eq!(rows.len(), 111 + 6);
    for row in rows {
        Blackbox::new(&row.coefficients).expect("sound coefficients");
        catalogue.gpu(&row.gpu).expect("a bundled GPU");
    }
}

#[test]
fn figures_are_the_recorded_ones() {
    let catalogue = Catalogue::embedded();
    assert_eq!(catalogue.trained_physics_coefficients().beta.len(), 11);
    assert_eq!(catalogue.crossmodel().beta, [116.11, 1226.868, 19.943, 9445.157]);
    assert_eq!(catalogue.trained_roofline().alpha[2], 1.7079389122469397);
    let l40s = catalogue.gpu("L40S").expect("a bundled GPU");
    assert_eq!((l40s.fp8_tflops, l40s.fp8_sparse_tflops), (733.0, Some(1466.0)));
    let multidoc = catalogue.preset("multidoc").expect("a preset");
    assert_eq!((multidoc.prompt_tokens, multidoc.output_tokens_max), (10240, 4096));
    assert_eq!(catalogue.preset_names(), ["chatbot", "contentgen", "multidoc", "summarization"]);
    assert_eq!(catalogue.default_deployment("meta-llama/Llama-3.3-70B-Instruct"), Some(("H100".into(), 4)));
    assert_eq!(catalogue.lora().step_overhead_tiers[&16].k6, 0.035);
    assert_eq!(catalogue.offload_device("nvme_gen4").expect("a device").write_bandwidth, 5000.0);
}

#[test]
fn a_model_is_known_by_what_follows_the_first_slash_and_its_name_tells_its_weights() {
    let catalogue = Catalogue::embedded();
    let plain = catalogue.architecture("Qwen/Qwen3-14B").expect("a bundled model");
    assert_eq!((plain.layers, plain.weight_bytes_per_param), (40, 0.0));
    assert_eq!(catalogue.architecture("qwen3-14b"), Some(plain));
    let by_owner = catalogue.architecture("lab-fp8-copies/qwen3-14b").expect("a bundled model");
    assert!(by_owner.fp8_weights);
    assert_eq!(catalogue.architecture("qwen/qwen9"), None);
}

#[test]
fn the_first_of_equal_blackbox_rows_holds_and_earlier_releases_come_last() {
    let catalogue = Catalogue::embedded();
    let current = catalogue.blackbox("Qwen/Qwen3-14B", "H100", 1, "vllm/vllm-openai:v0.11.0").expect("a row");
    let phi = catalogue.blackbox("redhatai/phi-4-fp8-dynamic", "H100", 1, "vllm/vllm-openai:v0.8.4");
    let first = embedded::blackbox().find(|row| row.model == "redhatai/phi-4-fp8-dynamic" && row.tp == 1);
    assert_eq!(phi.ok().as_ref().map(|row| &row.coefficients), first.as_ref().map(|row| &row.coefficients));
    let older = catalogue
        .blackbox("meta-llama/llama-3.1-8b-instruct", "H100", 1, "vllm/vllm-openai:v0.8.4")
        .expect("a row of an earlier release");
    assert_eq!(older.coefficients.alpha[0], 10326.268121600151);
    assert_eq!(current.coefficients.beta[0], 13578.186662538783);
}

#[test]
fn an_unknown_name_is_answered_with_the_known_ones_in_order() {
    let catalogue = Catalogue::embedded();
    assert_eq!(
        catalogue.gpu("H10O").unwrap_err().to_string(),
        "unknown GPU \"H10O\", known: A100-80, A100-SXM, B200, B300, GB200, H100, H200, L40S, MI300X; did you mean \"H100\"?"
    );
    assert_eq!(catalogue.preset("chatbots").unwrap_err().help.as_deref(), Some("did you mean \"chatbot\"?"));
    assert!(
        catalogue.offload_device("nvme").unwrap_err().message.contains("cpu_dram, nvme_gen3, nvme_gen4, s3")
    );
    let version = catalogue.blackbox("qwen/qwen3-14b", "H100", 3, "v1").unwrap_err().to_string();
    assert!(
        version.starts_with(
            "no blackbox coefficients for qwen/qwen3-14b on H100 TP 3 v1, known: H100 TP 1 vllm/vllm-openai:v0.11.0, "
        ),
        "{version}"
    );
    let model = catalogue.blackbox("qwen/qwen3-14c", "H100", 1, "v1").unwrap_err();
    assert_eq!(model.help.as_deref(), Some("did you mean \"qwen/qwen3-14b\"?"));
}

const DEFAULTS: &str = r#"
version: 1
defaults:
  Lab/Eight: {GPU: BOX, tensor_parallelism: 2, hf_repo: lab/eight, vllm_version: "v1"}
workloads:
  notes: {prefix_tokens: 64, prompt_tokens: 220, prompt_tokens_stdev: 90, prompt_tokens_min: 20,
    prompt_tokens_max: 600, output_tokens: 70, output_tokens_stdev: 30, output_tokens_min: 5, output_tokens_max: 200}
trained_physics_coefficients:
  alpha_coeffs: [9000.0, 400.0, 30.0]
  beta_coeffs: [0.2, 0, 1.2, 0.7, 25.0, 3.5, 100.0]
crossmodel_defaults: {alpha_coeffs: [1, 2, 3], beta_coeffs: [4, 5, 6, 7]}
trained_roofline_defaults: {alpha_coeffs: [1, 2, 3], beta_coeffs: [1, 1, 1, 0, 2, 2, 0]}
lora:
  load_base_latency_us: 10
  load_bandwidth_bytes_us: 20
  footprint_bytes_per_rank: 30
  step_overhead_tiers: {8: {k6: 0.5, k7: 2}}
kv_offload_devices:
  disk_x: {read_bandwidth: 2500.0, write_bandwidth: 1800.0, base_latency: 120.0, buffered_base_latency: 400.0}
models:
  - {id: lab/eight, GPU: BOX, tensor_parallelism: 2, vllm_version: v1, alpha_coeffs: [1, 2, 3],
     beta_coeffs: [4, 5, 6], total_kv_blocks: 99, best_loss: 0.5}
"#;

#[test]
fn a_defaults_file_goes_before_what_is_built_in_and_leaves_the_rest() {
    let catalogue =
        Catalogue::embedded().with_defaults_file(DEFAULTS, "defaults.yaml").expect("a sound file");
    assert_eq!(catalogue.default_deployment("lab/eight"), Some(("BOX".into(), 2)));
    assert_eq!(catalogue.preset("notes").expect("own").prefix_tokens, 64);
    assert_eq!(catalogue.preset("chatbot").expect("built in").prompt_tokens, 256);
    assert_eq!(catalogue.trained_physics_coefficients().beta.len(), 7);
    assert_eq!(catalogue.crossmodel().beta, [4.0, 5.0, 6.0, 7.0]);
    assert_eq!(catalogue.trained_roofline().beta[4], 2.0);
    assert_eq!(catalogue.lora().step_overhead_tiers[&8].k7, 2.0);
    assert_eq!(catalogue.offload_device("disk_x").expect("own").buffered_base_latency, Some(400.0));
    assert_eq!(catalogue.offload_device("s3").expect("built in").base_latency, 30000.0);
    assert_eq!(catalogue.blackbox("lab/eight", "BOX", 2, "v1").expect("own").total_kv_blocks, Some(99));
    let legacy = catalogue.model_entry("lab/eight").and_then(|entry| entry.legacy);
    assert_eq!(legacy.map(|legacy| legacy.server_version), Some("v1".into()));
    assert!(Catalogue::embedded().with_defaults_file("# nothing\n", "defaults.yaml").is_ok());
}

#[test]
fn problems_of_a_defaults_file_name_the_place_the_value_and_what_is_allowed() {
    let problems = |text: &str| {
        messages(Catalogue::embedded().with_defaults_file(text, "defaults.yaml").expect_err("a broken file"))
    };
    let broken = DEFAULTS
        .replace("[9000.0, 400.0", "[.nan, -4")
        .replace("tensor_parallelism: 2, hf", "tensor_parallelism: 0, hf");
    assert_eq!(
        problems(&broken),
        [
            "defaults.yaml:4:45: defaults.Lab/Eight.tensor_parallelism is 0, must be 1 or more",
            "defaults.yaml:9:18: trained_physics_coefficients.alpha_coeffs[0] is NaN, must be finite and non-negative",
            "defaults.yaml:9:24: trained_physics_coefficients.alpha_coeffs[1] is -4, must be finite and non-negative",
        ]
    );
    let device = DEFAULTS.replace("read_bandwidth: 2500.0", "read_bandwidth: 0");
    assert_eq!(
        problems(&device),
        [
            "defaults.yaml:19:11: kv_offload_devices.disk_x.read_bandwidth is 0, must be finite and greater than 0"
        ]
    );
    assert_eq!(
        problems(&DEFAULTS.replace("workloads:", "workload:")),
        [
            "defaults.yaml:5:1: unknown key \"workload\", allowed: crossmodel_defaults, defaults, kv_offload_devices, \
          lora, models, trained_physics_coefficients, trained_roofline_defaults, version, workloads; did you mean \
          \"workloads\"?"
        ]
    );
}

#[test]
fn a_hardware_file_adds_gpus_and_may_leave_memory_and_fp8_open() {
    let table = "{\n\t\"BOX\": {\n\t\t\"TFlopsPeak\": 450.0,\n\t\t\"BwPeakTBs\": 1.6,\n\t\t\"mfuPrefill\": 0.5,\n\
                 \t\t\"mfuDecode\": 0.25\n\t}\n}";
    let catalogue = Catalogue::embedded().with_hardware_file(table, "gpus.json").expect("a sound table");
    let own = catalogue.gpu("BOX").expect("own");
    assert_eq!((own.memory_gib, own.fp8_tflops, own.hbm_tb_per_s), (None, 0.0, 1.6));
    assert_eq!(catalogue.gpu("H100").expect("built in").fp16_tflops, 989.5);

    let problems = |text: &str| {
        messages(Catalogue::embedded().with_hardware_file(text, "gpus.json").expect_err("a broken table"))
    };
    assert_eq!(
        problems(r#"{"BOX": {"TFlopsPeak": -1, "BwPeakTBs": 0, "MemoryGiB": -3}}"#),
        [
            "gpus.json:1:9: BOX.TFlopsPeak is -1, must be finite and greater than 0",
            "gpus.json:1:9: BOX.BwPeakTBs is 0, must be finite and greater than 0",
            "gpus.json:1:9: BOX.MemoryGiB is -3, must be finite and 0 or more",
        ]
    );
    assert!(problems(r#"{"BOX": {"TFlopPeak": 1}}"#)[0].ends_with("did you mean \"TFlopsPeak\"?"));
    assert_eq!(problems(r#"{"BOX": {"TFlopsPeak": 1}}"#), ["gpus.json:1:10: key \"BwPeakTBs\" is missing"]);
}

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("blis-catalogue-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a writable temporary folder");
        Self(path)
    }

    fn write(&self, path: impl AsRef<Path>, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().expect("a file in the folder")).expect("a writable folder");
        fs::write(path, text).expect("a writable folder");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Hub(Result<&'static str, &'static str>);

impl ModelHub for Hub {
    fn fetch(&self, repository: &str) -> Result<String, Diagnostic> {
        self.0
            .map(str::to_owned)
            .map_err(|reason| Diagnostic::new(format!("the hub ({repository}: {reason})")))
    }
}

#[test]
fn a_model_is_looked_for_in_the_documented_order() {
    let home = Folder::new("order");
    let cache = home.0.join("cache");
    let catalogue = Catalogue::embedded();
    let own = home.0.join("own");
    let broken = Hub(Err("offline"));
    let working = Hub(Ok(SMALL));
    let search = Search {
        model: "Lab/Small",
        folder: None,
        defaults_folder: &home.0,
        cache: Some(&cache),
        hub: Some(&broken),
    };
    let origin = |search: &Search<'_>| find_model(&catalogue, search).map(|found: Found| found.origin);

    let nothing = messages(origin(&search).expect_err("nothing is there"));
    assert!(
        nothing[0].starts_with("no configuration of model \"Lab/Small\" was found; tried "),
        "{nothing:?}"
    );
    assert!(nothing[0].ends_with("the hub (Lab/Small: offline); give --model-config-folder"), "{nothing:?}");

    let hub = Search { hub: Some(&working), ..search };
    assert_eq!(origin(&hub), Ok(Origin::Hub("Lab/Small".into())));

    let cached = cached_config(&cache, "Lab/Small");
    home.write(&cached, SMALL);
    assert_eq!(origin(&hub), Ok(Origin::File(cached)));

    home.write("model_configs/small/config.json", SMALL);
    assert_eq!(origin(&hub), Ok(Origin::File(home.0.join("model_configs/small/config.json"))));

    home.write("own/config.json", SMALL);
    assert_eq!(origin(&Search { folder: Some(&own), ..hub }), Ok(Origin::File(own.join("config.json"))));

    assert_eq!(origin(&Search { model: "qwen/qwen3-14b", ..search }), Ok(Origin::Embedded));
    home.write("model_configs/qwen3-14b/config.json", "{}");
    assert_eq!(origin(&Search { model: "qwen/qwen3-14b", ..search }), Ok(Origin::Embedded));
}

#[test]
fn a_second_file_beside_the_configuration_says_how_the_weights_are_quantised() {
    let home = Folder::new("quantised");
    home.write("own/config.json", SMALL);
    let own = home.0.join("own");
    let catalogue = Catalogue::embedded();
    let search =
        Search { model: "lab/small", folder: Some(&own), defaults_folder: &home.0, cache: None, hub: None };
    let weights = || find_model(&catalogue, &search).map(|found| found.config.shape.dense_weights);
    assert_eq!(weights(), Ok(WeightFormat::Bf16));
    home.write("own/hf_quant_config.json", r#"{"quantization": {"quant_algo": "NVFP4"}}"#);
    assert_eq!(weights(), Ok(WeightFormat::Nvfp4));
    home.write("own/hf_quant_config.json", "no JSON");
    assert!(messages(weights().expect_err("it is damaged"))[0].starts_with("hf_quant_config.json:1:"));
}

#[test]
fn a_broken_configuration_or_an_unsafe_name_is_refused() {
    let home = Folder::new("broken");
    home.write("config.json", r#"{"num_hidden_layers": 0, "hidden_size": 8}"#);
    let search = Search { model: "lab/x", folder: None, defaults_folder: &home.0, cache: None, hub: None };
    let problems =
        |search: &Search<'_>| messages(find_model(&Catalogue::embedded(), search).expect_err("a refusal"));
    assert_eq!(problems(&Search { folder: Some(&home.0), ..search }).len(), 2);
    let absent = home.0.join("absent");
    assert!(problems(&Search { folder: Some(&absent), ..search })[0].contains("cannot be read"));
    for name in ["../x", "lab/../../x", "/etc", "lab//etc", "lab/..\\x"] {
        assert!(problems(&Search { model: name, ..search })[0].contains("must be relative"), "{name}");
    }
    assert!(problems(&Search { model: "no owner", ..search })[0].contains("cannot be a repository"));
}

#[test]
fn every_bundled_model_is_composed_of_the_measured_operators_of_every_bundled_gpu() {
    let catalogue = Catalogue::embedded();
    for gpu in kernels::measured_gpus() {
        let tables = catalogue.kernel_tables(gpu).expect("it was measured");
        let gpu = catalogue.gpu(gpu).expect("a bundled GPU");
        for model in catalogue.architecture_names() {
            let shape = catalogue.model_config(&model).expect("a bundled model").shape;
            let deployment = Deployment::tensor_parallel(2);
            let composed = Profiled::compose(
                &shape,
                &gpu,
                &deployment,
                KvFormat::Bf16,
                &tables,
                &[0.0; 3],
                &Tuning::default(),
            );
            let step = composed.unwrap_or_else(|invalid| panic!("{model} on {}: {invalid}", gpu.name)).model;
            let us = |decodes, context| {
                let batch = Batch { decodes, decode_context_tokens: decodes * context, ..Batch::default() };
                step.step_time(&batch).as_us()
            };
            let (one, many) = (us(1, 1000), us(256, 1000));
            assert!(500 < one && one < many && many < 1_000_000, "{model} on {}: {one}, {many} us", gpu.name);
        }
    }
}
