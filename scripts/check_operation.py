#!/usr/bin/env python3
"""Everything that speaks for one operation of kernels/, for who has just edited it: build, tests on every device of the build, racecheck of its
kernels, format, dialect, clang-tidy. Usage: check_operation.py OPERATION BUILD TSAN_BUILD (make check OP=softmax)"""
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import lint  # noqa: E402
import lint_dialect  # noqa: E402
import race_check  # noqa: E402


def operations():
    return sorted(folder.name for folder in (ROOT / "kernels").iterdir() if (folder / f"{folder.name.lstrip('_')}_ref.cc").exists())


def built(build, *targets):
    return subprocess.run(["ninja", "-C", str(build), "--quiet", *targets]).returncode == 0


def tests_pass(program, folder):
    filters = race_check.suites_of(folder).replace("/simt_*", "/*")
    done = subprocess.run([str(program), f"--gtest_filter={filters}", "--gtest_brief=1"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout, end="")
    return done.returncode == 0 and "[  PASSED  ] 0 tests" not in done.stdout


def well_formatted(folder):
    files = [str(p) for p in sorted(folder.iterdir()) if p.suffix in (".h", ".cc", ".cu", ".cuh")]
    return subprocess.run(["clang-format", "--dry-run", "--Werror", *files]).returncode == 0


def in_the_dialect():
    problems = lint_dialect.problems() + lint.forbidden_words()
    print(*problems, sep="\n", end="\n" if problems else "")
    return not problems


def main():
    name, build, tsan = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    folder = ROOT / "kernels" / name
    if name not in operations():
        print(f"check: OP={name}: there is no such operation; there are {', '.join(operations())}", file=sys.stderr)
        return 2
    steps = [
        ("build", lambda: built(build, "tests/kernels_test") and built(tsan, "tests/kernels_test")),
        ("tests", lambda: tests_pass(build / "tests/kernels_test", folder)),
        ("racecheck", lambda: not race_check.kernels(tsan, [folder]) if list(folder.glob("*.cu")) else True),
        ("format", lambda: well_formatted(folder)),
        ("dialect", in_the_dialect),
        ("clang-tidy", lambda: not lint.clang_tidy(build, folder)),
    ]
    failed = []
    for step, good in steps:
        started = time.time()
        if not good():
            failed.append(step)
        print(f"check: {name}: {step} {'FAILED' if step in failed else 'passed'} in {time.time() - started:.1f} s", flush=True)
        if failed == ["build"]:
            break
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
