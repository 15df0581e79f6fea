"""Steps of `run correctness`, in order of value: whether the kernels are right on this GPU."""
import json
import re
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import children
import found
import googletests
from context import Step, outcome

FIRST_LOSS_TOLERANCE = 6e-5  # docs/devices.md: a first step's loss, of its size

# Kernel tests under compute-sanitizer, in order of what could go wrong: asynchronous copies, shared memory, atomics.
SANITIZED = ("Gemm", "SupCon", "Conv2d", "Select", "RankLoss", "Augment", "Compact", "Norm", "Dsmil", "GatedAttention", "Pool", "Softmax",
             "Reduce", "Optimizer", "Copy", "Gather", "Bce", "Elementwise", "Activation", "L2", "Fill")
SANITIZED_SHARED = ("SupCon", "Gemm", "Select", "RankLoss", "Augment", "Conv2d", "Norm", "Softmax", "Compact", "Dsmil", "GatedAttention", "Reduce")


def kernel_tests(context, suites="", version="", without="", program="tests/kernels_test"):
    """One set of tests, in as many processes as there are processors for them."""
    test_program = context.program(program)
    names, problem = googletests.tests_of(test_program, context.pattern(suites, version, without), context.environment(), min(60, context.left))
    if problem:
        return outcome("failed", why=problem)
    if not names:
        return outcome("not here", why=f"{program} has no such tests for {context.device}")
    with context.results.log(context.step) as log:
        environment = context.environment(min(context.jobs, len(names)))
        results = googletests.run(test_program, names, context.jobs, context.deadline, environment, log, context.silent)
    told = googletests.summary(results, names)
    if told["passed"] == told["failed"] == told["not_reached"] == 0 and told["skipped"]:
        return outcome("not here", why="; ".join(told["why_skipped"]), tests=told)
    state = "failed" if told["failed"] else "time limit" if told["not_reached"] else "passed"
    bad = [f"{name} {result['state']}" for name, result in told["bad"].items()]
    why = {"why": f"{len(bad)} of {len(names)} tests: {', '.join(bad[:3])}{', …' if len(bad) > 3 else ''}"} if bad else {}
    return outcome(state, tests=told, **why)


def first_kernels(context):
    """Where all of them are skipped there is no GPU, and nothing after them says anything."""
    told = kernel_tests(context, "DeviceTest Fill", without="*naive*")
    return {**told, "state": "failed"} if told["state"] == "not here" else told


def own_kernels(context):
    return kernel_tests(context, without="*naive*:*vendor*")


def naive_kernels(context):
    return kernel_tests(context, version="naive")


def vendor_kernels(context):
    missing = [name for name, folder in context.vendor.items() if folder is None]
    if missing:
        return outcome("not here", why=f"{' and '.join(missing)} on this machine")
    return kernel_tests(context, version="vendor")


def networks(context):
    parts = {program: kernel_tests(context, program=f"tests/{program}") for program in ("autograd_test", "models_test", "end_to_end_test")}
    states = [part["state"] for part in parts.values()]
    state = next((word for word in ("failed", "time limit", "passed") if word in states), "not here")
    reasons = [part["why"] for part in parts.values() if part["state"] == state and "why" in part]
    return outcome(state, programs=parts, **({"why": "; ".join(reasons)} if reasons else {}))


def libraries(context):
    """What the loader says of every program and of the vendor module."""
    missing = {}
    programs = json.loads((context.kit / "kit.json").read_text())["programs"]
    for name in programs + ["kernels/vendor/microtome_vendor.so"]:
        path = context.kit / name
        if name.endswith(".so") and not path.exists():
            missing[name] = ["the kit was built without it"]
            continue
        # The loader lists a program's libraries in place of running it; a module is listed through a program that is.
        command = [path] if not name.endswith(".so") else ["/lib64/ld-linux-x86-64.so.2", path]
        listed = children.run(command, 20, environment={**context.environment(), "LD_TRACE_LOADED_OBJECTS": "1"})
        gone = re.findall(r"^\s*(\S+) => not found", listed.text, re.MULTILINE)
        if gone or not listed.good:
            missing[name] = gone or [children.last_line(listed.text) or listed.words()]
    optional = missing.pop("kernels/vendor/microtome_vendor.so", None)
    more = {"vendor_module": "loads" if optional is None else f"not here: {', '.join(optional)}"}
    if missing:
        return outcome("failed", why="; ".join(f"{name}: {', '.join(files)} not found" for name, files in missing.items()), **more)
    return outcome("passed", programs=len(programs), **more)


