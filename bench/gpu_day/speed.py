"""Steps of `run speed`, in order of value: our kernels beside cuBLASLt, cuDNN, CUB and PyTorch, then what a profiler sees."""
import json
import os
import re
import tempfile
from pathlib import Path

import children
import found
from context import Step, outcome

PROFILED = (  # name, benchmark, kernels by ncu's pattern
    ("gemm", "gemm/4096x4096x4096/own/warm", "regex:multiply"),
    ("conv2d", "conv2d_forward/64x56x56x64_k64_3x3_s1/own/warm", "regex:multiply|convolve|correlate"),
    ("supcon-backward", "supcon_backward/8192x128/own/warm", "regex:supcon"),
    ("norm", "instance_norm_forward/64x3136x64/own/warm", "regex:norm|moments"),
    ("quantile", "quantile/10000000/own/warm", "regex:."),
)


def whole_json(text):
    """Google Benchmark's JSON, or what a stopped program left of it: every benchmark that was written whole."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    end = text.rfind("\n    }")
    while end > 0:
        try:
            return json.loads(text[:end] + "\n    }\n  ]\n}")
        except ValueError:
            end = text.rfind("\n    }", 0, end)
    return None


def quick_pattern(pattern):
    """The same operations in the small shapes of a rehearsal."""
    operations = re.findall(r"[a-z][a-z_0-9]{2,}", pattern)
    return "^(" + "|".join(operations) + ")"


def benchmarks(pattern, minimum=0.02, repetitions=3):
    """A step that times the benchmarks whose names match."""

    def work(context):
        quick = ["--quick"] if context.device != "cuda" else []
        flags = [f"--device={context.device}", f"--benchmark_filter={quick_pattern(pattern) if quick else pattern}",
                 f"--benchmark_min_time={0.001 if quick else minimum}", f"--benchmark_repetitions={repetitions}",
                 "--benchmark_out_format=json"]
        with tempfile.TemporaryDirectory() as scratch, context.results.log(context.step) as log:
            out = Path(scratch) / "bench.json"
            ended = children.run([context.program("bench/gpu/kernels_gpu_bench"), *flags, *quick, f"--benchmark_out={out}"], context.left,
                                 log=log, environment=context.environment())
            told = whole_json(out.read_text()) if out.exists() else None
        if told is None or not told.get("benchmarks"):
            stopped = ended.why == "time limit"
            return outcome("time limit" if stopped else "failed", why=children.last_line(ended.text) or ended.words())
        runs = [{key: run[key] for key in ("run_name", "real_time", "iterations", "label", "error_message", "FLOP/s", "bytes/s") if key in run}
                for run in told["benchmarks"] if run.get("run_type", "iteration") == "iteration"]
        faults = {run["run_name"]: run["error_message"] for run in runs if "error_message" in run}
        rows = sorted({"/".join(name.split("/")[:3]) + f": {what}" for name, what in faults.items()})
        more = {"why": "; ".join(rows[:3])} if rows else {}
        if not ended.good:
            more["why"] = "; ".join([ended.words()] + ([more["why"]] if more else []))
        state = "time limit" if ended.why == "time limit" else "failed" if faults or not ended.good else "passed"
        return outcome(state, times=len({run["run_name"] for run in runs}), faults=faults,
                       bench={"context": told["context"], "benchmarks": runs}, **more)

    return work


def pytorch(context):
    """The same operations and shapes in PyTorch, where a Python of this machine has it."""
    rehearsal = ["--rehearse"] if context.device != "cuda" else []
    why = "PyTorch in no python3 of this machine"
    for python in found.pythons():
        with tempfile.TemporaryDirectory() as scratch, context.results.log(context.step) as log:
            out = Path(scratch) / "torch.json"
            ended = children.run([python, context.kit / "peers/pytorch_kernels.py", "--out", out, "--seconds", f"{context.left - 3:.0f}",
                                  *rehearsal],
                                 context.left, log=log, environment={**os.environ})
            if not out.exists():
                why = children.last_line(ended.text) or why
                continue
            told = json.loads(out.read_text())
        faults = {row["run_name"]: row["error_message"] for row in told["benchmarks"] if "error_message" in row}
        state = "time limit" if told["not_reached"] else "passed" if ended.good else "failed"
        return outcome(state, torch=told["torch"], times=len({row["run_name"] for row in told["benchmarks"]}), faults=faults,
                       not_reached=told["not_reached"], bench={"context": {}, "benchmarks": told["benchmarks"]},
                       **({} if ended.good else {"why": ended.words()}))
    return outcome("not here", why=why)


def profile(context):
    """ncu's full set of one launch of the heaviest kernels: share of the tensor pipe, issue slots, bandwidth, waits."""
    program = found.tool("ncu")
    if program is None:
        return outcome("not here", why="ncu (it is part of a CUDA toolkit)")
    if context.device != "cuda":
        return outcome("not here", why="ncu profiles GPUs only")
    told, missing = {}, []
    with context.results.log(context.step) as log:
        for name, benchmark, kernels in PROFILED:
            if context.left < 8:
                missing.append(name)
                continue
            ended = children.run([program, "--clock-control", "none", "--set", "full", "--kernel-name", kernels, "--launch-skip", "2",
                                  "--launch-count", "1", "--print-details", "all", context.program("bench/gpu/kernels_gpu_bench"),
                                  f"--benchmark_filter=^{benchmark}", "--benchmark_min_time=0.001"],
                                 min(context.left, 40), log=log, environment=context.environment(), keep=1 << 20)
            text = ended.text[ended.text.find("Section:"):] if "Section:" in ended.text else ""
            numbers = dict(re.findall(r"^\s+(Duration|Registers Per Thread|Compute \(SM\) Throughput|Memory Throughput|DRAM Throughput|"
                                      r"L2 Hit Rate|Achieved Occupancy|Issue Slots Busy|Executed Ipc Active)\s+\S+\s+([\d.,]+)\s*$",
                                      text, re.MULTILINE))
            told[name] = numbers or {"why": children.last_line(ended.text) or ended.words()}
    good = [name for name in told if "why" not in told[name]]
    if not good:
        return outcome("failed", why=next(iter(told.values()), {}).get("why", "no time"), kernels=told)
    return outcome("time limit" if missing else "passed", kernels=told, not_reached=missing)


