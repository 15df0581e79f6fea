#!/usr/bin/env python3
"""What this project's kernels do on the GPU of this machine: builds for it, runs every kernel test on it (and under compute-sanitizer's
four tools where that is installed), sets the errors on the device beside those of the SIMT machine (both against the double
reference), times our kernels beside cuBLASLt, cuDNN and CUB, runs the phantom end to end, and writes it all down.

  gpu_report.py                 writes bench/results/GPU.json and GPU.md; without a GPU: one line, exit code 1
  gpu_report.py --rehearse OUT  the same steps on the SIMT machine, on small shapes, into the folder OUT: shows that the report works"""
import argparse
import datetime
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SANITIZERS = ("memcheck", "racecheck", "synccheck", "initcheck")


def output_of(*command):
    """What a command prints, or nothing when it fails or is not there."""
    try:
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def find_gpu():
    """name, compute capability ("90") and driver of the first GPU; None without one."""
    line = output_of("nvidia-smi", "--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader").split("\n")[0]
    fields = [field.strip() for field in line.split(",")]
    return dict(zip(("name", "capability", "driver"), (fields[0], fields[1].replace(".", ""), fields[2]))) if len(fields) == 3 else None


def build_for(gpu, folder):
    """Configures and builds a release for this GPU alone."""
    if not (folder / "build.ninja").exists():
        subprocess.run(["meson", "setup", str(folder), "-Dcuda=enabled", f"-Dgpu_architectures={gpu['capability']}"], cwd=ROOT, check=True)
    subprocess.run(["ninja", "-C", str(folder), "tests/kernels_test", "bench/gpu/kernels_gpu_bench", "train/train"], check=True)


def run_tests(build, pattern):
    """Results of the kernel tests that match, by name: {"result", "error_over_bound"}."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "tests.json"
        subprocess.run([str(build / "tests/kernels_test"), f"--gtest_filter={pattern}", f"--gtest_output=json:{report}"],
                       stdout=subprocess.DEVNULL, check=False)
        suites = json.loads(report.read_text())["testsuites"] if report.exists() else []
    results = {}
    for test in (test for suite in suites for test in suite["testsuite"]):
        outcome = "failed" if test.get("failures") else {"SKIPPED": "skipped"}.get(test["result"], "passed")
        error = test.get("worst_error_over_bound")
        results[f'{test["classname"]}.{test["name"]}'] = {"result": outcome, "error_over_bound": float(error) if error else None}
    return results


def worst_by_suite(results):
    """Largest error over its bound by test suite ("Devices/GemmTest")."""
    worst = {}
    for name, test in results.items():
        if test["error_over_bound"] is not None:
            suite = name.split(".")[0].split("/")[-1]
            worst[suite] = max(worst.get(suite, 0), test["error_over_bound"])
    return worst


def run_sanitizers(build, rehearsal):
    """Outcome of each tool of compute-sanitizer."""
    if rehearsal:
        return {tool: "not run: the SIMT machine has checkers of its own (make verify)" for tool in SANITIZERS}
    if not shutil.which("compute-sanitizer"):
        return {tool: "not run: compute-sanitizer is not installed" for tool in SANITIZERS}
    outcomes = {}
    for tool in SANITIZERS:
        done = subprocess.run(["compute-sanitizer", "--tool", tool, "--error-exitcode", "9", str(build / "tests/kernels_test"),
                               "--gtest_filter=*cuda*-*vendor*"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        summary = re.findall(r"(?:ERROR|RACECHECK) SUMMARY: .*", done.stdout)
        outcomes[tool] = summary[-1] if summary else f"exit code {done.returncode}"
    return outcomes


def run_benchmarks(build, device, quick):
    """Google Benchmark's own JSON; medians of five repetitions."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "bench.json"
        command = [str(build / "bench/gpu/kernels_gpu_bench"), f"--device={device}", f"--benchmark_out={out}", "--benchmark_out_format=json",
                   "--benchmark_repetitions=5", "--benchmark_display_aggregates_only=true"]
        if quick:
            command += ["--quick", "--benchmark_min_time=0.001"]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        return json.loads(out.read_text())


def comparisons(benchmarks):
    """One row for each operation, shape, peer and state of L2: microseconds (median, spread) and the ratio to the baseline."""
    times = {}
    for run in benchmarks["benchmarks"]:
        if run["run_type"] == "iteration":
            operation, shape, peer, cache = run["run_name"].split("/")[:4]
            times.setdefault((operation, shape, cache), {}).setdefault(peer, []).append(run["real_time"])
    rows = []
    for (operation, shape, cache), peers in times.items():
        baseline = benchmarks["context"].get(f"baseline:{operation}/{shape}")
        for peer, samples in peers.items():
            median = statistics.median(samples)
            rows.append({"operation": operation, "shape": shape, "l2": cache, "kernel": peer, "microseconds": median,
                         "least": min(samples), "most": max(samples), "baseline": baseline,
                         "time_over_baseline": median / statistics.median(peers[baseline]) if baseline in peers else None})
    return rows


