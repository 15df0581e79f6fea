#!/usr/bin/env python3
"""Runs the GoogleTest programs of a build, names every failed and skipped test, and ends with the sum of their counts.
Usage: run_tests.py BUILD [--filter PATTERN]. Programs are those that the build lists in tests/programs.txt."""
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def skip_reasons(output):
    """Reason by test name: GoogleTest prints `FILE:LINE: Skipped`, the reason, then `[  SKIPPED ] NAME`."""
    reasons, waiting, lines = {}, "", []
    for line in output.splitlines():
        if line.endswith(": Skipped"):
            waiting, lines = "reason", []
        elif line.startswith("[  SKIPPED ] "):
            reasons[line[13:].split(" (")[0].split(",")[0]] = " ".join(lines)
            waiting = ""
        elif waiting:
            lines.append(line.strip())
    return reasons


def run(program, extra):
    """Returns (passed, failed names, skipped (name, reason)) of one program."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        started = time.time()
        environment = {**os.environ, "GTEST_COLOR": "no"}
        environment.setdefault("GOMP_SPINCOUNT", "2000")  # waiting threads leave the processor to others
        process = subprocess.run([str(program), f"--gtest_output=json:{report.name}", *extra],
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment)
        seconds = time.time() - started
        text = Path(report.name).read_text()
        results = json.loads(text) if text else None
    if results is None:  # crashed: no report was written
        print(process.stdout[-20000:])
        return 0, [f"{program.name} (crashed with exit code {process.returncode})"], []
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
    if failed or process.returncode != 0:
        noise = ("[ RUN      ]", "[       OK ]", "[----------]", "[==========]")
        print("\n".join(line for line in process.stdout.splitlines() if not line.startswith(noise)))
    if process.returncode != 0 and not failed:
        failed.append(f"{program.name} (exit code {process.returncode})")
    print(f"  {program.name:24} {passed} passed, {len(failed)} failed, {len(skipped)} skipped   {seconds:.1f} s", flush=True)
    return passed, failed, skipped


def main():
    build = Path(sys.argv[1]).resolve()
    extra = sys.argv[2:]
    programs = [build / line for line in (build / "tests" / "programs.txt").read_text().split()]
    only = os.environ.get("ASAN_PROGRAMS", "").split()
    programs = [program for program in programs if not only or program.name in only]
    passed, failed, skipped = 0, [], []
    for program in programs:
        p, f, s = run(program, extra)
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
