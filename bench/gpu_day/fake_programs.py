"""The kit's programs as a test of the runner needs them: they list, pass, fail, crash, hang, spoil their process, disagree and die as they are told.
One file under several names; $FAKE/plan.json says what happens, by program."""
import fnmatch
import json
import os
import signal
import sys
import time
from pathlib import Path

FOLDER = Path(os.environ["FAKE"])
PLAN = json.loads((FOLDER / "plan.json").read_text())
NAME = Path(sys.argv[0]).name


def flag(word, default=""):
    return next((argument.split("=", 1)[1] for argument in sys.argv[1:] if argument.startswith(f"--{word}=")), default)


def say(text):
    print(text, flush=True)


def matches(name, pattern):
    positive, _, negative = pattern.partition("-")
    return any(fnmatch.fnmatchcase(name, word) for word in positive.split(":")) and \
        not any(fnmatch.fnmatchcase(name, word) for word in negative.split(":"))


def google_tests():
    """Tests are "Devices/GemmTest.Adds/cuda": behaviour."""
    tests = PLAN.get(NAME, {})
    if "--gtest_list_tests" in sys.argv:
        for name in tests:
            if matches(name, flag("gtest_filter", "*")):
                suite, test = name.split(".", 1)
                say(f"{suite}.\n  {test}  # GetParam() = 32-byte object")
        return 0
    wanted = flag("gtest_filter")
    if flag("gtest_flagfile"):
        wanted = Path(flag("gtest_flagfile")).read_text().strip().split("=", 1)[1]
    spoilt, failed, done = False, 0, []
    for name, behaviour in tests.items():
        if not matches(name, wanted):
            continue
        say(f"[ RUN      ] {name}")
        with open(FOLDER / "started", "a", encoding="utf-8") as file:
            file.write(name + "\n")
        if behaviour == "crash":
            say("about to read where nothing is")
            os.kill(os.getpid(), signal.SIGSEGV)
        if behaviour == "hang":
            time.sleep(600)
        if behaviour == "slow":
            time.sleep(1)
        if behaviour == "skip":
            say(f"kernel_test.cc:1: Skipped\nno NVIDIA GPU\n[  SKIPPED ] {name} (0 ms)")
            continue
        spoilt |= behaviour == "spoil"
        if spoilt or behaviour == "fail":
            failed += 1
            say(f"x.cc:7: Failure\nan illegal memory access was encountered\n[  FAILED  ] {name}, where GetParam() = 32-byte object (1 ms)")
        else:
            say(f"[       OK ] {name} (1 ms)")
        done.append(name)
    if flag("gtest_output"):
        suites = [{"name": name.split(".")[0], "testsuite": [{"name": name.split(".", 1)[1], "worst_error_over_bound": "0.25"}]} for name in done]
        Path(flag("gtest_output").split(":", 1)[1]).write_text(json.dumps({"testsuites": suites}))
    return 1 if failed else 0


def benchmarks():
    """Rows as Google Benchmark writes them, one after the other; "die" ends the program in the middle of its file."""
    out = open(flag("benchmark_out"), "w", encoding="utf-8")
    out.write('{\n  "context": {\n    "device": "a fake", "baseline:gemm/4096x4096x4096": "vendor"\n  },\n  "benchmarks": [\n')
    first = True
    for name, behaviour in PLAN.get(NAME, {}).items():
        out.write("" if first else ",\n")
        first = False
        row = {"name": name, "run_name": name, "run_type": "iteration"}
        if behaviour == "differ":
            row.update(error_occurred=True, error_message="answers differ by 1 where the largest number of own is 3", real_time=0)
        else:
            row.update(real_time=float(behaviour) if behaviour not in ("die", "hang") else 1.0, iterations=10, label="graph")
        text = json.dumps(row, indent=6)[:-1].rstrip().replace("{", "    {", 1) + "\n    }"
        if behaviour in ("die", "hang"):
            out.write(text[: len(text) // 2])
            out.flush()
            if behaviour == "hang":
                time.sleep(600)
            os.kill(os.getpid(), signal.SIGABRT)
        out.write(text)
        out.flush()
    out.write("\n  ]\n}\n")
    return 0


def train():
    plan = PLAN.get("train", {})
    run = Path(sys.argv[sys.argv.index("--run") + 1])
    run.mkdir(parents=True, exist_ok=True)
    loss = plan.get("loss", 3.5)
    if plan.get("drifts") and run.name == "two":
        loss += 1e-6
    (run / "log.jsonl").write_text(json.dumps({"event": "pretrain_step", "loss": loss}) + "\n")
    if plan.get("hangs"):
        time.sleep(600)
    (run / "result.json").write_text(json.dumps({"weights_sha256": "ab", "stages": [{"name": "pretrain", "seconds": 1.0}], "variants": []}))
    say("done")
    return plan.get("code", 0)


def main():
    if PLAN.get("missing_library") == NAME:
        say(f"{NAME}: error while loading shared libraries: libhdf5_serial.so.103: cannot open shared object file: No such file or directory")
        return 127
    if os.environ.get("LD_TRACE_LOADED_OBJECTS"):
        return 0
    if NAME == "predict":
        say("slide      score\ntest_001   0.25")
        return 0
    return {"kernels_gpu_bench": benchmarks, "train": train}.get(NAME, google_tests)()


if __name__ == "__main__":
    sys.exit(main())
