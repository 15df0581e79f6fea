#!/usr/bin/env python3
"""Packs everything that a day with a GPU needs into one archive, for a machine that has an NVIDIA driver and nothing else (x86-64, glibc 2.36 or
newer, python3): tests, benchmarks, programs, the vendor module, golden data, shared libraries, what the cpu computed, and the runner
(bench/gpu_day/). Needs nvcc, and a GPU is not needed.

  gpu_kit.py [--gpu 90] [--gpu 80,90]      build-gpu-kit/microtome-gpu-kit.tar.xz, of build-gpu-kit/kit/
  gpu_kit.py --build build --stand-in      of a build folder as it is, CUDA or none: for rehearsals by `run --device simt`"""
import argparse
import datetime
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MOST_BYTES = 40 << 20

PROGRAMS = ("tests/kernels_test", "tests/autograd_test", "tests/models_test", "tests/end_to_end_test", "bench/gpu/kernels_gpu_bench",
            "train/train", "train/predict", "train/slide")
VENDOR = "kernels/vendor/microtome_vendor.so"
RUNNER = ("children", "context", "correctness", "found", "googletests", "records", "speed")
# Belong to the machine: glibc, and the C++ runtime, of which a newer one there may be needed by the driver's and NVIDIA's libraries.
OF_THE_MACHINE = re.compile(r"^(ld-linux-x86-64|libc|libm|libpthread|libdl|librt|libresolv|libutil|libanl|libmvec|libnss_\w+|libstdc\+\+|libgcc_s)\.so")
OF_NVIDIA = re.compile(r"^lib(cublas|cublasLt|cudnn\w*|cudart|nvrtc\w*|cuda)\.so")
NEWEST_GLIBC = (2, 36)
TRAIN_FLAGS = ["--data", "phantom", "--preset", "tiny"]


def stop(message):
    print(f"error: {message}")
    sys.exit(1)


def output_of(*command, **more):
    return subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True, **more).stdout


def this_gpu():
    """"90" for the GPU of this machine, None without one."""
    try:
        return output_of("nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader", stderr=subprocess.DEVNULL).split("\n")[0].strip().replace(".", "")
    except (OSError, subprocess.CalledProcessError):
        return None


def build(folder, architectures):
    """Configures (again, when the architectures are others) and builds; names what is missing."""
    flag = f"-Dgpu_architectures={','.join(architectures)}"
    if not (folder / "build.ninja").exists():
        flags = os.environ.get("MESON_FLAGS", "").split()  # make gpu-kit MESON_FLAGS=…, as with the other builds
        subprocess.run(["meson", "setup", str(folder), *flags, "-Dcuda=enabled", flag], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    else:
        subprocess.run(["meson", "configure", str(folder), "-Dcuda=enabled", flag], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    targets = output_of("ninja", "-C", folder, "-t", "targets", "all")
    wanted = list(PROGRAMS) + ([VENDOR] if f"\n{VENDOR}:" in targets else [])
    subprocess.run(["ninja", "-C", str(folder), "--quiet", *wanted], check=True)


def libraries_of(file):
    """Path by name of the shared libraries that a program or library loads; None for what is not found here."""
    found = {}
    for line in output_of("ldd", file).splitlines():
        match = re.match(r"\s*(\S+) => (.*?)( \(0x[0-9a-f]+\))?$", line)
        if match:
            found[match.group(1)] = None if match.group(2) == "not found" else match.group(2)
    return found


def programs_of(folder):
    """Those that the folder has: a build for a kit has them all, a stand-in may leave some out."""
    return [name for name in PROGRAMS if (folder / name).exists()]


def copy_programs(source, kit):
    for name in programs_of(source):
        target = kit / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / name, target)
        subprocess.run(["strip", str(target)], check=True)
        depth = len(Path(name).parts) - 1
        subprocess.run(["patchelf", "--set-rpath", "$ORIGIN/" + "../" * depth + "lib", str(target)], check=True)
    if (source / VENDOR).exists():
        (kit / VENDOR).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / VENDOR, kit / VENDOR)
        subprocess.run(["strip", "--strip-unneeded", str(kit / VENDOR)], check=True)
        subprocess.run(["patchelf", "--set-rpath", "$ORIGIN/../../lib", str(kit / VENDOR)], check=True)


