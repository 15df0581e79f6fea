#!/usr/bin/env python3
"""Kills train and predict at random moments and starts them again: they must end as if nothing had happened. Python's standard library only.

Usage: kill_runs.py BUILD [--kills 100] [--terms 20] [--seed 1] [--folder DIR]
Four fifths of the signals meet train (phantom, --preset tiny, a checkpoint at every step), the others predict. Prints what was killed where,
and ends with 1 if a start failed, a message was wrong, a half file stayed under its final name, or anything came out different.
"""
import argparse
import collections
import hashlib
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MAY_DIFFER = {"state.json", "result.json", "report.html", "manifest.json", "config.toml", ".lock"}  # seconds, times of files, the run folder's own name


def files_of(folder):
    """Hash of every file that must be the same, by its path."""
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name not in MAY_DIFFER and ".tmp-" not in path.name}


def figures_of(run):
    """What result.json says but for seconds."""
    result = json.loads((run / "result.json").read_text())
    text = json.dumps({key: result[key] for key in ("variants", "slides_train", "slides_test", "slides_left_out")})
    return re.sub(r'"finetune_seconds": [^,}]*', "", text)


def step_of(run):
    """The step that a killed run was at, roughly: what state.json knows as the last."""
    try:
        state = json.loads((run / "state.json").read_text())
    except FileNotFoundError:
        return "before the first step"
    if state["checkpoints"]:
        return "in " + sorted(state["checkpoints"])[0].split("/")[0].split(" ")[0]
    return "after " + state["order"][-1].split(" ")[0] if state["order"] else "tile"


class Killer:
    def __init__(self, arguments):
        self.random = random.Random(arguments.seed)
        self.problems = []
        self.met = collections.Counter()
        self.starts = 0

    def until_the_end(self, command, seconds, signals, where):
        """Starts the command again and again, with a signal at a random moment while there are any, and returns those that were not used."""
        while True:
            self.starts += 1
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            sent = None
            if signals:
                try:
                    process.wait(self.random.uniform(0, seconds))
                except subprocess.TimeoutExpired:
                    sent = signals.pop()
                    process.send_signal(sent)
            _, error = process.communicate()
            code = process.returncode
            if sent is not None and code == -signal.SIGKILL or sent == signal.SIGTERM and code in (130, -signal.SIGTERM):
                self.met[f"{signal.Signals(sent).name} {where()}"] += 1
                if code == 130 and "interrupted" not in error:
                    self.problems.append(f"a SIGTERM without its message: {error!r}")
                continue
            if code != 0:
                self.problems.append(f"exit code {code}: {error.strip()}")
            elif sent is not None:  # it had ended first
                signals.append(sent)
            return signals


def compare(what, expected, actual, problems):
    different = sorted(key for key in expected.keys() | actual.keys() if expected.get(key) != actual.get(key))
    if different:
        problems.append(f"{what}: {len(different)} files differ, such as {different[:3]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--terms", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="microtome-kill-"))
    folder.mkdir(parents=True, exist_ok=True)
    killer = Killer(arguments)

    def train(run):
        return [str(arguments.build / "train/train"), "--data", "phantom", "--preset", "tiny", "--seed", "3", "--checkpoint-seconds", "0", "--run", str(run)]

    def predict(out):
        slides = sorted(str(path) for path in (reference / "phantom/testing/images").glob("*.tif"))
        return [str(arguments.build / "train/predict"), "--run", str(reference), "--out", str(out), *slides]

    def seconds_of(command):
        begin = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.monotonic() - begin

    reference = folder / "reference"
    train_seconds = seconds_of(train(reference))
    predict_seconds = seconds_of(predict(folder / "predictions"))
    signals = [signal.SIGKILL] * arguments.kills + [signal.SIGTERM] * arguments.terms
    killer.random.shuffle(signals)
    of_predict, of_train = signals[:len(signals) // 5], signals[len(signals) // 5:]

    runs = 0
    while of_train:
        runs += 1
        run = folder / "run"
        shutil.rmtree(run, ignore_errors=True)
        some, of_train = of_train[:12], of_train[12:]
        of_train += killer.until_the_end(train(run), train_seconds, some, lambda: "train " + step_of(run))
        if killer.problems:
            break
        compare(f"run {runs}", files_of(reference), files_of(run), killer.problems)
        if figures_of(run) != figures_of(reference):
            killer.problems.append(f"run {runs}: other figures in result.json")
    predictions = 0
    while of_predict and not killer.problems:
        predictions += 1
        out = folder / "killed_predictions"
        shutil.rmtree(out, ignore_errors=True)
        some, of_predict = of_predict[:4], of_predict[4:]
        of_predict += killer.until_the_end(predict(out), predict_seconds, some, lambda: "predict")
        compare(f"prediction {predictions}", files_of(folder / "predictions"), files_of(out), killer.problems)

    for place, count in sorted(killer.met.items()):
        print(f"{count:5} {place}")
    print(f"{sum(killer.met.values())} signals, {killer.starts} starts, {runs} runs and {predictions} predictions: {len(killer.problems)} problems")
    for problem in killer.problems:
        print("problem:", problem)
    if not arguments.folder:
        shutil.rmtree(folder)
    return 1 if killer.problems else 0


if __name__ == "__main__":
    sys.exit(main())
