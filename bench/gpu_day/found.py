"""What this machine has beside the kit: libraries of NVIDIA's Python packages, tools of a CUDA toolkit, PyTorch."""
import glob
import os
import shutil
import subprocess
import sys
from pathlib import Path

LIBRARIES = {"cuBLASLt": "libcublasLt.so.13", "cuDNN": "libcudnn.so.9"}


def package_folders():
    """site-packages and dist-packages of this Python and of others that are on the machine."""
    folders = [Path(entry) for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))]
    patterns = ("/usr/lib/python3*/dist-packages", "/usr/local/lib/python3*/dist-packages", "/usr/local/lib/python3*/site-packages",
                "/opt/*/lib/python3*/site-packages", os.path.expanduser("~/.local/lib/python3*/site-packages"), os.path.expanduser("~/*/lib/python3*/site-packages"))
    for pattern in patterns:
        folders += [Path(path) for path in sorted(glob.glob(pattern))]
    return list(dict.fromkeys(folder for folder in folders if folder.is_dir()))


def toolkit_folders():
    """CUDA toolkits, the newest first."""
    named = [os.environ[name] for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    nvcc = shutil.which("nvcc")
    beside = [str(Path(nvcc).resolve().parent.parent)] if nvcc else []
    found = named + beside + ["/usr/local/cuda"] + sorted(glob.glob("/usr/local/cuda-*"), reverse=True)
    return list(dict.fromkeys(Path(path) for path in found if Path(path).is_dir()))


def loader_folders():
    """Folders that the loader searches, as ldconfig knows them, and LD_LIBRARY_PATH."""
    folders = [Path(entry) for entry in os.environ.get("LD_LIBRARY_PATH", "").split(":") if entry]
    ldconfig = shutil.which("ldconfig") or "/sbin/ldconfig"
    try:
        lines = subprocess.run([ldconfig, "-p"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        lines = ""
    for line in lines.splitlines():
        if any(name in line for name in LIBRARIES.values()) and "=>" in line:
            folders.append(Path(line.split("=>")[1].strip()).parent)
    return folders


def vendor_libraries():
    """Folder by library ("cuDNN"); None for what is not here. A Python package goes before a toolkit: it is what PyTorch there uses."""
    folders = []
    for packages in package_folders():
        folders += [Path(path) for path in sorted(glob.glob(str(packages / "nvidia" / "*" / "lib")))]
    for toolkit in toolkit_folders():
        folders += [toolkit / "lib64", toolkit / "targets/x86_64-linux/lib"]
    folders += loader_folders() + [Path("/usr/lib/x86_64-linux-gnu"), Path("/usr/lib64")]
    return {name: next((str(folder) for folder in folders if (folder / file).exists()), None) for name, file in LIBRARIES.items()}


def tool(name):
    """Path of compute-sanitizer or ncu, None where it is not."""
    places = [shutil.which(name)]
    for toolkit in toolkit_folders():
        places += [str(toolkit / "bin" / name), str(toolkit / "compute-sanitizer" / name)]
    for packages in package_folders():
        places += sorted(glob.glob(str(packages / "nvidia" / "*" / "bin" / name)))
    places += sorted(glob.glob(f"/opt/nvidia/nsight-compute/*/{name}"), reverse=True)
    return next((place for place in places if place and os.access(place, os.X_OK)), None)


def pythons():
    """Pythons that may have PyTorch, this one first."""
    found = [sys.executable] + [shutil.which(name) for name in ("python3", "python")] + \
        sorted(glob.glob("/opt/*/bin/python3")) + sorted(glob.glob(os.path.expanduser("~/*/bin/python3")))
    return list(dict.fromkeys(path for path in found if path and os.access(path, os.X_OK)))


def gpu_in_full():
    """What nvidia-smi prints, or why it does not."""
    try:
        return subprocess.run(["nvidia-smi"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=20).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return f"nvidia-smi: {error}\n"


def gpu():
    """The first GPU as nvidia-smi tells of it, {} where it names none."""
    fields = ("name", "compute_cap", "driver_version", "memory.total", "clocks.max.sm", "power.limit")
    smi = shutil.which("nvidia-smi") or "/usr/bin/nvidia-smi"
    try:
        line = subprocess.run([smi, f"--query-gpu={','.join(fields)}", "--format=csv,noheader"], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, check=True, timeout=20).stdout.splitlines()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return {}
    values = [value.strip() for value in line.split(",")]
    return dict(zip(fields, values)) if len(values) == len(fields) else {}
