#!/usr/bin/env python3
"""Lint: the kernel dialect and the order of the floors (lint_dialect.py), unfinished work, then clang-tidy over every
source of the product (tests and benchmarks are read by the compiler's warnings only, to keep this under ten minutes). Usage: lint.py BUILD"""
import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lint_dialect
import kernel_loops
import nvcc_checked

ROOT = Path(__file__).resolve().parent.parent


def forbidden_words():
    found = []
    # Whole words: the template of mkdtemp ends in a row of the same letter.
    unfinished = re.compile(r"\b(?:TO" + "DO|FIX" + "ME|XX" + r"X|HA" + r"CK)\b")
    listed = subprocess.run(["git", "ls-files", "*.h", "*.cc", "*.cu", "*.py", "*.sh"], cwd=ROOT, capture_output=True, text=True)
    for name in listed.stdout.split():
        if name == "scripts/lint.py":
            continue
        for number, line in enumerate((ROOT / name).read_text().splitlines(), 1):
            if unfinished.search(line):
                found.append(f"{name}:{number}: unfinished work is named in an issue, not in the code")
    return found


def without_launcher(command):
    """A compile command without the compiler cache that Meson puts before it where it finds one: clang-tidy takes the
    first word for the compiler."""
    words = command.split(" ")
    return " ".join(words[1:]) if Path(words[0]).name in ("ccache", "sccache") else command


def clang_tidy(build, folder=ROOT):
    database = json.loads((build / "compile_commands.json").read_text())
    for entry in database:
        entry["command"] = without_launcher(entry["command"])
    files = sorted({str((Path(e["directory"]) / e["file"]).resolve()) for e in database if e["file"].endswith(".cc")})
    files = [f for f in files if Path(f).is_relative_to(folder) and not Path(f).is_relative_to(build.resolve())]
    files = [f for f in files if not f.endswith(("_test.cc", "_bench.cc"))]
    files = [f for f in files if Path(f).relative_to(ROOT).parts[0] not in ("tests", "bench")]

    commands = tempfile.TemporaryDirectory()
    (Path(commands.name) / "compile_commands.json").write_text(json.dumps(database))

    def run(name):
        result = subprocess.run(["clang-tidy", "--quiet", "-p", commands.name, name], capture_output=True, text=True)
        return name, result.returncode, result.stdout

    failed = []
    with commands, ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, code, output in pool.map(run, files):
            if code != 0:
                failed.append(str(Path(name).relative_to(ROOT)))
                print(output)
    print(f"lint: clang-tidy read {len(files)} files, {len(failed)} with findings")
    return failed


def main():
    build = Path(sys.argv[1] if len(sys.argv) > 1 else "build")
    if lint_dialect.self_test() != 0 or nvcc_checked.self_test() != 0 or kernel_loops.self_test() != 0:
        return 1
    problems = lint_dialect.problems() + forbidden_words()
    for problem in problems:
        print(problem)
    failed = clang_tidy(build)
    return 1 if problems or failed else 0


if __name__ == "__main__":
    sys.exit(main())
