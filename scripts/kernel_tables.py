#!/usr/bin/env python3
"""Turns the measured operators of an installed aiconfigurator-core into the compact tables that BLIS embeds.

    pip install aiconfigurator-core==0.12.0 pyarrow
    python3 scripts/kernel_tables.py --out crates/config/data/kernels

writes one file per GPU and says how large it is and how far its numbers are from the measured ones. The same package
gives the same bytes. A folder written this way, with other GPUs or from another release, is what `--perf-db` takes.

A file is a zlib stream of:

    "BLISKERN" u8 version, text source, u16 tables
    table:  text name, u8 axes, axis..., u32 curves, curve...
    axis:   u16 points, u32 point...                     (rising; the last axis is the one that varies fastest)
    curve:  text key                                     (what tells one curve of the table from another)
    values: for all curves of the table together: the low bytes, then the high bytes of u16
    text:   u8 length, UTF-8

Numbers are little-endian. A value is 0 where nothing was measured; v > 0 stands for exp((z - 2048) * STEP)
microseconds, where z is the running sum, along the last axis, of the un-zigzagged v - 1.
"""

import argparse
import math
import pathlib
import re
import struct
import zlib

import pyarrow.parquet

STEP = 1 / 128
ZERO = 2048
# Popularity of experts falls with this power of their rank where few tokens choose; chosen with recordings in view (docs/latency.md).
POPULARITY = 0.5
# Most tokens for which times with even popularity count.
MOST_EVEN = 512
GPUS = {
    "a100": "a100_sxm",
    "h100": "h100_sxm",
    "h200": "h200_sxm",
    "l40s": "l40s",
    "b200": "b200_sxm",
    "gb200": "gb200",
    "b300": "b300_sxm",
}
# Rows of a GEMM table that are kept, where they were measured.
GEMM_ROWS = [1, 2, 4, 8, 12, 16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 384, 512, 768, 1024, 1280, 1536, 1792]
GEMM_ROWS += [2048, 2560, 3072, 3584, 4096, 8192, 16384, 32768]


def version_key(folder):
    return [int(part) for part in re.findall(r"\d+", folder.name)]


def rows(system, operator, framework, table):
    """The rows of the newest release of one framework, as dictionaries; none where there is no table."""
    found = [f for f in system.glob(f"{operator}/{framework}/*/{table}_perf.parquet") if "dev" not in f.parent.name]
    if not found:
        return []
    return pyarrow.parquet.read_table(max(found, key=lambda f: version_key(f.parent))).to_pylist()


def table_of(name, axes, measured):
    """A table from (key, point, microseconds); of two measurements of one point the quicker kernel counts."""
    curves = {}
    for key, point, us in measured:
        if us is None or not (math.isfinite(us) and us > 0):
            continue
        curve = curves.setdefault(key, {})
        curve[point] = min(us, curve.get(point, us))
    points = [sorted({point[axis] for curve in curves.values() for point in curve}) for axis in range(axes)]
    return name, points, curves


def gemm(system):
    def of(framework, kinds):
        for row in rows(system, "gemm", framework, "gemm"):
            if row["gemm_dtype"] in kinds and row["m"] in GEMM_ROWS:
                yield row["gemm_dtype"], (row["n"], row["k"], row["m"]), row["latency"] * 1e3

    # Some FP8 GEMMs of the vLLM tables hold the quantisation of activations, too: of both the quicker one counts.
    measured = list(of("vllm", ("bfloat16", "fp8", "nvfp4"))) + list(of("sglang", ("fp8",)))
    # The block-scaled GEMMs of the vLLM tables hold the time to launch them from Python; SGLang calls the same kernels.
    block = list(of("sglang", ("fp8_block",))) or list(of("trtllm", ("fp8_block",)))
    return table_of("gemm", 3, measured + block)


def attention(system, phase):
    def of():
        for row in rows(system, "attention", "vllm", f"{phase}_attention"):
            if phase == "context" and row["batch_size"] != 1:
                continue
            key = "/".join(
                str(part)
                for part in (
                    row["head_dim"],
                    row["kv_cache_dtype"],
                    row.get("window_size") or 0,
                    row["num_heads"],
                    row["num_key_value_heads"],
                )
            )
            if phase == "context":
                yield key, (row["isl"],), row["latency"] * 1e3
            else:
                yield key, (row["batch_size"], row["isl"] + row["step"]), row["latency"] * 1e3

    return table_of(f"{phase}_attention", 1 if phase == "context" else 2, of())


def latent_attention(system, phase):
    def of():
        table = f"{phase}_mla"
        for row in rows(system, "mla", "sglang", table) or rows(system, "mla", "trtllm", table):
            key = f"{row['kv_cache_dtype']}/{row['num_heads']}"
            if phase == "context":
                if row["batch_size"] == 1:
                    yield key, (row["isl"],), row["latency"] * 1e3
            else:
                yield key, (row["batch_size"], row["isl"] + row["step"]), row["latency"] * 1e3

    return table_of(f"{phase}_mla", 1 if phase == "context" else 2, of())


