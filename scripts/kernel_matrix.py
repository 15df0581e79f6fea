#!/usr/bin/env python3
"""Prints operation × property × version: how many checks the tests of the kernels make, and why there is none where there is none.

Usage: kernel_matrix.py [BUILD]   runs BUILD/tests/kernels_test (build) on the tests that are made from problems; ends with 1 on a silent hole
"""
import collections
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lint_dialect import ROOT, listed  # noqa: E402


PROPERTIES = ["AgreesWithReference", "LargeOnesAgree", "SameBitsAlways", "AnyAlignment", "OutputsMayBeInputs",
              "JacobianIsTheDerivative", "HurtsEnough"]  # tests/harness/problem_test.h


def tests(build):
    """(operation, property, version, checks, why it was skipped) of each test made from problems."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        subprocess.run([build / "tests" / "kernels_test", "--gtest_filter=*Problems.*", f"--gtest_output=json:{report.name}"],
                       stdout=subprocess.DEVNULL, check=False)
        suites = json.load(open(report.name))["testsuites"]
    for suite in suites:
        for test in suite["testsuite"]:
            operation = suite["name"].split("/")[-1].removesuffix("Problems").removesuffix("Reference")
            name, _, setting = test["name"].partition("/")
            version = re.sub(r"_?(ascending|reversed|fair|unfair)(_\d+)?$", "", setting)
            why = "FAILED" if test.get("failures") else test.get("hole", "skipped" if test.get("result") == "SKIPPED" else "")
            yield operation, name, version, int(test.get("checks", 0)), why


def main():
    build = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build")
    checks = collections.Counter()
    reasons = collections.defaultdict(set)
    versions = collections.defaultdict(list)
    by_hand = collections.defaultdict(set)
    for operation, name, version, count, reason in tests(build):
        if name not in PROPERTIES:
            by_hand[operation].add(name)
            continue
        checks[operation, name, version] += count
        if reason:
            reasons[operation, name, version].add(reason)
        if version not in versions[operation]:
            versions[operation].append(version)
    silent = 0
    names = {re.sub("_", "", op).lower(): op for _, op in listed((ROOT / "kernels/meson.build").read_text(), "operations")}
    width = max(map(len, PROPERTIES))
    for operation in sorted(versions):
        print(f"{names.get(operation.lower(), operation)}: {', '.join(versions[operation])}")
        for name in PROPERTIES:
            cells = []
            for version in versions[operation]:
                why = "; ".join(sorted(reasons[operation, name, version]))
                count = checks[operation, name, version]
                on_cpu_only = name in ("JacobianIsTheDerivative", "HurtsEnough") and version != "cpu"
                if count == 0 and not why and not on_cpu_only:
                    silent += 1
                    why = "A SILENT HOLE"
                if why == "FAILED":
                    count, silent = 0, silent + 1
                cells.append(str(count) if count else "of the reference" if on_cpu_only else f"– ({why})")
            print(f"  {name:<{width}}  {'  '.join(cells) if len(set(cells)) > 1 else cells[0]}")
        if by_hand[operation]:
            print(f"  beside these: {', '.join(sorted(by_hand[operation]))}")
    left = sorted(op for key, op in names.items() if key not in {o.lower() for o in versions})
    print(f"{len(versions)} of {len(names)} operations, {sum(checks.values())} checks, {silent} silent holes")
    print(f"with tests written by hand: {', '.join(left)}")
    return 1 if silent else 0


if __name__ == "__main__":
    sys.exit(main())
