#!/usr/bin/env python3
"""Builds and runs every benchmark that this machine has the libraries for, and ends with a line for each: done, failed (a floor
was missed, or it could not run), or skipped and why.

  run.py BUILD [NAME…]"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYTORCH_PACKAGES = "python3-torch python3-torchvision libopenblas0-pthread"


def buildable(build):
    """Names of the programs that the build knows; one whose library is missing is not among them."""
    listed = subprocess.run(["meson", "introspect", "--targets", str(build)], check=True, stdout=subprocess.PIPE, text=True).stdout
    return {target["name"] for target in json.loads(listed)}


def no_pytorch():
    """Why PyTorch cannot be compared with, or nothing."""
    probe = subprocess.run(["/usr/bin/python3", "-c", "import numpy, torch, torchvision"], stderr=subprocess.PIPE, text=True)
    if probe.returncode != 0:
        return f"/usr/bin/python3 has no torch or torchvision (packages {PYTORCH_PACKAGES})"
    blas = [os.path.realpath(path) for path in Path("/usr/lib").glob("*/libblas.so.3")]
    if not any("openblas" in path for path in blas):
        return "PyTorch would multiply matrices with the reference BLAS, which is no peer (package libopenblas0-pthread)"
    return ""


def phantom_slide(build, folder):
    subprocess.run([str(build / "train" / "slide"), "phantom", folder, "--slides", "1", "0", "0"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return next(str(path) for path in Path(folder).rglob("*.tif"))


def commands(build, folder):
    """(name, programs needed, why it cannot run or nothing, command). The floors come first."""
    script = [sys.executable, str(HERE / "against_pytorch.py"), str(build)]
    without_pytorch = no_pytorch()
    for task in ("inference", "training", "mil"):
        yield f"pytorch_{task}", ["against_pytorch"], without_pytorch, [*script, task]
    yield "bag_memory", ["bag_memory"], "", [str(build / "bench" / "bag_memory")]
    yield "supcon_memory", ["supcon_memory"], "", [str(build / "bench" / "supcon_memory")]
    yield "embedding_memory", ["train", "slide"], "", [sys.executable, str(HERE / "embedding_memory.py"), str(build)]
    yield "conv_vs_onednn", ["conv_vs_onednn"], "", [str(build / "bench" / "conv_vs_onednn")]
    yield "slide_reads", ["slide_reads", "slide"], "", lambda: [str(build / "bench" / "slide_reads"), phantom_slide(build, folder)]
    yield "kernels_bench", ["kernels_bench"], "", [str(build / "bench" / "kernels_bench"), "--benchmark_min_time=0.05"]


def target(program):
    return f"train/{program}" if program in ("train", "slide") else f"bench/{program}"


def run(build, programs, command):
    """Builds what is needed and runs it: "done" or "FAILED", with its seconds."""
    if subprocess.run(["ninja", "-C", str(build), "--quiet", *map(target, programs)]).returncode != 0:
        return "FAILED to build"
    started = time.time()
    status = subprocess.run(command() if callable(command) else command).returncode
    return f"{'done' if status == 0 else f'FAILED with exit code {status}'}, {time.time() - started:.0f} s"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path)
    parser.add_argument("names", nargs="*", help="only these")
    options = parser.parse_args()
    known = buildable(options.build)
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        for name, programs, obstacle, command in commands(options.build, folder):
            if options.names and name not in options.names:
                continue
            missing = [program for program in programs if program not in known]
            if missing:
                obstacle = f"{missing[0]} is not built: its library was not found (scripts/setup.sh bench installs it)"
            print(f"\n==== {name}", flush=True)
            outcome = f"skipped: {obstacle}" if obstacle else run(options.build, programs, command)
            outcomes.append((name, outcome))
    print()
    for name, outcome in outcomes:
        print(f"{name:18} {outcome}")
    if len(options.names) > len(outcomes):
        parser.error(f"there are no such benchmarks among {' '.join(options.names)}")
    return 1 if any(outcome.startswith("FAILED") for _, outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
