#!/usr/bin/env python3
"""The runner of a day with a GPU against programs that crash, hang, disagree and are killed: whatever happens, one step is lost at most."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
HERE = ROOT / "bench/gpu_day"
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests/harness")]

import gpu_kit  # noqa: E402
import gpu_report  # noqa: E402
import python_tests  # noqa: E402

GEMM = "Devices/GemmTest.{}/cuda"


class RunnerTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)
        self.kit, self.out = self.folder / "kit", self.folder / "results"
        for name in gpu_kit.PROGRAMS:
            (self.kit / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(HERE / "fake_programs.py", self.kit / name)
            (self.kit / name).write_text(f"#!{sys.executable}\n" + (self.kit / name).read_text())
            (self.kit / name).chmod(0o755)
        (self.kit / "runner").mkdir()
        for name in gpu_kit.RUNNER:
            shutil.copy(HERE / f"{name}.py", self.kit / "runner")
        shutil.copy(HERE / "run", self.kit)
        (self.kit / "expected/phantom/testing/images").mkdir(parents=True)
        (self.kit / "expected/phantom/testing/images/test_001.tif").touch()
        (self.kit / "expected/cpu.json").write_text(json.dumps({"flags": ["--data", "phantom"], "losses": {"pretrain_step": [3.5]}}))
        (self.kit / "kit.json").write_text(json.dumps({"programs": list(gpu_kit.PROGRAMS), "commit": "abc", "built": "2026-01-01",
                                                       "architectures": ["90"], "nvcc": "none", "stand_in": False}))
        self.plan()

    def plan(self, **programs):
        good = {"kernels_test": {GEMM.format("Adds"): "pass", "Devices/DeviceTest.Answers/cuda": "pass"}}
        (self.folder / "plan.json").write_text(json.dumps({**good, **programs}))

    def start(self, command, *flags, minutes=1.0):
        return subprocess.Popen([sys.executable, str(self.kit / "run"), command, "--minutes", str(minutes), "--out", str(self.out), "--jobs", "2",
                                 "--silent", "1.5", *flags], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                env={**os.environ, "FAKE": str(self.folder), "PATH": "/usr/bin:/bin"})

    def run_all(self, command, *flags, **more):
        process = self.start(command, *flags, **more)
        self.said, _ = process.communicate(timeout=120)
        return process.returncode

    def step(self, name):
        return json.loads((self.out / f"{name}.json").read_text())

    def report(self):
        return gpu_report.make_report([self.out])

    def counts(self, step="correctness-own-kernels"):
        return self.step(step)["tests"]

    def test_all_is_well(self):
        self.assertEqual(self.run_all("correctness"), 0, getattr(self, "said", ""))
        self.assertEqual(self.step("correctness-own-kernels")["state"], "passed")
        self.assertEqual(self.step("correctness-train-twice")["state"], "passed")
        self.assertTrue(self.step("correctness-train-twice")["same_bits_twice"])
        self.assertEqual(self.step("correctness-memcheck")["state"], "not here")
        self.assertIn("compute-sanitizer", self.step("correctness-memcheck")["why"])
        self.assertEqual(self.step("correctness-vendor-kernels")["state"], "not here")
        self.assertEqual(self.counts()["worst_error_over_bound"], {"GemmTest": 0.25, "DeviceTest": 0.25})

    def test_a_test_that_crashes_costs_itself_only(self):
        names = [GEMM.format(f"T{i}") for i in range(9)]
        self.plan(kernels_test={name: "crash" if i in (2, 5) else "pass" for i, name in enumerate(names)})
        self.assertEqual(self.run_all("correctness", "--only", "own-kernels"), 1)
        self.assertEqual((self.counts()["passed"], self.counts()["failed"], self.counts()["not_reached"]), (7, 2, 0))
        self.assertEqual({result["state"] for result in self.counts()["bad"].values()}, {"crashed"})
        self.assertIn(f"2 of 9 tests: {names[2]} crashed", self.step("correctness-own-kernels")["why"])
        self.assertIn("SIGSEGV", self.counts()["bad"][names[2]]["why"])
        self.assertIn("about to read", self.counts()["bad"][names[2]]["why"])

    def test_a_test_that_hangs_costs_itself_only(self):
        names = [GEMM.format(f"T{i}") for i in range(6)]
        self.plan(kernels_test={name: "hang" if i == 1 else "pass" for i, name in enumerate(names)})
        self.assertEqual(self.run_all("correctness", "--only", "own-kernels"), 1)
        self.assertEqual(list(self.counts()["bad"]), [names[1]])
        self.assertEqual(self.counts()["bad"][names[1]]["state"], "hung")
        self.assertEqual(self.counts()["passed"], 5)

    def test_a_spoilt_process_is_not_held_against_the_tests_after_it(self):
        names = [GEMM.format(f"T{i}") for i in range(8)]
        self.plan(kernels_test={name: "spoil" if i == 0 else "fail" if i == 6 else "pass" for i, name in enumerate(names)})
        self.assertEqual(self.run_all("correctness", "--only", "own-kernels"), 1)
        self.assertEqual(sorted(self.counts()["bad"]), [names[0], names[6]])
        self.assertTrue(self.counts()["bad"][names[6]]["alone"])
        self.assertEqual(self.counts()["passed"], 6)

    def test_tests_of_naive_and_vendor_versions_stand_apart(self):
        self.plan(kernels_test={GEMM.format("A"): "pass", "Devices/GemmTest.A/cuda_naive": "fail", "Devices/GemmTest.A/cuda_vendor": "fail"})
        self.run_all("correctness", "--only", "own-kernels", "--only", "naive-kernels")
        self.assertEqual(self.step("correctness-own-kernels")["state"], "passed")
        self.assertEqual(self.step("correctness-naive-kernels")["state"], "failed")

    def test_a_device_that_is_not_there_is_no_pass(self):
        self.plan(kernels_test={GEMM.format("A"): "skip"})
        self.run_all("correctness", "--only", "own-kernels")
        self.assertEqual(self.step("correctness-own-kernels")["state"], "not here")
        self.assertIn("no NVIDIA GPU", self.step("correctness-own-kernels")["why"])

    def test_a_missing_library_is_named_and_the_rest_runs(self):
        self.plan(missing_library="train")
        # A program whose C library has another name now.
        slide = self.kit / "train/slide"
        slide.write_bytes(Path("/bin/true").read_bytes().replace(b"libc.so.6", b"libx.so.9"))
        self.assertEqual(self.run_all("correctness"), 1)
        self.assertIn("train/slide: libx.so.9", self.step("correctness-libraries")["why"])
        self.assertIn("libhdf5_serial.so.103", self.step("correctness-train-twice")["why"])
        self.assertEqual(self.step("correctness-own-kernels")["state"], "passed")

    def test_a_first_loss_that_is_not_the_cpus_fails(self):
        self.plan(train={"loss": 3.5 * (1 + 1e-4)})
        self.run_all("correctness", "--only", "train-twice")
        self.assertEqual(self.step("correctness-train-twice")["state"], "failed")
        self.assertIn("first loss", self.step("correctness-train-twice")["why"])
        self.plan(train={"drifts": True})
        self.run_all("correctness", "--only", "train-twice", "--again")
        self.assertIn("two runs", self.step("correctness-train-twice")["why"])

    def test_a_peer_that_disagrees_is_a_row(self):
        shape = "gemm/4096x4096x4096"
        self.plan(kernels_gpu_bench={f"{shape}/own/warm": "10", f"{shape}/tf32/warm": "differ", f"{shape}/vendor/warm": "20"})
        self.assertEqual(self.run_all("speed", "--only", "front-door"), 1)
        record = self.step("speed-front-door")
        self.assertEqual(list(record["faults"]), [f"{shape}/tf32/warm"])
        rows = {row["kernel"]: row for row in self.report()["times"]}
        self.assertEqual(rows["own"]["time_over_baseline"], 0.5)
        self.assertIn("answers differ", rows["tf32"]["fault"])
        self.assertIn("answers differ", gpu_report.page(self.report()))

    def test_benchmarks_that_die_or_hang_leave_what_was_timed(self):
        shape = "gemm/4096x4096x4096"
        for behaviour, state in (("die", "failed"), ("hang", "time limit")):
            self.plan(kernels_gpu_bench={f"{shape}/own/warm": "10", f"{shape}/vendor/warm": "20", f"{shape}/bf16/warm": behaviour})
            self.run_all("speed", "--only", "front-door", "--again", minutes=0.12)
            self.assertEqual(self.step("speed-front-door")["state"], state)
            self.assertEqual({row["kernel"] for row in self.report()["times"]}, {"own", "vendor"})

    def test_the_budget_holds_and_says_what_was_not_reached(self):
        self.plan(kernels_test={GEMM.format(f"T{i}"): "slow" for i in range(60)}, train={"hangs": True})
        began = time.monotonic()
        self.run_all("correctness", minutes=0.2)
        self.assertLess(time.monotonic() - began, 16)
        own = self.step("correctness-own-kernels")
        self.assertEqual(own["state"], "time limit")
        self.assertGreater(own["tests"]["passed"], 0)
        self.assertEqual(own["tests"]["passed"] + own["tests"]["not_reached"], 60)
        self.assertIn("initcheck", self.report()["not_reached"])
        self.assertIn("not reached", gpu_report.page(self.report()))

    def wait_for(self, path, text):
        end = time.monotonic() + 30
        while not (path.exists() and text in path.read_text()):
            self.assertLess(time.monotonic(), end, f"{path} never says {text}")
            time.sleep(0.02)

    def stop_in_the_middle(self, number):
        """A run that is ended by a signal inside of its third step; the children that were left."""
        self.plan(kernels_test={"Devices/DeviceTest.Answers/cuda": "pass", GEMM.format("Waits"): "hang"})
        process = self.start("correctness", "--silent", "100")
        self.wait_for(self.out / "correctness-own-kernels.json", "running")
        self.wait_for(self.folder / "started", "Waits")
        process.send_signal(number)
        process.communicate(timeout=20)
        time.sleep(0.2)
        left = subprocess.run(["ps", "-eo", "args"], stdout=subprocess.PIPE, text=True, check=True).stdout if shutil.which("ps") else ""
        self.assertNotIn(str(self.kit / "tests"), left)
        return process.returncode

    def test_a_kill_costs_one_step_and_the_same_command_goes_on(self):
        self.assertEqual(self.stop_in_the_middle(signal.SIGKILL), -signal.SIGKILL)
        self.assertEqual(self.step("correctness-first-kernels")["state"], "passed")
        killed = {step["step"]: step["state"] for step in self.report()["steps"]}
        self.assertEqual(killed["own-kernels"], "killed")
        self.assertEqual(killed["train-twice"], "not reached")
        written = self.step("correctness-first-kernels")
        self.plan()
        self.assertEqual(self.run_all("correctness"), 0)
        self.assertEqual(self.step("correctness-first-kernels"), written)  # not again
        self.assertEqual(self.step("correctness-own-kernels")["state"], "passed")
        self.assertEqual(self.report()["not_reached"], [])

    def test_a_polite_stop_says_where_it_was(self):
        self.assertEqual(self.stop_in_the_middle(signal.SIGTERM), 3)
        self.assertEqual(self.step("correctness-own-kernels")["state"], "interrupted")
        self.assertEqual(self.step("correctness-first-kernels")["state"], "passed")

    def test_the_report_refuses_what_it_cannot_read(self):
        with self.assertRaisesRegex(gpu_report.Unreadable, "machine.json"):
            gpu_report.make_report([self.folder])
        self.run_all("correctness", "--only", "first-kernels")
        (self.out / "correctness-first-kernels.json").write_text("{")
        with self.assertRaisesRegex(gpu_report.Unreadable, "first-kernels"):
            self.report()


if __name__ == "__main__":
    sys.exit(python_tests.main(sys.modules[__name__]))
