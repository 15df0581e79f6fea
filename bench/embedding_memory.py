#!/usr/bin/env python3
"""Memory of embedding as a user runs it: `train --shard` (tile and embed, then stop) with the published encoder, ResNet-18 of
width 64 on 224 pixel patches, over two sets of phantom slides of which one is twice as large. Both are large enough to fill the
caches of patches and tiles. Fails when a peak is above 1.5 GB, or when the large set's is more than a tenth above the small
one's.

  embedding_memory.py BUILD [--slides SMALL LARGE]"""
import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

LIMIT_GB = 1.5
MOST_GROWTH = 1.1


def peak_gb(command):
    """Runs the command and returns the kernel's peak of its resident memory (VmHWM) in GB of 10^9 bytes."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"embedding_memory: {' '.join(command)} failed:\n{errors}")
    return usage.ru_maxrss * 1024e-9


def embed(build, folder, slides):
    """Peak of embedding half of a set; the other half belongs to the second shard."""
    root = folder / f"set{slides}"
    part = slides // 2
    subprocess.run([str(build / "train" / "slide"), "phantom", str(root), "--slides", str(slides - part), str(part // 2),
                    str(part - part // 2)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    run = folder / f"run{slides}"
    peak = peak_gb([str(build / "train" / "train"), "--data", "camelyon16", "--root", str(root), "--run", str(run),
                    "--preset", "paper", "--width", "64", "--patch", "224", "--mpp", "0.5", "--pretrain", "none",
                    "--shard", "1/2"])
    embedded = len(list(run.glob("features/initial/*.h5")))
    print(f"  {embedded:4} slides embedded: peak {peak:.2f} GB", flush=True)
    return peak, embedded


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path)
    parser.add_argument("--slides", type=int, nargs=2, default=(180, 360), help="of the two sets; half of each is embedded")
    options = parser.parse_args()
    small, large = options.slides
    if small < 12 or large <= small:
        parser.error("--slides wants two rising numbers from 12 on")
    print("embedding, ResNet-18 width 64, 224 px:", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        (first, few), (second, many) = (embed(options.build, Path(folder), slides) for slides in (small, large))
    kept = few < many and max(first, second) <= LIMIT_GB and second <= MOST_GROWTH * first
    print(f"  limit {LIMIT_GB} GB, {second / first:.2f} times the peak for {many / few:.1f} times the slides: "
          f"{'kept' if kept else 'EXCEEDED'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
