#!/usr/bin/env python3
"""Runs nvcc and stops the build when a kernel spills registers, unless scripts/accepted_spills.txt gives the reason.

Usage: nvcc_checked.py NVCC ARGUMENTS… -c FILE.cu -o FILE.o     also writes FILE.o.kernels.json: what ptxas says of each kernel
       nvcc_checked.py --table BUILD [--write PAGE]             the table of all kernels of a build (make kernel-table)
       nvcc_checked.py --self-test
"""
import fnmatch
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ACCEPTED = ROOT / "scripts" / "accepted_spills.txt"

# Of one multiprocessor (CUDA C++ Programming Guide, "Technical specifications per compute capability").
LIMITS = {  # sm: (threads, blocks, shared memory in bytes)
    75: (1024, 16, 64 << 10),
    80: (2048, 32, 164 << 10),
    86: (1536, 16, 100 << 10),
    90: (2048, 32, 228 << 10),
    100: (2048, 32, 228 << 10),
}
REGISTERS = 64 << 10
REGISTER_UNIT = 256       # registers are given to a warp in units of this many
RESERVED_SHARED = 1 << 10  # of each block, for the system, from sm_80 on
BLOCK_SIZES = (128, 256)


def occupancy(sm, registers, shared, threads):
    """Share of a multiprocessor's warps that blocks of so many threads can fill; dynamic shared memory not counted."""
    most_threads, most_blocks, most_shared = LIMITS[sm]
    warps = threads // 32
    by_registers = REGISTERS // (-(-registers * 32 // REGISTER_UNIT) * REGISTER_UNIT) // warps
    used = shared + (RESERVED_SHARED if sm >= 80 else 0)
    by_shared = most_shared // used if used else most_blocks
    blocks = min(most_blocks, most_threads // threads, by_registers, by_shared)
    return blocks * threads / most_threads


def parsed(text):
    """What `ptxas -v` says: {mangled name: {sm: {registers, shared, stack, spill_stores, spill_loads}}}."""
    kernels = {}
    current = None
    for line in text.splitlines():
        if match := re.search(r"Compiling entry function '(\w+)' for 'sm_(\d+)\w*'", line):
            current = kernels.setdefault(match.group(1), {}).setdefault(int(match.group(2)), {})
        elif current is None:
            continue
        elif match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            for name, value in zip(("stack", "spill_stores", "spill_loads"), match.groups()):  # also of functions not inlined
                current[name] = current.get(name, 0) + int(value)
        elif match := re.search(r"Used (\d+) registers", line):
            shared = re.search(r"(\d+) bytes smem", line)
            current["registers"], current["shared"] = int(match.group(1)), int(shared.group(1)) if shared else 0
            current = None
    return kernels


def short_names(mangled):
    """softmax_forward_warp<32> out of each mangled name."""
    names = list(mangled)
    if not names:
        return {}
    plain = subprocess.run(["c++filt"], input="\n".join(names), stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    return {name: short(text) for name, text in zip(names, plain)}


def short(text):
    text = text.replace("(anonymous namespace)::", "")
    depth = 0
    for at, letter in enumerate(text):  # up to the parameters
        depth += {"<": 1, ">": -1}.get(letter, 0)
        if letter == "(" and depth == 0:
            text = text[:at]
            break
    depth, start = 0, 0
    for at, letter in enumerate(text):  # without the return type and namespaces
        depth += {"<": 1, ">": -1}.get(letter, 0)
        if depth == 0 and (letter == " " or text[at:at + 2] == "::"):
            start = at + (1 if letter == " " else 2)
    text = re.sub(r"mt::cuda_backend::|_GLOBAL__N__\w+::", "", text[start:])
    return re.sub(r"\((?:int|long|unsigned int|bool)\)", "", text)


def accepted(text):
    """[(pattern, {sm}, bytes, reason)] of the list."""
    entries = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        pattern, architectures, most, reason = line.split(maxsplit=3)
        entries.append((pattern, {int(sm) for sm in architectures.split(",")}, int(most), reason))
    return entries


def unexplained(kernels, names, entries):
    for mangled, by_sm in kernels.items():
        for sm, use in by_sm.items():
            spilled = use.get("spill_stores", 0) + use.get("spill_loads", 0)
            if spilled and not any(fnmatch.fnmatchcase(names[mangled], pattern) and sm in architectures and spilled <= most
                                   for pattern, architectures, most, _ in entries):
                yield f"{names[mangled]}: spills {spilled} bytes on sm_{sm}; give its reason in scripts/accepted_spills.txt"


def compile_file(command):
    target = Path(command[command.index("-o") + 1])
    done = subprocess.run([*command, "-Xptxas", "-v"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    kernels = parsed(done.stdout)
    told = [line for line in done.stdout.splitlines() if not re.match(r"ptxas info|\s+\d+ bytes stack frame|\s*$", line)]
    if told:
        print("\n".join(told), file=sys.stderr)
    if done.returncode != 0:
        return done.returncode
    names = short_names(kernels)
    problems = list(unexplained(kernels, names, accepted(ACCEPTED.read_text())))
    if problems:
        target.unlink(missing_ok=True)
        print("\n".join(problems), file=sys.stderr)
        return 1
    table = {names[mangled]: by_sm for mangled, by_sm in kernels.items()}
    target.with_name(target.name + ".kernels.json").write_text(json.dumps(table, indent=1))
    return 0


def table_of(build):
    """[(file, kernel, {sm: use})] of all objects of a build."""
    rows = []
    for path in sorted(build.rglob("*_cuda.o.kernels.json")):
        source = path.name.removesuffix("_cuda.o.kernels.json")
        for kernel, by_sm in sorted(json.loads(path.read_text()).items()):
            rows.append((source, kernel, {int(sm): use for sm, use in by_sm.items()}))
    return rows


def page(rows, entries):
    lines = ["# What the kernels use", "",
             "Written by `make kernel-table` from what ptxas says (nvcc " + nvcc_version() + "). Registers are per thread, shared memory is the",
             "static part per block in bytes. Occupancy is the share of a multiprocessor's warps, from registers and static shared memory",
             f"alone, in blocks of {BLOCK_SIZES[0]} and {BLOCK_SIZES[1]} threads: an upper bound where a launch asks for dynamic shared memory.",
             "A build stops at a spill that `scripts/accepted_spills.txt` does not explain.", "",
             "| file | kernel | " + " | ".join(f"sm_{sm}" for sm in LIMITS) + " | shared |", "|" + "---|" * (len(LIMITS) + 3)]
    for source, kernel, by_sm in rows:
        cells = []
        for sm in LIMITS:
            use = by_sm.get(sm)
            if use is None:
                cells.append("")
                continue
            shares = " / ".join(f"{100 * occupancy(sm, use['registers'], use['shared'], threads):.0f} %" for threads in BLOCK_SIZES)
            spilled = use["spill_stores"] + use["spill_loads"]
            cells.append(f"{use['registers']}, {shares}" + (f", **{spilled} bytes spilled**" if spilled else ""))
        shared = max((use["shared"] for use in by_sm.values()), default=0)
        lines.append(f"| {source} | `{kernel}` | " + " | ".join(cells) + f" | {shared} |")
    lines += ["", "A cell: registers, occupancy." + ("" if entries else " No kernel spills.")]
    if entries:
        lines += ["", "## Accepted spills", "", "| kernel | architectures | bytes at most | reason |", "|---|---|---|---|"]
        lines += [f"| `{p}` | {', '.join(f'sm_{sm}' for sm in sorted(a))} | {most} | {reason} |" for p, a, most, reason in entries]
    return "\n".join(lines) + "\n"


def nvcc_version():
    for nvcc in ("nvcc", "/usr/local/cuda/bin/nvcc"):
        try:
            text = subprocess.run([nvcc, "--version"], stdout=subprocess.PIPE, text=True).stdout
            return re.search(r"release ([\d.]+)", text).group(1)
        except (FileNotFoundError, AttributeError):
            continue
    return "of this build"


def write_table(arguments):
    rows = table_of(Path(arguments[0]))
    entries = accepted(ACCEPTED.read_text())
    if not rows:
        print("kernel-table: no kernel was compiled by nvcc in this build", file=sys.stderr)
        return 1
    unused = [e[0] for e in entries if not any(fnmatch.fnmatchcase(kernel, e[0]) for _, kernel, _ in rows)]
    if unused:
        print("kernel-table: no kernel has the name of these accepted spills:", *unused, file=sys.stderr)
        return 1
    if "--write" in arguments:
        Path(arguments[arguments.index("--write") + 1]).write_text(page(rows, entries))
    print(f"kernel-table: {len(rows)} kernels, {sum(len(by_sm) for _, _, by_sm in rows)} compiled, {len(entries)} accepted spills")
    return 0


# ---- Self-test ------------------------------------------------------------------------------------------------------

OUTPUT = """ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_ZN2mt12cuda_backend3oneILi4EEEvPf' for 'sm_80'
ptxas info    : Function properties for _ZN2mt12cuda_backend3oneILi4EEEvPf
    16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 32 registers, used 1 barriers, 4096 bytes smem, 392 bytes cmem[0]
ptxas info    : Compiling entry function '_ZN2mt12cuda_backend3twoEv' for 'sm_90a'
ptxas info    : Function properties for _ZN2mt12cuda_backend3twoEv
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, 360 bytes cmem[0]
"""


def self_test():
    kernels = parsed(OUTPUT)
    names = short_names(kernels)
    checks = {
        "names": sorted(names.values()) == ["one<4>", "two"],
        "numbers": kernels["_ZN2mt12cuda_backend3oneILi4EEEvPf"][80]
        == {"stack": 16, "spill_stores": 8, "spill_loads": 12, "registers": 32, "shared": 4096},
        "no shared memory": kernels["_ZN2mt12cuda_backend3twoEv"][90]["shared"] == 0,
        "an unlisted spill": [p.split(":")[0] for p in unexplained(kernels, names, [])] == ["one<4>"],
        "a listed spill": not list(unexplained(kernels, names, accepted("# list\none<*> 80,90 20 the reason\n"))),
        "a spill larger than listed": list(unexplained(kernels, names, accepted("one<*> 80 19 the reason"))) != [],
        "a spill on another architecture": list(unexplained(kernels, names, accepted("one<*> 75 20 the reason"))) != [],
        # 128 registers · 128 threads: 4 blocks of 65,536 registers, 16 of 64 warps.
        "occupancy by registers": occupancy(80, 128, 0, 128) == 0.25,
        "occupancy by threads": occupancy(86, 32, 0, 256) == 1,
        # 47 KiB and 1 KiB reserved: 3 blocks in 164 KiB.
        "occupancy by shared memory": occupancy(80, 32, 47 << 10, 256) == 3 * 256 / 2048,
        "template arguments": short("void mt::cuda_backend::(anonymous namespace)::k<mt::cuda_backend::Sum, (int)4>(float const*)") == "k<Sum, 4>",
    }
    wrong = [name for name, good in checks.items() if not good]
    print(f"nvcc_checked: self-test, {len(checks) - len(wrong)} passed, {len(wrong)} failed {wrong or ''}")
    return 1 if wrong else 0


def main():
    arguments = sys.argv[1:]
    if arguments == ["--self-test"]:
        return self_test()
    if arguments and arguments[0] == "--table":
        return write_table(arguments[1:])
    if "-o" not in arguments:
        print(__doc__, file=sys.stderr)
        return 2
    return compile_file(arguments)


if __name__ == "__main__":
    sys.exit(main())
