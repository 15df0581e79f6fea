#!/usr/bin/env python3
"""Plants faults in copies of the kernels, one by one, and tells which machine finds which: the PTX machine, the SIMT machine.

Usage: ptx_planted_faults.py BUILD [--asan BUILD_ASAN] [--only NAME,…]

BUILD was made with -Dcuda=enabled -Dgpu_runtime=ptx_machine, its kernels_test is built; BUILD_ASAN (make verify-asan) adds the SIMT machine under
ASan. Nothing in the tree or in the builds is changed. Ends with 1 when a fault no longer applies to the text that it changes, when the PTX
machine misses one, or when the unchanged kernels fail.
"""
import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# name: what, file, text that is replaced (everywhere in it), by what, the .cu file, tests
FAULTS = {
    "cvt_cuts": ("bf16 by cutting: cvt.rz for cvt.rn in the wrapper", "device/cuda_kernel.h",
                 "cvt.rn.bf16.f32", "cvt.rz.bf16.f32", "gemm/gemm_bf16.cu", "*Gemm*"),
    "cvt_missing": ("TF32 inputs not rounded: mov for cvt in the wrapper", "device/cuda_kernel.h",
                    "cvt.rn.tf32.f32", "mov.b32", "gemm/gemm_tf32.cu", "*Gemm*"),
    "rounding_forgotten": ("TF32 inputs not rounded: no round_fragment in the kernel", "gemm/tensor_engine.cuh",
                           "simt::round_fragment(", "(void)(", "gemm/gemm_tf32.cu", "*Gemm*"),
    "leading_dimension": ("a wrong leading dimension in the kernel", "gemm/tensor_engine.cuh",
                          "term), TileA::kLeading);", "term), TileA::kLeading + 8);", "gemm/gemm_tf32.cu", "*Gemm*"),
    "leading_dimension_wrapper": ("a wrong row distance in the wrapper of ldmatrix", "device/cuda_fragment.h",
                                  "leading_dimension, 8 * leading_dimension, 4)", "leading_dimension, 4 * leading_dimension, 4)",
                                  "gemm/gemm_tf32.cu", "*Gemm*"),
    "wait_missing": ("no wait for cp.async in the kernel", "gemm/tile.cuh",
                     "simt::wait_async<kAhead - 1>();", "{}", "gemm/gemm_tf32.cu", "*Gemm*"),
    "wait_missing_wrapper": ("no cp.async.wait_group in the wrapper", "device/cuda_kernel.h",
                             "cp.async.wait_group %0;", "// %0", "gemm/gemm_tf32.cu", "*Gemm*"),
    "misaligned_vector": ("a vector read one element too early, through load_vector", "common/vectors.cuh",
                          "simt::load_vector<float4>(x + i)", "simt::load_vector<float4>(x + (i > 0 ? i - 1 : 0))",
                          "_skeleton/skeleton.cu", "*Skeleton*"),
    "misaligned_cast": ("the same through a cast", "common/vectors.cuh",
                        "simt::load_vector<float4>(x + i)", "*reinterpret_cast<const float4*>(x + (i > 0 ? i - 1 : 0))",
                        "_skeleton/skeleton.cu", "*Skeleton*"),
    "read_past_the_end": ("an unguarded read past the end, used", "common/map.cuh",
                          "if (i < n) y[i] = f(x[i]);", "if (i < n) y[i] = f(x[i + 1]);",
                          "_skeleton/skeleton.cu", "*Skeleton*"),
    "idle_read_past_the_end": ("an unguarded read past the end, not used", "common/map.cuh",
                               "if (i < n) y[i] = f(x[i]);", "const volatile float v = x[i]; if (i < n) y[i] = f(v);",
                               "_skeleton/skeleton.cu", "*Skeleton*"),
    "write_past_the_end": ("an unguarded write past the end", "common/map.cuh",
                           "if (i < n) y[i] = f(x[i]);", "y[i] = i < n ? f(x[i]) : 0;", "_skeleton/skeleton.cu", "*Skeleton*"),
}


def command_of(build, target, word):
    """The build's command, as words, that makes a target and mentions `word`."""
    lines = subprocess.run(["ninja", "-C", str(build), "-t", "commands", target], stdout=subprocess.PIPE, text=True, check=True).stdout
    return shlex.split([line for line in lines.splitlines() if word in line][-1])