def latent_projections(system):
    def of():
        for framework in ("trtllm", "sglang", "vllm"):
            for row in rows(system, "mla_bmm", framework, "mla_bmm"):
                if row["bmm_dtype"] == "bfloat16":
                    yield f"{row['op_name']}/{row['num_heads']}", (row["num_tokens"],), row["latency"] * 1e3

    return table_of("mla_bmm", 1, of())


def visited(count, per_token, tokens):
    """Experts that so many tokens visit in the mean, each `per_token` of `count`."""
    popularity = [rank**-POPULARITY for rank in range(1, count + 1)]
    shares = [min(1, per_token * one / sum(popularity)) for one in popularity]
    return sum(1 - (1 - share) ** tokens for share in shares)


def interpolated(curve, tokens):
    """Microseconds between the measured points of a curve, by logarithms."""
    points = sorted(curve)
    behind = next((point for point in points if point >= tokens), points[-1])
    before = max((point for point in points if point <= tokens), default=points[0])
    if before == behind:
        return curve[before]
    share = math.log(tokens / before) / math.log(behind / before)
    return curve[before] * (curve[behind] / curve[before]) ** share


def experts_us(even, skewed, count, per_token):
    """Microseconds by tokens, from those with even and with skewed popularity of experts.

    Where many tokens keep the experts busy, skewed popularity counts, as routers do with real text. Few tokens visit
    fewer experts than there are choices, but more than the skewed draws of the benchmark, which hold very few tokens'
    visits together: the time is at least that of as many tokens with even popularity as visit as many experts. On the
    other hand skewed draws crowd the busiest of few experts, which routers are trained not to do: the quicker of both
    counts.
    """
    for tokens in sorted({*skewed, *(tokens for tokens in even if tokens <= MOST_EVEN)}):
        if tokens > MOST_EVEN or not even:
            yield tokens, skewed[tokens]
            continue
        us = min(curve[tokens] for curve in (even, skewed) if tokens in curve)
        yield tokens, max(us, interpolated(even, visited(count, per_token, tokens) / per_token))


def experts_kernel(row):
    """What a row of experts is kept as: the kernel where vLLM has several for one format, else the format."""
    if row["moe_dtype"] == "w4a16_mxfp4":
        for kernel in ("marlin", "triton"):
            if kernel in row["kernel_source"]:
                return f"{kernel}_mxfp4"
    return row["moe_dtype"]


def experts(system):
    def of(framework, is_kept):
        found = rows(system, "moe", framework, "moe")
        steep = {(r["moe_dtype"], r["hidden_size"]) for r in found if r["distribution"] == "power_law_1.2"}
        curves = {}
        for row in found:
            is_steep = (row["moe_dtype"], row["hidden_size"]) in steep
            kinds = {"balanced": 0, "power_law_1.2" if is_steep else "power_law_1.01": 1}
            kind = kinds.get(row["distribution"])
            if kind is None or not is_kept(row) or not row["latency"] > 0:
                continue
            shape = ("hidden_size", "inter_size", "topk", "num_experts", "moe_tp_size", "moe_ep_size")
            of_shape = curves.setdefault((experts_kernel(row), *(row[part] for part in shape)), ({}, {}))
            curve = of_shape[kind]
            # A server takes the quicker kernel.
            us = row["latency"] * 1e3
            curve[row["num_tokens"]] = min(us, curve.get(row["num_tokens"], us))
        for shape, (even, skewed) in curves.items():
            key = "/".join(map(str, shape))
            per_token, count = shape[3:5]
            for tokens, us in experts_us(even, skewed, count, per_token):
                yield key, (tokens,), us
                # With scales per tensor kernels for scales per block do as well.
                if shape[0] == "fp8_block":
                    yield key.replace("fp8_block", "fp8", 1), (tokens,), us

    measured = list(of("vllm", lambda row: True))
    # gpt-oss with 8-bit activations, which vLLM runs with the same kernel as SGLang.
    measured += of("sglang", lambda row: row["moe_dtype"] == "w4a8_mxfp4_mxfp8" and row["hidden_size"] == 2880)
    return table_of("moe", 1, measured)


def experts_least(tables):
    """Of experts by kernel and shape: what they take at least, in any division and with however few tokens."""
    least = {}
    for key, curve in tables[2].items():
        shape = key.rsplit("/", 2)[0]
        least[shape] = min(least.get(shape, math.inf), *curve.values())
    return least


def experts_elsewhere(here, others):
    """What Marlin's experts take at least that were measured on other GPUs and not on this one: the least of all."""

    def of():
        known = experts_least(here)
        for other in others:
            for shape, us in experts_least(other).items():
                if shape.startswith("marlin") and shape not in known:
                    yield f"{shape}/any", (1,), us

    return table_of("moe_least", 1, of())