def log_of(run):
    """Losses by event, in their order, and the hash of the weights that a run ended with."""
    losses = {}
    for line in (run / "log.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if "loss" in entry:
            losses.setdefault(entry["event"], []).append(entry["loss"])
    result = run / "result.json"
    return losses, json.loads(result.read_text()).get("weights_sha256") if result.exists() else None


def train(context, folder, name, kernels, log):
    """A run with the flags and the slides of the one on the cpu."""
    run = folder / name
    shutil.copytree(context.kit / "expected/phantom", run / "phantom")
    flags = json.loads((context.kit / "expected/cpu.json").read_text())["flags"]
    ended = children.run([context.program("train/train"), *flags, "--device", context.device, *(["--kernels", kernels] if kernels else []), "--run", run],
                         context.left, log=log, environment=context.environment(2))
    return run, ended


def compare_with_cpu(losses, wanted):
    """Differences of a device's losses from the cpu's, as shares of the cpu's: of the first step, and of all."""
    first = abs(losses["pretrain_step"][0] - wanted["pretrain_step"][0]) / abs(wanted["pretrain_step"][0])
    largest = {event: max(abs(a - b) / max(abs(b), 1e-30) for a, b in zip(losses.get(event, []), values))
               for event, values in wanted.items() if losses.get(event)}
    return first, largest


def train_twice(context):
    """`train --preset tiny` on the device, twice at a time: the cpu's first loss, and the same bits."""
    wanted = json.loads((context.kit / "expected/cpu.json").read_text())
    with tempfile.TemporaryDirectory() as scratch, context.results.log(context.step) as log:
        folder = Path(scratch)
        with ThreadPoolExecutor(2) as pool:
            runs = list(pool.map(lambda name: train(context, folder, name, "own" if context.device == "cuda" else None, log), ("one", "two")))
        told = {}
        logs = []
        for run, ended in runs:
            if (run / "log.jsonl").exists():
                logs.append(log_of(run))
                shutil.copy(run / "log.jsonl", context.results.path(f"{context.results.step(context.step)}-{run.name}.jsonl"))
            if not ended.good:
                told.setdefault("why", f"train: {ended.words()}: {children.last_line(ended.text)}")
        if logs and logs[0][0].get("pretrain_step"):
            first, largest = compare_with_cpu(logs[0][0], wanted["losses"])
            told.update(first_loss=logs[0][0]["pretrain_step"][0], first_loss_on_cpu=wanted["losses"]["pretrain_step"][0],
                        first_loss_apart=first, first_loss_tolerance=FIRST_LOSS_TOLERANCE, largest_apart=largest)
        if all(ended.good for _, ended in runs):
            told.update(same_bits_twice=logs[0] == logs[1], weights_sha256=logs[0][1])
            result = json.loads((runs[0][0] / "result.json").read_text())
            told.update(stages={stage["name"]: stage["seconds"] for stage in result["stages"]}, device=result.get("device"))
    if told.get("first_loss_apart", 0) > FIRST_LOSS_TOLERANCE:
        told["why"] = f"the first loss is {told['first_loss_apart']:.2e} from the cpu's, {FIRST_LOSS_TOLERANCE} is allowed"
    elif told.get("same_bits_twice") is False:
        told["why"] = "two runs of the same seed differ"
    if "why" not in told:
        return outcome("passed", **told)
    stopped = any(ended.why == "time limit" for _, ended in runs) and "first_loss_apart" in told and \
        told["first_loss_apart"] <= FIRST_LOSS_TOLERANCE
    return outcome("time limit" if stopped else "failed", **told)


def train_automatic(context):
    """With the default --kernels auto, and then predict on the device and on the cpu with the weights that came of it."""
    wanted = json.loads((context.kit / "expected/cpu.json").read_text())
    with tempfile.TemporaryDirectory() as scratch, context.results.log(context.step) as log:
        run, ended = train(context, Path(scratch), "run", None, log)
        if not ended.good:
            return outcome("time limit" if ended.why == "time limit" else "failed", why=f"train: {ended.words()}: {children.last_line(ended.text)}")
        losses, _ = log_of(run)
        first, largest = compare_with_cpu(losses, wanted["losses"])
        slide = sorted((context.kit / "expected/phantom/testing/images").glob("*.tif"))[0]
        scores = {}
        for device in (context.device, "cpu"):
            said = children.run([context.program("train/predict"), "--run", run, "--out", Path(scratch) / device, "--device", device, slide],
                                context.left, log=log, environment=context.environment())
            row = re.search(rf"^{slide.stem}\s+(\S+)", said.text, re.MULTILINE)
            if not said.good or row is None:
                return outcome("failed", why=f"predict --device {device}: {said.words()}: {children.last_line(said.text)}")
            scores[device] = float(row.group(1))
    apart = abs(scores[context.device] - scores["cpu"])
    return outcome("passed" if apart <= 2**-10 else "failed", first_loss_apart=first, largest_apart=largest, scores=scores,
                   **({} if apart <= 2**-10 else {"why": f"predict's scores differ by {apart:.2e}"}))


def sanitizer(tool, operations):
    """A step that runs compute-sanitizer's `tool` on each operation's tests, several at a time."""

    def one(context, program, word, log):
        ended = children.run([program, "--tool", tool, "--error-exitcode", "9", "--print-limit", "10", context.program("tests/kernels_test"),
                              f"--gtest_filter={context.pattern(word, without='*naive*:*vendor*:*Large*')}"], context.left, log=log,
                             environment=context.environment())
        said = re.findall(r"(?:ERROR|RACECHECK|LEAK) SUMMARY: .*", ended.text)
        tests = re.search(r"\[  PASSED  \] (\d+) tests?", ended.text)
        return {"summary": said[-1] if said else ended.words(), "good": ended.good, "stopped": ended.why == "time limit",
                "tests": int(tests.group(1)) if tests else 0, "seconds": round(ended.seconds, 1)}

    def work(context):
        program = found.tool("compute-sanitizer")
        if program is None:
            return outcome("not here", why="compute-sanitizer (it is part of a CUDA toolkit)")
        if context.device != "cuda":
            return outcome("not here", why="the SIMT machine has checkers of its own (make verify)")
        told = {}
        with context.results.log(context.step) as log, ThreadPoolExecutor(max(context.jobs // 2, 1)) as pool:
            waiting = {}
            for word in operations:
                waiting[word] = pool.submit(lambda word=word: one(context, program, word, log) if context.left > 2 else None)
            for word, result in waiting.items():
                if result.result() is not None:
                    told[word] = result.result()
        bad = [word for word, result in told.items() if not result["good"] and not result["stopped"]]
        missing = [word for word in operations if word not in told or told[word]["stopped"]]
        more = {"why": f"{tool}: " + "; ".join(f"{word}: {told[word]['summary']}" for word in bad)} if bad else {}
        return outcome("failed" if bad else "time limit" if missing else "passed", operations=told, not_reached=missing, **more)

    return work


STEPS = [
    Step("libraries", 20, libraries, "does the loader find everything that the programs need?"),
    Step("first-kernels", 30, first_kernels, "the device answers: its memory, streams and the simplest kernel"),
    Step("own-kernels", 120, own_kernels, "every kernel test of this project's versions"),
    Step("train-twice", 100, train_twice, "training from slides to a result: the cpu's first loss, the same bits twice"),
    Step("memcheck", 60, sanitizer("memcheck", SANITIZED), "compute-sanitizer: addresses"),
    Step("vendor-kernels", 40, vendor_kernels, "kernel tests of cuBLASLt and cuDNN"),
    Step("networks", 90, networks, "autograd, models and the whole method, stage by stage beside the cpu"),
    Step("racecheck", 60, sanitizer("racecheck", SANITIZED_SHARED), "compute-sanitizer: shared memory"),
    Step("train-auto", 60, train_automatic, "training with the default flags, and predict with its weights"),
    Step("naive-kernels", 40, naive_kernels, "kernel tests of the versions that are there to be read"),
    Step("synccheck", 40, sanitizer("synccheck", SANITIZED_SHARED), "compute-sanitizer: barriers"),
    Step("initcheck", 60, sanitizer("initcheck", SANITIZED), "compute-sanitizer: memory that nobody wrote"),
]
