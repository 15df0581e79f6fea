#!/usr/bin/env python3
"""How fast a whole task is compared with PyTorch: both compute the same thing from the same weights, checked against a float64
answer, in turns on the same machine. First PyTorch's settings are tried (layout, threads, BLAS threads, how waiting
threads wait) and the two fastest stay; then they and ours alternate.

  against_pytorch.py BUILD inference|training|mil [--rounds N]"""
import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

PEER = Path(__file__).resolve().parent / "peers" / "pytorch_peer.py"
PYTHON = "/usr/bin/python3"  # the distribution's, which has python3-torch
# rounds of the trial, rounds of the comparison, and the floor: PyTorch's time / ours must reach it
TASKS = {"inference": (3, 15, 0.6), "training": (2, 7, 0.5), "mil": (5, 41, 1.0)}


class Worker:
    """A process that repeats its task on demand."""

    def __init__(self, label, command, environment):
        self.label = label
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, **environment})
        words = self.process.stdout.readline().split()
        if not words or words[0] != "ready":
            sys.exit(f"against_pytorch: {label} ended with exit code {self.process.wait()}")
        self.variants = words[1:]

    def run(self, variant):
        """Wall and CPU seconds of one repetition."""
        print(variant, file=self.process.stdin, flush=True)
        return tuple(map(float, self.process.stdout.readline().split()))

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def peer_environments(task):
    """What PyTorch's speed depends on and only an environment can set. Debian's build takes AVX2 unless asked for AVX-512."""
    waits = {"spin": {}, "sleep": {"GOMP_SPINCOUNT": "2000"}}
    sets = {"": {}}
    if "avx512vl" in Path("/proc/cpuinfo").read_text():
        sets["avx512-"] = {"ATEN_CPU_CAPABILITY": "avx512"}
    blas = ("1", "2") if task == "mil" else ("2",)
    for instruction_set, threads, wait in itertools.product(sets, blas, waits):
        yield f"{instruction_set}blas{threads}-{wait}", {**sets[instruction_set], **waits[wait], "OPENBLAS_NUM_THREADS": threads}


def alternate(candidates, rounds):
    """{label: [(wall, cpu), …]}: round by round, each candidate once, forwards and backwards in turn."""
    times = {label: [] for label, _, _ in candidates}
    for round_number in range(rounds):
        for label, worker, variant in candidates[::1 if round_number % 2 == 0 else -1]:
            times[label].append(worker.run(variant))
    return times


def median_wall(times):
    return statistics.median(wall for wall, _ in times)


def quantile(values, q):
    values = sorted(values)
    return values[round(q * (len(values) - 1))]


def describe(label, times, width):
    walls = [wall * 1e3 for wall, _ in times]
    cpu = statistics.median(cpu for _, cpu in times) * 1e3
    print(f"  {label:{width}} {statistics.median(walls):9.1f} ms   [{min(walls):.1f}, {max(walls):.1f}]   {cpu:9.1f} ms of CPU")


def compare(build, task, rounds):
    trial_rounds, default_rounds, floor = TASKS[task]
    rounds = rounds or default_rounds
    with tempfile.TemporaryDirectory() as folder:
        fixture = str(Path(folder) / "fixture.npz")
        subprocess.run([PYTHON, str(PEER), task, fixture, "--write"], check=True)
        ours = Worker("ours", [str(build / "bench" / "against_pytorch"), task, fixture], {})
        peers = [Worker(label, [PYTHON, str(PEER), task, fixture], setting) for label, setting in peer_environments(task)]
        candidates = [(f"{variant}-{peer.label}", peer, variant) for peer in peers for variant in peer.variants]
        trial = alternate(candidates, trial_rounds)
        candidates.sort(key=lambda c: median_wall(trial[c[0]]))
        width = max(len(c[0]) for c in candidates)
        print(f"{task}: PyTorch's settings, median of {trial_rounds} [least, most]")
        for label, _, _ in candidates:
            describe(label, trial[label], width)
        finalists = candidates[:2]
        for peer in peers:
            if all(peer is not finalist[1] for finalist in finalists):
                peer.end()
        times = alternate([("ours", ours, "ours"), *finalists], rounds)
        print(f"{task}: in alternation, median of {rounds} [least, most]")
        for label in times:
            describe(label, times[label], width)
        best = min((label for label, _, _ in finalists), key=lambda label: median_wall(times[label]))
        ratios = [theirs[0] / mine[0] for theirs, mine in zip(times[best], times["ours"])]
        ratio = statistics.median(ratios)
        print(f"{task}: our rate is {ratio:.2f} of PyTorch's best ({best}); quartiles {quantile(ratios, 0.25):.2f} to "
              f"{quantile(ratios, 0.75):.2f}; floor {floor}: {'reached' if ratio >= floor else 'MISSED'}")
        return ratio >= floor


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--rounds", type=int, default=0, help="of the comparison")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "2"
    return 0 if compare(options.build, options.task, options.rounds) else 1


if __name__ == "__main__":
    sys.exit(main())