def copy_libraries(source, kit):
    """Everything that the programs load, but what belongs to the machine or to NVIDIA; found again by $ORIGIN."""
    needed = {}
    for name in programs_of(source) + ([VENDOR] if (source / VENDOR).exists() else []):
        for library, path in libraries_of(source / name).items():
            if OF_THE_MACHINE.match(library) or OF_NVIDIA.match(library):
                continue
            if path is None:
                stop(f"{name} needs {library}, which this machine does not have")
            needed[library] = path
    (kit / "lib").mkdir(exist_ok=True)
    for library, path in sorted(needed.items()):
        target = kit / "lib" / library
        shutil.copy(os.path.realpath(path), target)
        target.chmod(0o755)
        subprocess.run(["strip", "--strip-unneeded", str(target)], check=True)
        subprocess.run(["patchelf", "--set-rpath", "$ORIGIN", str(target)], check=True)


def compute_on_cpu(kit, scratch):
    """The phantom's slides and what `train` makes of them on the cpu, with the kit's own program."""
    run = scratch / "run"
    done = subprocess.run([str(kit / "train/train"), *TRAIN_FLAGS, "--device", "cpu", "--run", str(run)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        stop(f"the kit's own train ended with exit code {done.returncode}: {done.stdout.strip().splitlines()[-1]}")
    expected = kit / "expected"
    expected.mkdir()
    shutil.copytree(run / "phantom", expected / "phantom")
    losses = {}
    for line in (run / "log.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if "loss" in entry:
            losses.setdefault(entry["event"], []).append(entry["loss"])
    result = json.loads((run / "result.json").read_text())
    (expected / "cpu.json").write_text(json.dumps({"flags": TRAIN_FLAGS, "losses": losses, "weights_sha256": result["weights_sha256"],
                                                   "instruction_set": result["instruction_set"]}, indent=1) + "\n")


def check_paths(kit, source):
    """Nothing in the kit may name a folder of this machine: it would be looked for there."""
    words = {str(ROOT).encode(), str(source.resolve()).encode()}
    named = [str(path.relative_to(kit)) for path in sorted(kit.rglob("*")) if path.is_file() and any(word in path.read_bytes() for word in words)]
    if named:
        stop(f"these files of the kit name this machine's folders: {', '.join(named)}")


def check_glibc(kit):
    """Versions of glibc's symbols that the kit's files ask for."""
    newest = (0, 0)
    for path in [kit / name for name in programs_of(kit)] + sorted((kit / "lib").iterdir()):
        for version in re.findall(r"GLIBC_(\d+)\.(\d+)", output_of("objdump", "-T", path)):
            newest = max(newest, (int(version[0]), int(version[1])))
    if newest > NEWEST_GLIBC:
        stop(f"the kit needs glibc {newest[0]}.{newest[1]}, newer than {NEWEST_GLIBC[0]}.{NEWEST_GLIBC[1]}: build it on Debian 12")
    return f"{newest[0]}.{newest[1]}"


def describe(kit, architectures, nvcc, glibc):
    commit = output_of("git", "-C", ROOT, "rev-parse", "--short", "HEAD").strip()
    changed = bool(output_of("git", "-C", ROOT, "status", "--porcelain", "--untracked-files=no").strip())
    files = {str(path.relative_to(kit)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(kit.rglob("*")) if path.is_file()}
    (kit / "kit.json").write_text(json.dumps({
        "commit": commit + ("+changes" if changed else ""), "built": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "architectures": architectures, "nvcc": nvcc, "stand_in": nvcc is None, "glibc": glibc, "compiler": output_of("g++", "--version").splitlines()[0],
        "host": platform.platform(), "programs": programs_of(kit), "files": files}, indent=1) + "\n")


def pack(kit, archive):
    """The same bytes for the same files: names in order, no owners, no times."""

    def plain(entry):
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mtime = 0
        return entry

    filters = [{"id": 0x21, "preset": 6, "dict_size": 64 << 20}]  # LZMA2: the programs share the fat binary of the kernels
    import lzma  # noqa: PLC0415: a Python without it can still build the folder
    temporary = archive.with_suffix(f".{os.getpid()}")
    with lzma.open(temporary, "wb", filters=filters) as stream, tarfile.open(fileobj=stream, mode="w") as tar:
        # Files that share bytes lie beside each other: programs, then libraries, then data.
        tar.add(kit, "kit", recursive=False, filter=plain)
        for path in sorted(kit.rglob("*"), key=lambda path: (path.suffix in (".npz", ".tif"), str(path))):
            tar.add(path, f"kit/{path.relative_to(kit)}", recursive=False, filter=plain)
    temporary.replace(archive)
    return archive.stat().st_size


def make_kit(source, kit, architectures, nvcc):
    """The folder that the archive is packed from, anew."""
    if kit.exists():
        shutil.rmtree(kit)
    kit.mkdir(parents=True)
    copy_programs(source, kit)
    copy_libraries(source, kit)
    (kit / "tests/golden").mkdir()
    for path in sorted((ROOT / "tests/golden").glob("*.npz")):
        shutil.copy(path, kit / "tests/golden" / path.name)
    (kit / "runner").mkdir()
    for name in RUNNER:
        shutil.copy(ROOT / f"bench/gpu_day/{name}.py", kit / "runner")
    shutil.copy(ROOT / "bench/gpu_day/run", kit / "run")
    shutil.copy(ROOT / "bench/gpu_day/README.md", kit / "README.md")
    (kit / "peers").mkdir()
    shutil.copy(ROOT / "bench/peers/pytorch_kernels.py", kit / "peers")
    with tempfile.TemporaryDirectory() as scratch:
        compute_on_cpu(kit, Path(scratch))
    check_paths(kit, source)
    describe(kit, architectures, nvcc, check_glibc(kit))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpu", default="90", help="compute capabilities, as 80,90; native: that of this machine's GPU [90]")
    parser.add_argument("--build", type=Path, default=ROOT / "build-gpu-kit", help="build folder [build-gpu-kit]")
    parser.add_argument("--stand-in", action="store_true", help="take the build folder as it is, with or without CUDA")
    parser.add_argument("--no-archive", action="store_true", help="the folder only")
    options = parser.parse_args()
    source = options.build.resolve()
    missing = [tool for tool in ("patchelf", "strip", "objdump", "ldd") if shutil.which(tool) is None]
    if missing:
        stop(f"{', '.join(missing)} not found: run scripts/setup.sh kit")
    nvcc = shutil.which("nvcc", path=os.environ.get("PATH", "") + ":/usr/local/cuda/bin")
    if nvcc is None and not options.stand_in:
        stop("nvcc not found: a kit is built where a CUDA toolkit is (or, for rehearsals without a GPU, with --stand-in)")
    architectures = [this_gpu() or stop("--gpu native: nvidia-smi names no GPU")] if options.gpu == "native" else sorted(options.gpu.split(","), key=int)
    version = None
    if not options.stand_in:
        build(source, architectures)
        version = output_of(nvcc, "--version").strip().splitlines()[-2]
    kit = source / "kit"
    make_kit(source, kit, architectures, version)
    unpacked = sum(path.stat().st_size for path in kit.rglob("*") if path.is_file())
    print(f"gpu-kit: {kit}, {unpacked / 2**20:.1f} MiB unpacked, sm_{', sm_'.join(architectures)}, vendor module {'in it' if (kit / VENDOR).exists() else 'left out'}")
    if options.no_archive:
        return 0
    archive = source / "microtome-gpu-kit.tar.xz"
    size = pack(kit, archive)
    print(f"gpu-kit: {archive}, {size / 2**20:.1f} MiB")
    if size > MOST_BYTES:
        stop(f"the archive is larger than {MOST_BYTES >> 20} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