def linear_attention(system):
    def of():
        for row in rows(system, "linear_attention", "vllm", "gdn"):
            kind = "conv" if "conv" in row["kernel_source"] else "rule"
            heads = f"{row['num_k_heads']}/{row['num_v_heads']}/{row['head_k_dim']}/{row['head_v_dim']}"
            if row["phase"] == "context" and row["batch_size"] == 1:
                yield f"context/{kind}/{heads}", (row["seq_len"],), row["latency"] * 1e3
            elif row["phase"] == "generation":
                yield f"generation/{kind}/{heads}", (row["batch_size"],), row["latency"] * 1e3

    return table_of("linear_attention", 1, of())


def communication(system):
    """Bytes against microseconds: vLLM's own all-reduce inside and outside CUDA graphs, and NCCL's operations."""

    def of():
        for row in rows(system, "comm", "vllm", "custom_allreduce"):
            kind = "graph" if row["backend"].endswith("graph") else "eager"
            yield f"{kind}/{row['num_gpus']}", (row["message_size"] * 2,), row["latency"] * 1e3
        # On Blackwell vLLM sums with FlashInfer's copy of this kernel.
        for row in rows(system, "comm", "trtllm", "custom_allreduce") if "b200" in system.name or "b300" in system.name else []:
            yield f"fused/{row['num_gpus']}", (row["message_size"] * 2,), row["latency"] * 1e3
        for row in rows(system, "comm", "nccl", "nccl"):
            if row["nccl_dtype"] == "half":
                yield f"{row['op_name']}/{row['num_gpus']}", (row["message_size"] * 2,), row["latency"] * 1e3

    return table_of("communication", 1, of())


def text(string):
    encoded = string.encode()
    return struct.pack("<B", len(encoded)) + encoded


def encode(table):
    """The bytes of a table, and the largest relative error of its numbers."""
    name, axes, curves = table
    out = [text(name), struct.pack("<B", len(axes))]
    for points in axes:
        out.append(struct.pack(f"<H{len(points)}I", len(points), *points))
    out.append(struct.pack("<I", len(curves)))
    values, worst = [], 0.0
    grid = [()]
    for points in axes:
        grid = [cell + (point,) for cell in grid for point in points]
    width = len(axes[-1]) if axes else 0
    for key in sorted(curves):
        out.append(text(key))
        for index, point in enumerate(grid):
            if index % width == 0:
                level = 0
            us = curves[key].get(point)
            if us is None:
                values.append(0)
                continue
            exact = round(math.log(us) / STEP) + ZERO
            worst = max(worst, abs(math.exp((exact - ZERO) * STEP) / us - 1))
            delta = exact - level
            level = exact
            values.append(((delta << 1) ^ (delta >> 31)) + 1)
    assert all(0 <= value < 65536 for value in values)
    out.append(bytes(value & 255 for value in values))
    out.append(bytes(value >> 8 for value in values))
    return b"".join(out), worst, len(values)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", type=pathlib.Path, help="folder of aiconfigurator_core (default: the installed one)")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder to write to")
    parser.add_argument("--gpu", action="append", choices=sorted(GPUS), help="only these GPUs")
    arguments = parser.parse_args()
    package = arguments.package
    if package is None:
        import aiconfigurator_core

        package = pathlib.Path(aiconfigurator_core.__file__).parent
    metadata = next(iter(sorted(package.parent.glob("aiconfigurator_core-*.dist-info"))), None)
    release = metadata.name.split("-")[1].removesuffix(".dist") if metadata else "of unknown release"
    arguments.out.mkdir(parents=True, exist_ok=True)
    systems = {gpu: package / "systems" / "data" / folder for gpu, folder in GPUS.items()}
    of_experts = {gpu: experts(system) for gpu, system in systems.items()}
    for gpu in arguments.gpu or GPUS:
        system = systems[gpu]
        tables = [
            gemm(system),
            attention(system, "context"),
            attention(system, "generation"),
            latent_attention(system, "context"),
            latent_attention(system, "generation"),
            latent_projections(system),
            of_experts[gpu],
            experts_elsewhere(of_experts[gpu], of_experts.values()),
            linear_attention(system),
            communication(system),
        ]
        tables = [table for table in tables if table[2]]
        parts, errors, count = [], [], 0
        for table in tables:
            encoded, worst, values = encode(table)
            parts.append(encoded)
            errors.append(worst)
            count += values
        source = text(f"aiconfigurator-core {release}")
        head = b"BLISKERN" + struct.pack("<B", 1) + source + struct.pack("<H", len(tables))
        packed = zlib.compress(head + b"".join(parts), 9)
        (arguments.out / f"{gpu}.kern").write_bytes(packed)
        print(f"{gpu}: {count} values, {len(packed)} bytes, largest error {max(errors):.2%}")


if __name__ == "__main__":
    main()
