"""Tests of a GoogleTest program in several processes. A test that crashes, hangs or spoils the GPU for the rest of its process costs
itself only: the rest goes on in a new process, and what failed after another failure is tried again alone."""
import json
import re
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import children

MOST_ALONE = 24  # failed tests of one run that are tried again alone

RUN, OK, FAILED, SKIPPED = "[ RUN      ] ", "[       OK ] ", "[  FAILED  ] ", "[  SKIPPED ] "


def tests_of(program, pattern, environment, seconds=60):
    """Names of the tests that match, in the program's order; or a line that says why there are none."""
    listed = children.run([program, "--gtest_list_tests", f"--gtest_filter={pattern}"], seconds, environment=environment, keep=1 << 22)
    if not listed.good:
        return None, f"{program.name}: {children.last_line(listed.text) or listed.words()}"
    names, suite = [], ""
    for line in listed.text.splitlines():
        word = line.split("#")[0].rstrip()
        if word.startswith("  "):
            names.append(suite + word.strip())
        elif re.fullmatch(r"[\w/]+\.", word):
            suite = word
    return names, None


class Reader:
    """Follows a program's output: what has passed, failed or been skipped, and in which test it is."""

    def __init__(self):
        self.results, self.current, self.lines, self.began = {}, None, [], 0.0

    def line(self, text):
        if text.startswith(RUN):
            self.current, self.lines, self.began = text[len(RUN):], [], time.monotonic()
        elif self.current is not None and text[:13] in (OK, FAILED, SKIPPED) and text[13:].startswith(self.current):
            state = {OK: "passed", FAILED: "failed", SKIPPED: "skipped"}[text[:13]]
            self.results[self.current] = {"state": state, "seconds": round(time.monotonic() - self.began, 3)}
            if state != "passed":
                self.results[self.current]["why"] = "\n".join(self.lines)[:1500]
            self.current = None
        elif self.current is not None and len(self.lines) < 60:
            self.lines.append(text)


def errors_over_bounds(report):
    """Largest error over its bound by test, from a finished program's JSON."""
    try:
        suites = json.loads(report.read_text())["testsuites"]
    except (OSError, ValueError, KeyError):
        return {}
    return {f'{suite["name"]}.{test["name"]}': float(test["worst_error_over_bound"])
            for suite in suites for test in suite["testsuite"] if "worst_error_over_bound" in test}


def run_some(program, names, deadline, environment, log, silent):
    """Runs tests by name until all are done, the deadline comes, or a process does not get one test further: results by name."""
    results = {}
    left = list(names)
    with tempfile.TemporaryDirectory() as scratch:
        flags, report = Path(scratch) / "flags", Path(scratch) / "report.json"
        while left and time.monotonic() < deadline - 0.5:
            # Names go through a file of flags: a thousand of them are longer than a command line may be.
            flags.write_text("--gtest_filter=" + ":".join(left) + "\n")
            report.unlink(missing_ok=True)
            reader = Reader()
            ended = children.run([program, f"--gtest_flagfile={flags}", "--gtest_color=no", f"--gtest_output=json:{report}"],
                                 deadline - time.monotonic(), log=log, environment=environment, silent=silent, each_line=reader.line)
            results.update(reader.results)
            for name, worst in errors_over_bounds(report).items():
                if name in results:
                    results[name]["error_over_bound"] = worst
            if reader.current is not None and ended.why != "time limit":  # it ended inside of a test
                results[reader.current] = {"state": "hung" if ended.why == "silent" else "crashed", "seconds": round(ended.seconds, 2),
                                           "why": (ended.words() + "\n" + "\n".join(reader.lines))[:1500]}
            elif reader.current is None and not reader.results and ended.why != "time limit":
                why = children.last_line(ended.text) or ended.words()
                results.update({name: {"state": "crashed", "why": f"no test started: {why}"} for name in left})
            left = [name for name in left if name not in results]
    return results


def run(program, names, shards, deadline, environment, log, silent=60):
    """All of `names` in `shards` processes at a time: results by name, {"state": passed|failed|skipped|crashed|hung, "why", "seconds",
    "error_over_bound", "alone"}; a name that was not reached has none."""
    pieces = [piece for piece in (names[index::shards] for index in range(shards)) if piece]
    with ThreadPoolExecutor(max(len(pieces), 1)) as pool:
        parts = list(pool.map(lambda piece: run_some(program, piece, deadline, environment, log, silent), pieces))
    results = {}
    for part in parts:
        results.update(part)
    # The first failure of a process may have spoilt the device for the others (errors of a GPU stick to the process).
    suspects = [name for part in parts for name in [n for n, r in part.items() if r["state"] == "failed"][1:]][:MOST_ALONE]
    for name in suspects:
        if time.monotonic() > deadline - 1:
            break
        again = run_some(program, [name], deadline, environment, log, silent).get(name)
        if again is not None:
            results[name] = {**again, "alone": True}
    return results


def summary(results, names):
    """Counts, and what is worth reading: everything that did not pass."""
    states = [result["state"] for result in results.values()]
    bad = {name: result for name, result in results.items() if result["state"] in ("failed", "crashed", "hung")}
    skipped = {}
    for name, result in results.items():
        if result["state"] == "skipped":
            skipped.setdefault(children.last_line(result.get("why", "")) or "no reason given", []).append(name)
    worst = {}
    for name, result in results.items():
        if "error_over_bound" in result:
            suite = name.split(".")[0].split("/")[-1]
            worst[suite] = max(worst.get(suite, 0.0), result["error_over_bound"])
    missing = [name for name in names if name not in results]
    return {"tests": len(names), "passed": states.count("passed"), "failed": len(bad), "skipped": states.count("skipped"), "not_reached": len(missing),
            "bad": bad, "why_skipped": skipped, "names_not_reached": missing[:200], "worst_error_over_bound": worst,
            "slowest": sorted(((result.get("seconds", 0), name) for name, result in results.items()), reverse=True)[:5]}
