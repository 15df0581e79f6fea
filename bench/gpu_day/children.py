"""Programs under a time limit: whatever they do, they end, and what they printed is kept."""
import ctypes
import os
import re
import signal
import subprocess
import threading
import time

MOST_LOG_BYTES = 8 << 20  # of one program; the rest is counted
PR_SET_PDEATHSIG = 1
_c_library = ctypes.CDLL(None)  # loaded before any fork


def _die_with_the_runner():
    """In the child: a runner that is killed takes its programs along."""
    _c_library.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Ended:
    """How a program ended: `why` is "exit", "signal", "time limit", "silent" or "cannot start"; `code` its exit code or signal."""

    def __init__(self, why, code, seconds, text=""):
        self.why, self.code, self.seconds, self.text = why, code, seconds, text

    @property
    def good(self):
        return self.why == "exit" and self.code == 0

    def words(self):
        if self.why == "exit":
            return f"exit code {self.code}"
        if self.why == "signal":
            return f"signal {signal.Signals(self.code).name}"
        return {"time limit": f"stopped at its time limit after {self.seconds:.0f} s",
                "silent": f"stopped: nothing printed for {self.code} s"}.get(self.why, f"cannot start: {self.text}")


running = set()  # programs of this runner; a signal handler ends them
stopping = False


def end(process, patience=2):
    """SIGTERM, then SIGKILL, for a program and its children. One that the driver holds in the kernel is left behind."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            pass
        try:
            process.wait(patience)
            return
        except subprocess.TimeoutExpired:
            continue


def stop_all():
    """Ends every program, and starts none any more: for a runner that is told to stop."""
    global stopping
    stopping = True
    for process in list(running):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass


def run(command, seconds, log=None, environment=None, silent=None, each_line=None, folder=None, keep=20000):
    """Runs a program for at most `seconds`, and stops it when it prints nothing for `silent` seconds. What it prints goes to `log`
    (a binary file), line by line to `each_line`, and its last `keep` bytes into the result."""
    started = time.monotonic()
    if stopping:
        return Ended("cannot start", 127, 0, "the runner was told to stop")
    try:
        process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   env=environment, cwd=folder, start_new_session=True, preexec_fn=_die_with_the_runner)
    except OSError as error:
        return Ended("cannot start", 127, 0, str(error))
    running.add(process)
    state = {"heard": time.monotonic(), "bytes": 0, "tail": b""}

    def listen():
        for line in iter(process.stdout.readline, b""):
            state["heard"] = time.monotonic()
            state["bytes"] += len(line)
            state["tail"] = (state["tail"] + line)[-keep:]
            if log is not None and state["bytes"] <= MOST_LOG_BYTES:
                log.write(line)
                log.flush()
            if each_line is not None:
                each_line(line.decode(errors="replace").rstrip("\n"))

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    why = None
    while why is None:
        try:
            process.wait(0.05)
            break
        except subprocess.TimeoutExpired:
            pass
        now = time.monotonic()
        if now - started > seconds:
            why = "time limit"
        elif silent is not None and now - state["heard"] > silent:
            why = "silent"
    if why is not None:
        end(process)
    listener.join(2)  # children of the program may hold its output open
    running.discard(process)
    text = state["tail"].decode(errors="replace")
    spent = time.monotonic() - started
    if log is not None and state["bytes"] > MOST_LOG_BYTES:
        log.write(f"... {state['bytes'] - MOST_LOG_BYTES} bytes more\n".encode())
    if why is not None:
        return Ended(why, silent if why == "silent" else 0, spent, text)
    if process.returncode < 0:
        return Ended("signal", -process.returncode, spent, text)
    return Ended("exit", process.returncode, spent, text)


def last_line(text):
    """What a person reads first: the last line that says something, an `error:` line before others."""
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or [""])[-1][:400]