def phantom(context):
    """The whole method on the phantom with its default settings: seconds a stage."""
    flags = [] if context.device == "cuda" else ["--preset", "tiny", "--method", "mil", "--pretrain", "none"]
    with tempfile.TemporaryDirectory() as scratch, context.results.log(context.step) as log:
        run = Path(scratch) / "run"
        ended = children.run([context.program("train/train"), "--data", "phantom", "--device", context.device, *flags, "--run", run],
                             context.left, log=log, environment=context.environment())
        if not ended.good:
            return outcome("time limit" if ended.why == "time limit" else "failed", why=f"{ended.words()}: {children.last_line(ended.text)}")
        result = json.loads((run / "result.json").read_text())
    return outcome("passed", stages={stage["name"]: stage["seconds"] for stage in result["stages"]}, variants=result["variants"],
                   weights_sha256=result["weights_sha256"], device=result.get("device"))


STEPS = [
    Step("front-door", 50, benchmarks(r"^(gemm/4096|conv2d_(forward|backward_data|backward_weights)/64x56x56x64_k64)"),
         "which version of GEMM and convolution the front doors should choose"),
    Step("losses", 45, benchmarks(r"^(supcon_.*/(1024|8192)x|rank_loss_forward|dsmil)"), "SupCon, ranking loss, DSMIL beside their chains"),
    Step("mining", 30, benchmarks(r"^(quantile|compact)/10000000/"), "quantiles and compaction beside CUB"),
    Step("norms", 30, benchmarks(r"^(memory|instance_norm|bce|rank_loss_with|normalised)"), "norms, and entries that fuse a chain"),
    Step("pytorch", 60, pytorch, "the same in PyTorch"),
    Step("profile", 60, profile, "ncu on the heaviest kernels"),
    Step("more-convolutions", 60, benchmarks(r"^(conv2d_.*/64x(224|28|7|56x56x64_k128)|conv2d_(epilogue|pixels))"), "the other layers of ResNet-18"),
    Step("more-products", 30, benchmarks(r"^gemm/[^4]"), "the other shapes of GEMM"),
    Step("large", 40, benchmarks(r"^(supcon_.*/16384x|(quantile|compact)/100000000/)"), "the largest problems"),
    Step("phantom", 120, phantom, "the method end to end"),
    Step("small", 20, benchmarks(r"^(quantile|compact)/1000000/"), "quantiles and compaction where launches weigh"),
]