def compiled(build, target, word, output, overlay):
    """Compiles a target of the build from the overlay's kernels instead of the tree's."""
    words = command_of(build, target, word)
    root = os.path.relpath(ROOT, build)
    words = [str(overlay / Path(w).relative_to(root)) if w.startswith(f"{root}/kernels/") and w.endswith(".cu") else w for w in words]
    words = [f"-I{overlay}" if w in (f"-I{ROOT}", f"-I{root}") else w for w in words]
    words = [w for w in words if not w.startswith(f"-I{root}/")]
    words[words.index("-o") + 1] = str(output)
    for flag in ("-MF", "-MQ"):
        if flag in words:
            words[words.index(flag) + 1] = str(output) + ".d"
    subprocess.run(words, cwd=build, check=True, stdout=subprocess.DEVNULL)


def linked(build, objects, output):
    """kernels_test with these objects in front of the libraries that hold the unchanged ones."""
    words = command_of(build, "tests/kernels_test", "-o tests/kernels_test ")
    words[words.index("-o") + 1] = str(output)
    first = next(i for i, word in enumerate(words) if word.endswith(".o"))
    subprocess.run(words[:first] + [str(o) for o in objects] + words[first:], cwd=build, check=True)


def outcome(program, tests, device):
    """("", "") when all tests pass; else how many fail, and the first line that says why."""
    done = subprocess.run([str(program), f"--gtest_filter={tests}{device}*", "--gtest_brief=1"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", env={**os.environ, "GTEST_COLOR": "no", "MICROTOME_PTX_LOG": ""})
    text = done.stdout
    if done.returncode == 0:
        return "", ""
    reasons = re.findall(r"(?:PTX machine|AddressSanitizer|out of bounds|misaligned|before its|nobody|not rounded|wait)[^\n]*|[^\n]*> bound[^\n]*|Which is:[^\n]*", text)
    failed = len(re.findall(r"^\[  FAILED  \] [^\n]* ms\)$", text, re.M))
    return f"found ({failed or 'crash'})", (reasons or ["by value"])[0][:110]


def plant(name, build, asan, work):
    """Prints the fault's row; False when it does not apply or the PTX machine misses it."""
    what, file, old, new, source, tests = FAULTS[name]
    overlay = work / name
    shutil.copytree(ROOT / "kernels", overlay / "kernels", ignore=shutil.ignore_patterns("*.md"))
    for folder in ("tensor", "tests"):
        (overlay / folder).symlink_to(ROOT / folder)
    path = overlay / "kernels" / file
    text = path.read_text()
    if old not in text:
        print(f"{name}: \"{old}\" is not in kernels/{file} any more")
        return False
    path.write_text(text.replace(old, new))
    stem = Path(source).stem
    version = {"gemm_bf16": "_bf16", "gemm_tf32": "_tf32"}.get(stem, "")
    simt_object = f"kernels/simt/libkernels_simt.a.p/meson-generated_.._.._{stem}_simt.cc.o"
    compiled(build, f"kernels/device/{stem}_cuda.o", "nvcc", overlay / "cuda.o", overlay)
    compiled(build, "kernels/simt/libkernels_simt.a", simt_object + " -c", overlay / "simt.o", overlay)
    linked(build, [overlay / "cuda.o", overlay / "simt.o"], overlay / "kernels_test")
    results = [outcome(overlay / "kernels_test", tests, "cuda" + version), outcome(overlay / "kernels_test", tests, "simt" + version)]
    if asan:
        compiled(asan, "kernels/simt/libkernels_simt.a", simt_object + " -c", overlay / "asan.o", overlay)
        linked(asan, [overlay / "asan.o"], overlay / "kernels_test_asan")
        results.append(outcome(overlay / "kernels_test_asan", tests, "simt" + version))
    print(f"| {what} | " + " | ".join(found or "–" for found, _ in results) + " |", flush=True)
    for machine, (found, why) in zip(("PTX", "SIMT", "SIMT+ASan"), results):
        if found:
            print(f"    {machine}: {why}", flush=True)
    shutil.rmtree(overlay)
    return bool(results[0][0])


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("build", type=Path)
    parser.add_argument("--asan", type=Path)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    build = arguments.build.resolve()
    asan = arguments.asan.resolve() if arguments.asan else None
    names = arguments.only.split(",") if arguments.only else list(FAULTS)
    ok = True
    for device in ("cuda", "simt"):
        found, why = outcome(build / "tests" / "kernels_test", "*Skeleton*", device)
        ok = ok and not found
        if found:
            print(f"the unchanged kernels fail on {device}: {why}")
    print("| fault | PTX machine | SIMT machine |" + (" SIMT, ASan |" if asan else ""))
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            ok = plant(name, build, asan, Path(folder)) and ok
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
