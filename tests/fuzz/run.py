#!/usr/bin/env python3
"""Fuzzes the readers one after another: tests/fuzz/run.py BUILD [--reader NAME ...] [--seconds N].

Corpora stay in BUILD/corpus/READER, so that the next run goes on; finds are left in BUILD/finds. Exit code 1 when
something was found.
"""
import argparse
import os
import pathlib
import subprocess
import sys

READERS = ["slide", "jpeg2000", "safetensors", "torch", "npz", "csv", "csv_features", "torch_features", "hdf5", "geojson",
           "asap", "config"]
MOST_BYTES = {"slide": 40000, "torch": 60000, "npz": 60000, "hdf5": 60000, "torch_features": 60000}


def fuzz(build, reader, seconds):
    """Returns whether nothing was found."""
    corpus, finds = build / "corpus" / reader, build / "finds" / reader
    corpus.mkdir(parents=True, exist_ok=True)
    finds.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ, READER=reader, UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1",
                       ASAN_OPTIONS="detect_leaks=1:allocator_may_return_null=1")
    if not any(corpus.iterdir()):
        environment["MICROTOME_SEEDS"] = str(corpus)
    # A find is also what takes 10 s, or 512 MB at once.
    command = [build / "tests/fuzz/fuzz_readers", corpus, f"-artifact_prefix={finds}/", f"-max_total_time={seconds}",
               "-timeout=10", "-malloc_limit_mb=512", "-rss_limit_mb=2048", f"-max_len={MOST_BYTES.get(reader, 20000)}",
               "-print_final_stats=1", "-verbosity=1"]
    log = build / "finds" / f"{reader}.log"
    with open(log, "w") as out:
        code = subprocess.run([str(part) for part in command], env=environment, stdout=out, stderr=out).returncode
    runs = [line.rsplit(":", 1)[1].strip() for line in open(log, errors="replace") if "number_of_executed_units" in line]
    interrupted = code == 72  # libFuzzer's own number
    verdict = "nothing found" if code == 0 else "interrupted" if interrupted else f"FOUND, see {log}"
    print(f"{reader:15} {runs[0] if runs else '?':>9} inputs  {verdict}", flush=True)
    return code == 0 or interrupted


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--reader", nargs="*", choices=READERS, default=READERS)
    parser.add_argument("--seconds", type=int, default=600)
    arguments = parser.parse_args()
    good = [fuzz(arguments.build.resolve(), reader, arguments.seconds) for reader in arguments.reader or READERS]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