def run_phantom(build, device, quick):
    """The end-to-end run's stages and test metrics."""
    flags = ["--preset", "tiny", "--method", "mil"] if quick else []
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([str(build / "train/train"), "--data", "phantom", "--device", device, "--run", f"{folder}/run", *flags],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        path = Path(folder) / "run/result.json"
        if done.returncode != 0 or not path.exists():
            return {"failed": done.stdout.strip().split("\n")[-1]}
        result = json.loads(path.read_text())
    return {key: result[key] for key in ("stages", "variants", "weights_sha256")}


def page(report):
    """The report as Markdown."""
    device, tests = report["device"], report["tests"]
    lines = [f"# {device['name']}", "",
             f"{report['date']}; commit {report['commit']}; driver {device['driver']}; {report['toolkit']}; {report['host']}.", "",
             f"Kernel tests on the device: {tests['passed']} passed, {tests['failed']} failed, {tests['skipped']} skipped.", ""]
    lines += [f"- failed: {name}" for name in tests["names_failed"]] + [""]
    lines += ["| compute-sanitizer | |", "|---|---|"] + [f"| {tool} | {outcome} |" for tool, outcome in report["sanitizers"].items()]
    lines += ["", "## Errors", "", "Largest error against the double reference, over its bound (1 is the limit).", "",
              "| tests | on the device | on the SIMT machine |", "|---|---|---|"]
    for suite, here in sorted(report["errors"]["device"].items()):
        simt = report["errors"]["simt"].get(suite)
        lines.append(f"| {suite} | {here:.3f} | {'not run' if simt is None else f'{simt:.3f}'} |")
    lines += ["", "## Times", "", "Median of five repetitions, microseconds (least to most); ratio: time over the baseline's, below 1 is faster.", "",
              "| operation | shape | L2 | kernel | µs | ratio | baseline |", "|---|---|---|---|---|---|---|"]
    for row in report["times"]:
        ratio = "not measured" if row["time_over_baseline"] is None else f"{row['time_over_baseline']:.2f}"
        lines.append(f"| {row['operation']} | {row['shape']} | {row['l2']} | {row['kernel']} | {row['microseconds']:.1f} "
                     f"({row['least']:.1f} to {row['most']:.1f}) | {ratio} | {row['baseline'] or 'none in this build'} |")
    lines += ["", "## The phantom, end to end", ""]
    phantom = report["phantom"]
    if "failed" in phantom:
        lines.append(f"Failed: {phantom['failed']}")
    else:
        lines += ["| stage | seconds |", "|---|---|"] + [f"| {s['name']} | {s['seconds']:.1f} |" for s in phantom["stages"]]
    return "\n".join(lines) + "\n"


def make_report(device, build, gpu, quick):
    here = run_tests(build, "*simt*ascending*" if quick else "*cuda*")
    simt = run_tests(build, "*simt*ascending*")
    counts = [test["result"] for test in here.values()]
    return {
        "device": gpu, "date": datetime.date.today().isoformat(), "commit": output_of("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"),
        "toolkit": (output_of("nvcc", "--version").split("\n")[-2:] or [""])[0], "host": platform.platform(),
        "tests": {"passed": counts.count("passed"), "failed": counts.count("failed"), "skipped": counts.count("skipped"),
                  "names_failed": [name for name, test in here.items() if test["result"] == "failed"]},
        "sanitizers": run_sanitizers(build, quick),
        "errors": {"device": worst_by_suite(here), "simt": worst_by_suite(simt)},
        "times": comparisons(run_benchmarks(build, device, quick)),
        "phantom": run_phantom(build, device, quick),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, help="build folder [default: build-gpu; for a rehearsal: build]")
    parser.add_argument("--rehearse", type=Path, metavar="OUT", help="on the SIMT machine, into this folder")
    options = parser.parse_args()
    if options.rehearse:
        build, device = options.build or ROOT / "build", "simt"
        gpu = {"name": "SIMT machine (a rehearsal: its times say nothing)", "capability": "", "driver": "none"}
        subprocess.run(["ninja", "-C", str(build), "tests/kernels_test", "bench/gpu/kernels_gpu_bench", "train/train"], check=True)
        out = options.rehearse
    else:
        build, device, gpu, out = options.build or ROOT / "build-gpu", "cuda", find_gpu(), ROOT / "bench/results"
        if gpu is None:
            print("gpu-report: no NVIDIA GPU with a working driver found (nvidia-smi names none): nothing was measured")
            return 1
        build_for(gpu, build)
    report = make_report(device, build, gpu, bool(options.rehearse))
    out.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^a-z0-9]+", "_", gpu["name"].lower()).strip("_")
    for suffix, text in ((".json", json.dumps(report, indent=1)), (".md", page(report))):
        temporary = out / f".{name}{suffix}.{os.getpid()}"
        temporary.write_text(text)
        temporary.replace(out / f"{name}{suffix}")
    print(f"gpu-report: {out / name}.json and .md; {report['tests']['passed']} tests passed, {report['tests']['failed']} failed")
    return 1 if report["tests"]["failed"] or "failed" in report["phantom"] else 0


if __name__ == "__main__":
    sys.exit(main())
