"""What every step is given: the kit, the device, where results go, and how long it may take."""
import os
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Context:
    kit: Path  # the unpacked archive
    device: str  # "cuda", or "simt" for a rehearsal
    results: object  # records.Results
    vendor: dict  # folder by library, None where it is not here
    jobs: int  # processes at a time
    silent: float  # seconds without a word after which a test is taken to hang
    step: str = ""
    deadline: float = 0.0  # of time.monotonic()

    @property
    def left(self):
        return max(self.deadline - time.monotonic(), 0.0)

    def program(self, name):
        return self.kit / name

    def environment(self, processes=1):
        """For the kit's programs only: NVIDIA's libraries must not get into other programs. `processes` of them share the processors."""
        folders = [folder for folder in self.vendor.values() if folder]
        inherited = os.environ.get("LD_LIBRARY_PATH", "")
        path = ":".join(dict.fromkeys(folders + [entry for entry in inherited.split(":") if entry]))
        return {**os.environ, "MICROTOME_VENDOR_MODULE": str(self.kit / "kernels/vendor/microtome_vendor.so"),
                "GOMP_SPINCOUNT": "2000", "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // processes)), **({"LD_LIBRARY_PATH": path} if path else {})}

    def pattern(self, suites="", version="", without=""):
        """GoogleTest's filter for tests of this device ("Devices/GemmTest.Adds/cuda_naive"): of the suites and the version named, or all. For the
        SIMT machine one order of threads is rehearsal enough."""
        device = f"{self.device}_{version}*" if version else f"{self.device}*"
        device += "ascending*" if self.device == "simt" else ""
        positive = ":".join(f"*{suite}*/{device}" for suite in suites.split()) if suites else f"*/{device}"
        return f"{positive}-{without}" if without else positive


def outcome(state, **more):
    """What a step returns. States: passed, failed, "time limit" (part of it was done), "not here"."""
    return {"state": state, **more}


@dataclass
class Step:
    name: str
    limit: float  # seconds, at most
    work: object  # Context → outcome
    why: str  # what it is for, one line
    least: float = 5  # seconds; with less left it is not begun
