#!/usr/bin/env python3
"""Reads what came back from a day with a GPU (the folder that the kit's `run` wrote, bench/gpu_day/) and writes it down: bench/results/CARD.json and
a page, with what ran, what failed and what was not reached.

  gpu_report.py RESULTS [RESULTS ...]           of one machine; of two records of a step the later counts
  gpu_report.py RESULTS --simt FOLDER           beside the errors of a rehearsal on the SIMT machine
  gpu_report.py RESULTS --out FOLDER            elsewhere than in bench/results/"""
import argparse
import json
import os
import re
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = ("correctness", "speed")
TEST_STEPS = ("first-kernels", "own-kernels", "vendor-kernels", "naive-kernels")
SANITIZERS = ("memcheck", "racecheck", "synccheck", "initcheck")


class Unreadable(Exception):
    """One line for the user."""


def read_json(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Unreadable(f"{path}: cannot be read: {error}") from error


def read_results(folders):
    """machine, kit and the steps in their order; of a step that has no record the state says "not reached", of one that was killed "killed"."""
    machine, kit, steps = None, None, {}
    for folder in folders:
        here = read_json(folder / "machine.json")
        if here is None:
            raise Unreadable(f"{folder}: no machine.json: not a folder that kit/run wrote")
        mine = read_json(folder / "kit.json")
        if kit is not None and mine["commit"] != kit["commit"]:
            raise Unreadable(f"{folder} is of commit {mine['commit']}, {folders[0]} of {kit['commit']}: one report each")
        machine, kit = here, mine
        for command in COMMANDS:
            plan = read_json(folder / f"plan-{command}.json")
            for planned in plan["steps"] if plan else []:
                key = (command, planned["name"])
                record = read_json(folder / f"{command}-{planned['name']}.json")
                if record is None:
                    record = {"command": command, "step": planned["name"], "state": "not reached", "seconds": 0}
                if record["state"] == "running":
                    record.update(state="killed", why="the run ended in the middle of it")
                before = steps.get(key)
                if before is None or before["state"] in ("not reached", "killed") or record.get("written", "") > before.get("written", ""):
                    steps[key] = record
    return machine, kit, list(steps.values())


def test_sets(steps):
    """Counts of tests by set: kernel tests by step, networks by program."""
    sets = {}
    for step in steps:
        if step["step"] in TEST_STEPS and "tests" in step:
            sets[step["step"]] = step["tests"]
        for program, part in step.get("programs", {}).items() if isinstance(step.get("programs"), dict) else ():
            if "tests" in part:
                sets[program] = part["tests"]
    return sets


def skipped_by_reason(sets):
    """Names of skipped tests by the reason given."""
    skipped = {}
    for tests in sets.values():
        for why, names in tests["why_skipped"].items():
            skipped.setdefault(why, []).extend(names)
    return skipped


def worst_errors(steps):
    """Largest error over its bound by test suite."""
    worst = {}
    for tests in test_sets(steps).values():
        for suite, error in tests["worst_error_over_bound"].items():
            worst[suite] = max(worst.get(suite, 0.0), error)
    return worst


def timed(steps):
    """One row for each operation, shape, kernel and state of L2: microseconds, and ratios to the baseline, to PyTorch and to the time that memory
    needs for the bytes that must move (a copy's rate on this card)."""
    samples, rates, labels, faults, baselines = {}, {}, {}, {}, {}
    for bench in (step["bench"] for step in steps if "bench" in step):
        for key, value in bench["context"].items():
            if key.startswith("baseline:"):
                baselines[key[9:]] = value
        for run in bench["benchmarks"]:
            key = tuple(run["run_name"].split("/")[:4])
            if "error_message" in run:
                faults[key] = run["error_message"]
                continue
            samples.setdefault(key, []).append(run["real_time"])
            labels[key] = run.get("label", "")
            rates.setdefault(key, {}).update({unit: run[unit] for unit in ("FLOP/s", "bytes/s") if unit in run})
    memory = max((rate["bytes/s"] for key, rate in rates.items() if key[0] == "memory" and "bytes/s" in rate), default=None)
    rows = []
    for key in dict.fromkeys(list(samples) + list(faults)):
        operation, shape, kernel, cache = (list(key) + ["", "", ""])[:4]
        row = {"operation": operation, "shape": shape, "kernel": kernel, "l2": cache, "fault": faults.get(key)}
        if key in samples:
            median = statistics.median(samples[key])

            def over(other, median=median):
                return median / statistics.median(samples[other]) if other in samples and other != key else None

            baseline = baselines.get(f"{operation}/{shape}")
            tf32 = "tf32" in kernel and "tf32x3" not in kernel or "bf16" in kernel
            row.update(microseconds=median, least=min(samples[key]), most=max(samples[key]), how=labels[key], baseline=baseline,
                       time_over_baseline=over((operation, shape, baseline, cache)),
                       time_over_pytorch=over((operation, shape, "PyTorch_tf32" if tf32 else "PyTorch", "warm")) if cache == "warm" else None,
                       time_over_memory=memory / rates[key]["bytes/s"] if memory and rates[key].get("bytes/s") and operation != "memory" else None,
                       **rates[key])
        rows.append(row)
    return rows


def make_report(folders, simt=None):
    machine, kit, steps = read_results(folders)
    sets = test_sets(steps)
    return {
        "gpu": machine["gpu"], "device": machine["device"], "date": machine["date"], "host": machine["host"], "vendor": {
            name: folder is not None for name, folder in machine["vendor"].items()},
        "kit": {key: kit[key] for key in ("commit", "built", "architectures", "nvcc", "stand_in")},
        "steps": [{key: value for key, value in step.items() if key not in ("bench", "tests", "written")} for step in steps],
        "tests": {name: {key: tests[key] for key in ("tests", "passed", "failed", "skipped", "not_reached")} for name, tests in sets.items()},
        "failed": {name: result for tests in sets.values() for name, result in tests["bad"].items()},
        "skipped": skipped_by_reason(sets),
        "not_reached": [step["step"] for step in steps if step["state"] in ("not reached", "killed", "interrupted")],
        "errors": {"device": worst_errors(steps), "simt": worst_errors(read_results([simt])[2]) if simt else {}},
        "times": timed(steps),
    }


def cell(text):
    return str(text).replace("|", "\\|").replace("\n", " ")[:200]


def ratio(value):
    return "" if value is None else f"{value:.2f}"


def is_rehearsal(report):
    return report["device"] != "cuda" or report["kit"]["stand_in"]


def card_of(report):
    """The GPU's name; a rehearsal is never called by one."""
    if is_rehearsal(report):
        return f"A rehearsal on {'the SIMT machine' if report['device'] == 'simt' else 'a stand-in for a GPU'}: its times say nothing"
    return report["gpu"].get("name") or "Unknown card"


def head_of(report):
    kit, gpu = report["kit"], report["gpu"]
    there = [name for name, found in report["vendor"].items() if found]
    counts = {key: sum(tests[key] for tests in report["tests"].values()) for key in ("tests", "passed", "failed", "skipped", "not_reached")}
    by = "" if kit["stand_in"] else f" for sm_{', sm_'.join(kit['architectures'])} by {kit['nvcc']}"
    lines = [f"# {card_of(report)}", "",
             f"{report['date']}; commit {kit['commit']}, built {kit['built']}{by}; driver "
             f"{gpu.get('driver_version', 'none')}; {report['host']}; {', '.join(there) or 'neither cuBLASLt nor cuDNN'} there.", "",
             f"Tests on the device: {counts['passed']} of {counts['tests']} passed, {counts['failed']} failed, {counts['skipped']} skipped, "
             f"{counts['not_reached']} not reached." if counts["tests"] else "No test ran.", ""]
    if report["not_reached"]:
        lines += [f"Not reached: {', '.join(report['not_reached'])}.", ""]
    return lines


def steps_of(report):
    lines = ["## What ran", "", "| step | came out | seconds | |", "|---|---|---|---|"]
    lines += [f"| {step['step']} | {step['state']} | {step['seconds']:.0f} | {cell(step.get('why', ''))} |" for step in report["steps"]]
    lines += ["", "| tests | passed | failed | skipped | not reached |", "|---|---|---|---|---|"]
    lines += [f"| {name} | {t['passed']} | {t['failed']} | {t['skipped']} | {t['not_reached']} |" for name, t in report["tests"].items()]
    lines += [""] + [f"- {len(names)} skipped: {cell(why)}" for why, names in report["skipped"].items()]
    if report["failed"]:
        lines += ["", "## Failed", ""]
        lines += [f"- `{name}`: {result['state']}{', tried alone' if result.get('alone') else ''}: {cell(result.get('why', ''))}"
                  for name, result in report["failed"].items()]
    return lines


def training_of(report):
    lines = []
    for step in report["steps"]:
        if step["step"] == "train-twice" and "first_loss_apart" in step:
            bits = {True: "the same bits twice", False: "**other bits the second time**"}.get(step.get("same_bits_twice"), "bits not compared")
            lines += ["", "## Training beside the cpu", "",
                      f"`train --preset tiny`: first loss {step['first_loss']:.8f}, on the cpu {step['first_loss_on_cpu']:.8f}: {step['first_loss_apart']:.1e} apart "
                      f"({step['first_loss_tolerance']} allowed); {bits}."]
        if step["step"] == "phantom" and "stages" in step:
            lines += ["", "## The phantom, end to end", "", "| stage | seconds |", "|---|---|"]
            lines += [f"| {name} | {seconds:.1f} |" for name, seconds in step["stages"].items()]
    return lines


def sanitizers_of(report):
    lines = ["", "## compute-sanitizer", ""]
    for step in report["steps"]:
        if step["step"] not in SANITIZERS:
            continue
        if "operations" not in step:
            lines.append(f"- {step['step']}: {step['state']}{': ' + step['why'] if step.get('why') else ''}")
            continue
        clean = [word for word, result in step["operations"].items() if result["good"]]
        bad = {word: result["summary"] for word, result in step["operations"].items() if not result["good"] and not result["stopped"]}
        lines.append(f"- {step['step']}: clean: {', '.join(clean) or 'none'}; " + (f"**{cell(bad)}**; " if bad else "") +
                     f"not reached: {', '.join(step['not_reached']) or 'none'}")
    return lines if len(lines) > 3 else []


def errors_of(report):
    if not report["errors"]["device"]:
        return []
    lines = ["", "## Errors", "", "Largest error against the double reference, over its bound (1 is the limit).", "",
             "| tests | on the device | on the SIMT machine |", "|---|---|---|"]
    for suite, here in sorted(report["errors"]["device"].items()):
        simt = report["errors"]["simt"].get(suite)
        lines.append(f"| {suite} | {here:.3f} | {'' if simt is None else f'{simt:.3f}'} |")
    return lines


def times_of(report):
    if not report["times"]:
        return []
    lines = ["", "## Times", "", "Medians in microseconds (least to most); ratios are times over another's, below 1 is faster: the baseline's, PyTorch's "
             "(its TF32 beside our TF32 and BF16), and that of a copy of the bytes that must move.", "",
             "| operation | shape | L2 | kernel | µs | / baseline | / PyTorch | / memory | baseline; how |", "|---|---|---|---|---|---|---|---|---|"]
    for row in report["times"]:
        start = f"| {row['operation']} | {row['shape']} | {row['l2']} | {row['kernel']} |"
        if "microseconds" not in row:
            lines.append(f"{start} **{cell(row['fault'])}** | | | | |")
            continue
        fault = f"; **{row['fault']}**" if row["fault"] else ""
        notes = "; ".join(part for part in (row["baseline"] or "", row["how"]) if part)
        lines.append(f"{start} {row['microseconds']:.1f} ({row['least']:.1f} to {row['most']:.1f}) | {ratio(row['time_over_baseline'])} | "
                     f"{ratio(row['time_over_pytorch'])} | {ratio(row['time_over_memory'])} | {cell(notes + fault)} |")
    return lines


def profile_of(report):
    lines = []
    for step in report["steps"]:
        if step["step"] == "profile" and "kernels" in step:
            lines += ["", "## One launch under ncu", ""]
            lines += [f"- {name}: " + "; ".join(f"{key} {value}" for key, value in numbers.items()) for name, numbers in step["kernels"].items()]
    return lines


def page(report):
    lines = head_of(report) + steps_of(report) + training_of(report) + sanitizers_of(report) + times_of(report) + profile_of(report) + errors_of(report)
    return "\n".join(lines) + "\n"


def write(path, text):
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+", help="what kit/run --out wrote")
    parser.add_argument("--simt", type=Path, metavar="FOLDER", help="results of a rehearsal by `run --device simt`")
    parser.add_argument("--out", type=Path, help="folder [bench/results]")
    options = parser.parse_args()
    try:
        report = make_report(options.results, options.simt)
    except Unreadable as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if is_rehearsal(report) and options.out is None:
        print("error: a rehearsal is no result: name a folder for it with --out", file=sys.stderr)
        return 1
    out = options.out or ROOT / "bench/results"
    out.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^a-z0-9]+", "_", card_of(report).split(":")[0].lower()).strip("_")
    write(out / f"{name}.json", json.dumps(report, indent=1) + "\n")
    write(out / f"{name}.md", page(report))
    states = [step["state"] for step in report["steps"]]
    print(f"gpu-report: {out / name}.json and .md; of {len(states)} steps {states.count('passed')} passed, {states.count('failed')} failed, "
          f"{len(report['not_reached'])} not reached")
    return 1 if "failed" in states else 0


if __name__ == "__main__":
    sys.exit(main())
