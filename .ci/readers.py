#!/usr/bin/env python3
"""Kept results as pandas, DuckDB, Polars and SQLite read them, against what `blis results show` says.

A sweep is kept, first one of two parts and then all of it; some of its trials fail, so that they have no figures. Every
reader has to find every field of every trial. Installs what it needs into an environment of its own, once.

    python3 .ci/readers.py --blis target/release/blis
"""

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
from clients import environment  # noqa: E402

PACKAGES = Path(__file__).with_name("readers.txt")
# With one GPU the model does not fit.
SWEEP = """sweep --model meta-llama/llama-3.1-70b-instruct --hardware H100 --rate 10 --num-requests 50
    --set tp=1,2,4,8 --set long-prefill-token-threshold=0,512 --set scheduler=fcfs,sjf""".split()


def run(blis, *words):
    return subprocess.run([blis, *words], check=True, stdout=subprocess.PIPE, text=True).stdout


def readers():
    """What each reader finds in a folder: names of columns, and rows in the order of the trials."""
    import duckdb
    import pandas
    import polars

    def with_pandas(folder, **options):
        table = pandas.read_parquet(folder / "rows", **options).sort_values("trial")
        rows = table.astype(object).where(table.notna(), None)
        return list(table.columns), [list(row) for row in rows.itertuples(index=False)]

    def with_duckdb(folder):
        found = duckdb.sql(f"SELECT * FROM '{folder}/rows/*.parquet' ORDER BY trial")
        return found.columns, [list(row) for row in found.fetchall()]

    def with_polars(folder):
        table = polars.read_parquet(folder / "rows").sort("trial")
        return table.columns, [list(row) for row in table.rows()]

    def with_sqlite(folder):
        found = sqlite3.connect(f"file:{folder}/index.sqlite?mode=ro", uri=True).execute(
            "SELECT * FROM trials ORDER BY trial"
        )
        return [column[0] for column in found.description], [list(row) for row in found]

    return {
        "pandas": with_pandas,
        "pandas with Arrow types": lambda folder: with_pandas(folder, dtype_backend="pyarrow"),
        "DuckDB": with_duckdb,
        "Polars": with_polars,
        "SQLite": with_sqlite,
    }


def compare(blis, folder, trials):
    run(blis, "results", "query", folder, "SELECT count(*) FROM trials")
    shown = json.loads(run(blis, "results", "show", folder, "--format", "json"))
    names = [column["name"] for column in shown["columns"]]
    assert len(shown["rows"]) == trials and not shown["damaged"], shown
    assert any(None in row for row in shown["rows"])
    for name, read in readers().items():
        columns, rows = read(folder)
        assert columns == names, f"{name}: {columns}"
        assert rows == shown["rows"], f"{name}: {rows}"
        print(f"{name}: {len(rows)} trials, {len(names)} columns")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blis", required=True, type=Path, help="the program")
    parser.add_argument("--venv", type=Path, default=Path("target/readers"), help="where the readers are installed")
    given = parser.parse_args()
    python = environment(given.venv.absolute(), PACKAGES)
    if Path(sys.executable) != python:
        os.execv(python, [python, __file__, "--blis", str(given.blis.absolute()), "--venv", str(given.venv.absolute())])
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "results"
        run(given.blis, *SWEEP, "--results", folder, "--shard", "2/2")
        compare(given.blis, folder, 8)
        run(given.blis, *SWEEP, "--results", folder)
        compare(given.blis, folder, 16)


if __name__ == "__main__":
    main()
