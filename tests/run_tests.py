#!/usr/bin/env python3
"""Runs the GoogleTest programs of a build, names every failed and skipped test, and ends with the sum of their counts.
Usage: run_tests.py BUILD [GoogleTest flags]. Programs are those that the build lists in tests/programs.txt; as many run at a time as there
are processors."""
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def skip_reasons(output):
    """Reason by test name: GoogleTest prints `FILE:LINE: Skipped`, the reason, then `[  SKIPPED ] NAME (0 ms)`."""
    reasons, lines = {}, None
    for line in output.splitlines():
        if line.endswith(": Skipped"):
            lines = []
        elif lines is not None and line.startswith("[  SKIPPED ] "):  # not again in the list at the end
            reasons[line[13:].split(" (")[0].split(",")[0]] = " ".join(lines)
            lines = None
        elif lines is not None:
            lines.append(line.strip())
    return reasons


def run(program, shard, extra):
    """Runs one shard (index, count) of a program: (passed, failed names, skipped (name, reason), seconds, what is worth reading)."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        started = time.time()
        environment = {**os.environ, "GTEST_COLOR": "no", "GTEST_SHARD_INDEX": str(shard[0]), "GTEST_TOTAL_SHARDS": str(shard[1])}
        environment.setdefault("GOMP_SPINCOUNT", "2000")  # waiting threads leave the processor to others
        process = subprocess.run([str(program), f"--gtest_output=json:{report.name}", *extra],
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment)
        seconds = time.time() - started
        text = Path(report.name).read_text()
        results = json.loads(text) if text else None
    if results is None:  # crashed: no report was written
        return 0, [f"{program.name} (crashed with exit code {process.returncode})"], [], seconds, process.stdout[-20000:]
    passed, failed, skipped = 0, [], []
    reasons = skip_reasons(process.stdout)
    for suite in results["testsuites"]:
        for test in suite["testsuite"]:
            name = f'{suite["name"]}.{test["name"]}'
            if test.get("failures"):
                failed.append(name)
            elif test["result"] == "SKIPPED":
                skipped.append((name, reasons.get(name, "")))
            elif test["result"] == "COMPLETED":
                passed += 1
    told = ""
    if failed or process.returncode != 0:
        noise = ("[ RUN      ]", "[       OK ]", "[----------]", "[==========]")
        told = "\n".join(line for line in process.stdout.splitlines() if not line.startswith(noise))
    if process.returncode != 0 and not failed:
        failed.append(f"{program.name} (exit code {process.returncode})")
    return passed, failed, skipped, seconds, told


# Programs of minutes go first and in pieces, so that no core waits for the other; the rest are one piece.
SHARDS = {"end_to_end_test": 4, "kernels_test": 4, "models_test": 2}


def main():
    build = Path(sys.argv[1]).resolve()
    extra = sys.argv[2:]
    programs = [build / line for line in (build / "tests" / "programs.txt").read_text().split()]
    only = os.environ.get("ASAN_PROGRAMS", "").split()
    programs = [program for program in programs if not only or program.name in only]
    programs.sort(key=lambda program: list(SHARDS).index(program.name) if program.name in SHARDS else len(SHARDS))
    passed, failed, skipped = 0, [], []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        shards = {program: [pool.submit(run, program, (index, SHARDS.get(program.name, 1)), extra)
                            for index in range(SHARDS.get(program.name, 1))] for program in programs}
        for program in programs:
            results = [shard.result() for shard in shards[program]]
            for text in (result[4] for result in results):
                if text:
                    print(text)
            p, f, s = (sum((result[at] for result in results), start) for at, start in ((0, 0), (1, []), (2, [])))
            seconds = sum(result[3] for result in results)
            print(f"  {program.name:24} {p} passed, {len(f)} failed, {len(s)} skipped   {seconds:.1f} s", flush=True)
            passed += p
            failed += f
            skipped += s
    for name, reason in skipped:
        print(f"skipped: {name}: {reason or 'no reason given'}")
    for name in failed:
        print(f"FAILED: {name}")
    print(f"{passed} passed, {len(failed)} failed, {len(skipped)} skipped")
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
