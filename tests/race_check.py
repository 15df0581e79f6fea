#!/usr/bin/env python3
"""Racecheck of the kernels on the SIMT machine, in a build with -fsanitize=thread (scripts/with_archer.sh runs it there).

Usage: race_check.py BUILD [--only faults,kernels,barriers] [--operations OP,OP…]

  faults    race_fault_test: each race that racecheck claims to see, on a minimal kernel, and its repaired twin
  kernels   every kernel test in two orders of threads and blocks: no race
  barriers  every barrier of the kernels is taken away in turn, and racecheck must name two source lines that it kept apart
"""
import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KERNELS = ROOT / "kernels"
SECONDS = int(os.environ.get("RACE_SECONDS", "300"))  # of one run without its barrier; most end at the first race

# Barriers that no race shows, with the reason. `file:text of the line before it`, so that the entry moves with the code.
UNSEEN = {}


def options(text):
    # Copies of structs are calls of memcpy, which TSan sees only when no module is ignored.
    return f"{os.environ.get('TSAN_OPTIONS', '')} ignore_noninstrumented_modules=0 {text}"


def run(program, filters, environment, seconds):
    """(exit code, output) of a test program; exit code None: it ran out of time."""
    command = [str(program), f"--gtest_filter={filters}", "--gtest_brief=1"]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                              env={**os.environ, "GTEST_COLOR": "no", **environment}, timeout=seconds)
        return done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        return None, (late.stdout or b"").decode(errors="replace")


def faults(build):
    code, output = run(build / "tests" / "race_fault_test", "*", {"TSAN_OPTIONS": options("halt_on_error=0 exitcode=0")}, SECONDS)
    passed = re.search(r"\[  PASSED  \] (\d+) test", output)
    if code != 0 or not passed:
        print(output)
        return [f"race_fault_test: exit code {code}"]
    print(f"racecheck: {passed.group(1)} kinds of races are seen, and their repaired twins are silent")
    return []


def suites_of(folder):
    """Filter for the tests of an operation's folder on the SIMT machine."""
    texts = [path.read_text() for path in folder.glob("*_test.cc")]
    names = sorted({name for text in texts for name in re.findall(r"\bTEST_P\((\w+),", text)}
                   | {name + "Problems" for text in texts for name in re.findall(r"\bMT_PROBLEM_TESTS\((\w+),", text)})
    if not names:
        raise SystemExit(f"{folder}: no tests of kernels found")
    return ":".join(f"*{name}.*/simt_*" for name in names)


def operations_with_kernels():
    return {path.parent for path in KERNELS.glob("*/*.cu")}


def kernels(build, folders):
    """One process per operation: no race in two orders."""
    program = build / "tests" / "kernels_test"
    wrong = []

    def check(folder):
        started = time.time()
        code, output = run(program, suites_of(folder), {"MICROTOME_SIMT_SCHEDULES": "race", "TSAN_OPTIONS": options("halt_on_error=0")}, 3600)
        return folder, code, output, time.time() - started

    # The longest first, so that no processor waits for another at the end.
    for folder, code, output, seconds in in_parallel(check, sorted(folders, key=lambda f: (f.name not in ("augment", "conv2d"), f))):
        passed = re.search(r"\[  PASSED  \] (\d+) test", output)
        good = code == 0 and passed and int(passed.group(1)) > 0
        print(f"  {folder.name:20} {passed.group(1) + ' tests' if good else 'FAILED'}   {seconds:.1f} s", flush=True)
        if not good:
            print(output[-6000:])
            wrong.append(f"{folder.name}: racecheck of its kernels, exit code {code}")
    return wrong


def barriers():
    """(file, line) of each barrier in the kernels and in what they share."""
    found = []
    for path in sorted([*KERNELS.glob("*/*.cu"), *KERNELS.glob("*/*.cuh")]):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.search(r"\bsimt::sync_(threads|warp)\(", line.split("//")[0]):
                found.append((path, number))
    return found


def users_of(path):
    """Folders whose tests run this file's kernels: its own, or those that include it, also through another header."""
    files = {path}
    grown = True
    while grown:
        users = {f for f in [*KERNELS.glob("*/*.cu"), *KERNELS.glob("*/*.cuh")]
                 if any(f'"kernels/{h.relative_to(KERNELS).as_posix()}"' in f.read_text() for h in files)}
        grown = not users <= files
        files |= users
    return sorted({f.parent for f in files if f.suffix == ".cu"})


