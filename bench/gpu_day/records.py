"""The folder of results: one JSON file and one log for each step, whole at any moment."""
import json
import os
import time
from pathlib import Path


class Results:
    """Steps of a command ("correctness") in the folder `out`: STEP.json and STEP.log, and plan-COMMAND.json, which names them in order."""

    def __init__(self, out, command):
        self.out, self.command = Path(out), command
        self.out.mkdir(parents=True, exist_ok=True)

    def path(self, name):
        return self.out / name

    def write(self, name, value):
        """Atomic, and on the disk before it counts."""
        temporary = self.out / f".{name}.{os.getpid()}"
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.out / name)

    def step(self, step):
        return f"{self.command}-{step}"

    def read(self, step):
        """A step's record; None when there is none, or none that can be read."""
        try:
            return json.loads((self.out / f"{self.step(step)}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def record(self, step, state, seconds=0.0, **more):
        self.write(f"{self.step(step)}.json", {"command": self.command, "step": step, "state": state, "seconds": round(seconds, 2),
                                               "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **more})

    def log(self, step, mode="wb"):
        return open(self.out / f"{self.step(step)}.log", mode)
