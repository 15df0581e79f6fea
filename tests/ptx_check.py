#!/usr/bin/env python3
"""Runs every kernel test on the PTX machine, in both orders, and names the kernels that no test launched (make verify-ptx).

Usage: ptx_check.py BUILD [--orders ascending,reversed] [--filter GTEST_FILTER] [--table FILE]

BUILD was made with -Dcuda=enabled -Dgpu_runtime=ptx_machine. A kernel is an entry function of the program's PTX. Ends with 1 when a test
fails, when the machine does not know an instruction of any kernel, or when a kernel of a version that tests run was not launched.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHARDS = 8  # of one order
ACCEPTED = ROOT / "kernels" / "ptx" / "not_launched.txt"


def run_shard(program, order, index, tests, log):
    """(exit code, output) of a part of the tests, one thread each."""
    environment = {**os.environ, "GTEST_COLOR": "no", "GTEST_SHARD_INDEX": str(index), "GTEST_TOTAL_SHARDS": str(SHARDS),
                   "MICROTOME_PTX_ORDER": order, "MICROTOME_PTX_LOG": str(log), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([str(program), f"--gtest_filter={tests}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", env=environment)
    return done.returncode, done.stdout


def run_order(program, order, tests, log):
    """Runs all shards of an order: (passed, failed, skipped, what is worth reading)."""
    passed = failed = skipped = 0
    told = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for code, output in pool.map(lambda index: run_shard(program, order, index, tests, log), range(SHARDS)):
            passed += len(re.findall(r"^\[       OK \]", output, re.M))
            skipped += len(re.findall(r"^\[  SKIPPED \] .* ms\)$", output, re.M))
            failures = len(re.findall(r"^\[  FAILED  \] .* ms\)$", output, re.M))
            failed += failures
            if code != 0:
                failed += failures == 0  # a crash is a failure
                noise = ("[ RUN", "[       OK", "[---", "[===", "[  SKIPPED")
                told += [line for line in output.splitlines() if not line.startswith(noise)][-60:]
    return passed, failed, skipped, told


def read_log(log):
    """{linked name: [launches, instructions, seconds]} and {linked name: why it is unknown}, over all programs that ran."""
    kernels, unknown = {}, {}
    for line in log.read_text().splitlines():
        launches, instructions, seconds, name = line.split("\t")
        if launches == "unknown":
            unknown[name] = instructions
            continue
        sums = kernels.setdefault(name, [0, 0, 0.0])
        for i, value in enumerate((int(launches), int(instructions), float(seconds))):
            sums[i] += value
    return kernels, unknown


def short_names(names):
    """Demangled, without parameter lists and our namespaces."""
    done = subprocess.run(["c++filt", "-p"], input="\n".join(names), stdout=subprocess.PIPE, text=True, check=True)
    return [re.sub(r"mt::cuda_backend::|\(anonymous namespace\)::", "", line) for line in done.stdout.splitlines()]


def accepted(name, patterns):
    return any(re.search(pattern, name) for pattern in patterns)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("build", type=Path)
    parser.add_argument("--orders", default="ascending,reversed")
    parser.add_argument("--filter", default="*cuda*")
    parser.add_argument("--table", type=Path, help="write what each kernel did")
    arguments = parser.parse_args()
    program = arguments.build.resolve() / "tests" / "kernels_test"
    lines = [line.split("#")[0].strip() for line in ACCEPTED.read_text().splitlines()]
    patterns = [line for line in lines if line]
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        for order in arguments.orders.split(","):
            start = time.time()
            passed, failed, skipped, told = run_order(program, order, arguments.filter, log)
            print("\n".join(told + [f"verify-ptx: {order}: {passed} passed, {failed} failed, {skipped} skipped   {time.time() - start:.0f} s"]), flush=True)
            wrong += failed + (passed == 0)
        kernels, unknown = read_log(log)
    launched = {name for name, sums in kernels.items() if sums[0] > 0}
    every = set(kernels) | set(unknown)
    names = dict(zip(sorted(every), short_names(sorted(every))))
    if arguments.table:
        rows = sorted(launched, key=lambda name: -kernels[name][2])
        arguments.table.write_text("".join(f"{kernels[n][0]}\t{kernels[n][1]}\t{kernels[n][2]:.2f}\t{names[n]}\n" for n in rows))
    for name in sorted(unknown):
        print(f"unknown to the machine: {names[name]}: {unknown[name]}")
    for name in sorted(every - launched - set(unknown), key=names.get):
        known = accepted(f"{names[name]} {name}", patterns)
        print(f"not launched: {names[name]}{' (' + ACCEPTED.name + ' says why)' if known else ''}")
        wrong += not known
    print(f"verify-ptx: {len(launched)} of {len(every)} kernels ran, {sum(sums[1] for sums in kernels.values()):,} instructions of warps")
    return 1 if wrong or unknown else 0


if __name__ == "__main__":
    sys.exit(main())