def places(report):
    """The two source lines of a race, from the machine's story or from TSan's report, which stands before it."""
    story = re.search(r"data race: .*? at (\S+:[1-9]\d*), .*? at (\S+:[1-9]\d*), and nothing", report)
    if story:
        return story.groups()
    halves = re.split(r"\n\s*Previous ", report.partition("WARNING: ThreadSanitizer: data race")[2].partition("Location is")[0])
    lines = [re.search(r"(kernels/\w+/\w+\.cuh?:[1-9]\d*)", half) for half in halves]
    return tuple(line.group(1) for line in lines) if len(lines) == 2 and all(lines) else None


def until_a_race(program, filters, environment):
    """The two source lines of the first race, or None. The program ends there: without its barrier a kernel may never end by itself,
    and values may fail before. Shuffled, so that the first few tests already come from every version; a test that crashes
    (what nobody wrote may be an index) ends the others too, so then they are shuffled anew."""
    late = time.time() + SECONDS
    for seed in range(1, 6):
        two, crashed = first_race(program, filters, environment, seed, late - time.time())
        if two or not crashed or time.time() >= late:
            return two
    return None


def first_race(program, filters, environment, seed, seconds):
    """(the two source lines or None, whether the program crashed before it had run all tests)"""
    command = [str(program), f"--gtest_filter={filters}", "--gtest_brief=1", "--gtest_shuffle", f"--gtest_random_seed={seed}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                               env={**os.environ, "GTEST_COLOR": "no", **environment})
    clock = threading.Timer(seconds, process.kill)
    clock.start()
    report = []
    summed_up = False
    for line in process.stdout:
        if "WARNING: ThreadSanitizer: data race" in line:
            report = []
        report.append(line)
        summed_up |= line.startswith(("[  PASSED  ]", "[  FAILED  ]")) and " test" in line
        if "nothing orders the two" in line or line.startswith("SUMMARY: ThreadSanitizer: data race"):
            two = places("".join(report))
            if two:
                process.kill()
                process.wait()
                clock.cancel()
                return two, False
    process.wait()
    clock.cancel()
    return None, not summed_up


def without(build, folders, path, number):
    """What racecheck says when the barrier at this line is gone: (place, operation whose tests show it, two source lines)."""
    place = f"{path.relative_to(ROOT).as_posix()}:{number}"
    environment = {"MICROTOME_SIMT_SCHEDULES": "race", "MICROTOME_WITHOUT_BARRIER": place,
                   "TSAN_OPTIONS": options("halt_on_error=0 exitcode=0")}
    for folder in [user for user in users_of(path) if user in folders]:
        two = until_a_race(build / "tests" / "kernels_test", suites_of(folder), environment)
        if two:
            return place, folder.name, two
    return place, "", None


def removed_barriers(build, folders):
    wrong = []
    todo = [(p, n) for p, n in barriers() if p.parent in folders or (p.suffix == ".cuh" and set(users_of(p)) & folders)]
    for place, operation, two in in_parallel(lambda barrier: without(build, folders, *barrier), todo):
        path, _, number = place.rpartition(":")
        before = (ROOT / path).read_text().splitlines()[int(number) - 2].strip()
        reason = UNSEEN.get(f"{path}:{before}")
        if two:
            print(f"  without {place} ({operation}): {two[0]} races with {two[1]}", flush=True)
            if reason:
                wrong.append(f"{place}: is listed as unseen, but its race is seen")
        elif reason:
            print(f"  without {place}: no race; {reason}", flush=True)
        else:
            print(f"  without {place}: NO RACE", flush=True)
            wrong.append(f"{place}: no test shows a race without this barrier")
    print(f"racecheck: {len(todo)} barriers taken away, one after the other")
    return wrong


def in_parallel(f, items):
    with concurrent.futures.ThreadPoolExecutor(max_workers=int(os.environ.get("RACE_JOBS", os.cpu_count() or 1))) as pool:
        for done in concurrent.futures.as_completed([pool.submit(f, item) for item in items]):
            yield done.result()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=Path)
    parser.add_argument("--only", default="faults,kernels,barriers")
    parser.add_argument("--operations", default="")
    arguments = parser.parse_args()
    build = arguments.build.resolve()
    wanted = [name for name in arguments.operations.split(",") if name]
    folders = {folder for folder in operations_with_kernels() if not wanted or folder.name in wanted}
    parts = arguments.only.split(",")
    if unknown := set(parts) - {"faults", "kernels", "barriers"}:
        parser.error(f"--only knows faults, kernels and barriers, not {', '.join(sorted(unknown))}")
    wrong = []
    if "faults" in parts:
        wrong += faults(build)
    if "kernels" in parts:
        wrong += kernels(build, folders)
    if "barriers" in parts:
        wrong += removed_barriers(build, folders)
    for line in wrong:
        print(f"FAILED: {line}")
    print("racecheck: " + (f"{len(wrong)} failed" if wrong else "all passed"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
