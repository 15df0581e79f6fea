#!/usr/bin/env python3
"""Lint of the kernel dialect, of the order of the floors, of an operation's set of files and of its callers. Python's standard library only.

Usage: lint_dialect.py              checks the repository; prints file:line: what is wrong, and ends with 1 if anything is
       lint_dialect.py --calls      prints who calls each function of the operations' tables
       lint_dialect.py --rooms      prints rooms, floors and arrows of the folders that have rooms
       lint_dialect.py --self-test  checks the lint itself on small faulty files and their repaired twins
"""
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

MAY_USE = {  # folder -> folders whose headers it may include
    "tensor": {"tensor"},
    "wsi": {"tensor", "wsi"},
    "kernels": {"tensor", "kernels"},
    "autograd": {"tensor", "kernels", "autograd"},
    "models": {"tensor", "kernels", "autograd", "models"},
    "train": {"tensor", "wsi", "kernels", "autograd", "models", "train"},
}
ROOMS = {  # folder -> its rooms, lowest floor first: a room may include those of the floors below it, and itself.
    # Files of the folder itself stand above all rooms (the programs of train/).
    "train": [("settings", "figures", "feature_files"), ("cli",), ("data",), ("run",), ("method", "report")],
}
# The device layer wraps what nobody else may say.
DEVICE_LAYER = ("kernels/device/", "kernels/simt/")
FORBIDDEN = [
    (re.compile(r"<<<|>>>\s*\("), "launch<kernel>(grid, block, shared_bytes, stream, args…) instead of <<<…>>>"),
    (re.compile(r"\b__shared__\b"), "SHARED(T, name, N) or DYN_SHARED(T, name) instead of __shared__"),
    (re.compile(r"\b__sync(threads|warp)\w*"), "simt::sync_threads() or simt::sync_warp(mask) instead of the bare barrier"),
    (re.compile(r"\b__(shfl|ballot|any|all|match|reduce)_?\w*sync\b"), "a simt:: warp operation with its mask"),
    (re.compile(r"\b__activemask\b"), "a mask that is known, not __activemask(): its value depends on the schedule"),
    (re.compile(r"\batomic(Add|Sub|Exch|Min|Max|Inc|Dec|CAS|And|Or|Xor)\w*\s*\("), "a simt::atomic_ wrapper (integers only)"),
    (re.compile(r"\b__ldg\b"), "simt::ldg(pointer) instead of __ldg"),
    (re.compile(r"\b__(popc|clz|ffs|brev)(ll)?\s*\("), "simt::popcount, count_leading_zeros or find_first_set"),
    (re.compile(r"\b__(float_as_u?int|u?int_as_float)\b"), "simt::bits_of or float_of"),
    (re.compile(r"\b__f(add|sub|mul|div|maf)_r[nzud]\b"), "simt::add_rounded or multiply_rounded, or fmaf()"),
    (re.compile(r"\b(nvcuda|wmma)\b|\bmma_sync\b|\bld(matrix|sm)\w*\s*\("), "the fragments of kernels/device/fragment.h"),
    (re.compile(r"\b__(st(wb|cg|cs|wt)|ld(cg|cs|lu|cv|ca))\b|reinterpret_cast<\s*(const\s+)?u?(char|short|int|float|double|longlong)[1-4]\s*\*"),
     "simt::load_vector, store_vector or store_shared_vector"),
    (re.compile(r"\b(__nv_bfloat16|__half2?|__nv_bfloat162)\b"), "simt::bfloat16"),
    (re.compile(r"\b__pipeline_\w+|\bmemcpy_async\b|\b__cvta_\w+"), "simt::copy_async, commit_async and wait_async"),
    (re.compile(r"\b__threadfence\w*|\b__nanosleep\b"), "no block waits for another: the SIMT machine runs one after the other"),
    (re.compile(r"\bcooperative_groups\b"), "no cooperative groups: the SIMT machine does not run them"),
    (re.compile(r"\b__CUDA_ARCH__\b"), "variants are chosen on the host; __CUDA_ARCH__ stands inside wrappers only"),
    (re.compile(r"\basm\b"), "PTX stands behind a wrapper of the device layer"),
]
BARRIER = re.compile(r"\b(sync_threads|load_fragment|load_accumulator|store_accumulator|multiply_accumulate)\s*\(|\b(sync_warp|shuffle\w*|ballot|any|all)\s*\(\s*simt::kFullMask")
SET = ["{op}.md", "{op}.h", "{op}.cu", "{op}_cpu.cc", "{op}_ref.cc", "{op}_test.cc", "{op}_bench.cc"]


def without_comments(text):
    """The text with comments and strings blanked out, line for line, but for the paths of #include."""
    def blank(match):
        word = match.group(0)
        if word.startswith('"'):
            return '""' if "\n" not in word else word
        return re.sub(r"[^\n]", " ", word)
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|R"\((.*?)\)"|"(?:\\.|[^"\\\n])*"', re.S)
    lines = []
    blanked = pattern.sub(blank, text).split("\n")
    for original, clean in zip(text.split("\n"), blanked):
        lines.append(original if original.startswith("#include") else clean)
    return "\n".join(lines)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def function_bodies(text):
    """(name, start, end) of the body of each __global__ and __device__ function."""
    for match in re.finditer(r"\b__(?:global|device)__\b", text):
        opening = text.find("{", match.end())
        semicolon = text.find(";", match.end())
        if opening < 0 or 0 <= semicolon < opening:
            continue  # a declaration
        name = re.search(r"(\w+)\s*\(", text[match.end():opening])
        depth, end = 0, opening
        for end in range(opening, len(text)):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            if depth == 0:
                break
        yield name.group(1) if name else "?", opening, end


def early_returns(path, text):
    """A `return` before a later barrier of the same function, or before a call of one of this file that has a barrier.
    What cannot be seen here: barriers behind function pointers or in other files; the SIMT machine catches those."""
    bodies = list(function_bodies(text))
    with_barrier = {name for name, start, end in bodies if BARRIER.search(text, start, end)}
    grown = True
    while grown:  # callers of functions with a barrier
        callers = {name for name, start, end in bodies
                   if any(re.search(rf"\b{callee}\s*(<[^;{{}}]*>)?\s*\(", text[start:end]) for callee in with_barrier)}
        grown = not callers <= with_barrier
        with_barrier |= callers
    for name, start, end in bodies:
        body = text[start:end]
        waits = [m.start() for m in BARRIER.finditer(body)]
        for callee in with_barrier - {name}:
            waits += [m.start() for m in re.finditer(rf"\b{callee}\s*(<[^;{{}}]*>)?\s*\(", body)]
        for match in re.finditer(r"\breturn\b", body):
            statement_end = body.find(";", match.start())
            if any(wait > statement_end for wait in waits) and not inside_lambda(body, match.start()):
                yield f"{path}:{line_of(text, start + match.start())}: {name}: return before a barrier; predicate the work instead"


def inside_lambda(body, offset):
    """Whether the innermost braces around offset that are a function's are a lambda's."""
    depth = 0
    for i in range(offset - 1, 0, -1):
        if body[i] == "}":
            depth += 1
        elif body[i] == "{":
            if depth == 0:
                if re.search(r"\[[^\]\[]*\]\s*(\([^()]*\))?\s*(mutable)?\s*(->\s*\w+)?\s*$", body[:i]):
                    return True
            else:
                depth -= 1
    return False


def dialect(root):
    for path in sorted((root / "kernels").rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.suffix not in (".cu", ".h", ".cc", ".cuh") or name.startswith(DEVICE_LAYER):
            continue
        text = without_comments(path.read_text())
        if path.suffix in (".cu", ".cuh"):
            for number, line in enumerate(text.split("\n"), 1):
                for pattern, instead in FORBIDDEN:
                    if pattern.search(line):
                        yield f"{name}:{number}: {instead}"
            yield from early_returns(name, text)
        elif "__global__" in text or "__device__" in text:
            if path.suffix == ".cc":
                at = min(text.find(w) for w in ("__global__", "__device__") if w in text)
                yield f"{name}:{line_of(text, at)}: kernels stand in .cu files"


def upward_includes(root):
    for folder, allowed in MAY_USE.items():
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in (".h", ".cc", ".cu", ".cuh"):
                continue
            name = path.relative_to(root).as_posix()
            for number, line in enumerate(path.read_text().splitlines(), 1):
                match = re.match(r'\s*#\s*include\s+"([^"/]+)/', line)
                if not match:
                    continue
                target = match.group(1)
                if target in MAY_USE and target not in allowed:
                    yield f"{name}:{number}: includes {target}/, which does not lie below {folder}/"
                if target == "tests" and not path.name.endswith("_test.cc"):
                    yield f"{name}:{number}: includes tests/; only tests may"


def floor_of(room, floors):
    return next((number for number, rooms in enumerate(floors) if room in rooms), None)


def room_of(path_parts, floors):
    """(room, floor) of a file by its path below the folder; a file of the folder itself is in the room ""."""
    if len(path_parts) == 1:
        return "", len(floors)
    return path_parts[0], floor_of(path_parts[0], floors)


def includes_between_rooms(root, folder):
    """(file, line, room, floor, included room, its floor) of each include from one room of `folder` into another."""
    floors = ROOMS[folder]
    for path in sorted((root / folder).rglob("*")):
        if path.suffix not in (".h", ".cc", ".cu", ".cuh"):
            continue
        room, floor = room_of(path.relative_to(root / folder).parts, floors)
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = re.match(rf'\s*#\s*include\s+"{folder}/([^"]+)"', line)
            if not match:
                continue
            target, target_floor = room_of(match.group(1).split("/"), floors)
            if target != room:
                yield path.relative_to(root).as_posix(), number, room, floor, target, target_floor


def rooms(root):
    """Rooms that no list names, and includes that do not go down."""
    for folder, floors in ROOMS.items():
        for path in sorted((root / folder).glob("*/")):
            if path.is_dir() and floor_of(path.name, floors) is None and any(path.rglob("*.cc")):
                yield f"{folder}/{path.name}:1: a room without a floor: name it in ROOMS of scripts/lint_dialect.py"
        for name, number, room, floor, target, target_floor in includes_between_rooms(root, folder):
            if floor is not None and (target_floor is None or target_floor >= floor):
                yield f"{name}:{number}: includes {folder}/{target}, which does not lie below {folder}/{room}"


def rooms_text(root=ROOT):
    """A line a folder: how many rooms on how many floors, and from how many rooms to how many others includes go."""
    for folder, floors in ROOMS.items():
        arrows = {}
        for _, _, room, _, target, _ in includes_between_rooms(root, folder):
            arrows[room, target] = arrows.get((room, target), 0) + 1
        yield (f"{folder}/: {sum(len(rooms) for rooms in floors)} rooms on {len(floors)} floors under the programs, "
               f"{len(arrows)} arrows ({sum(arrows.values())} includes), {len(list(rooms(root)))} upwards")
        for (room, target), count in sorted(arrows.items()):
            yield f"  {room or 'programs'} -> {target}: {count}"


def listed(text, name):
    """(line, word) of a list in meson.build."""
    match = re.search(rf"^{name} = \[(.*?)\]", text, re.S | re.M)
    if not match:
        return []
    first = line_of(text, match.start(1))
    return [(first + match.group(1).count("\n", 0, m.start()), m.group(1))
            for m in re.finditer(r"'([^']+)'", match.group(1))]


def missing_files(root):
    """Files of the set that a listed operation lacks, and .cu files that no list builds."""
    meson = root / "kernels" / "meson.build"
    text = meson.read_text()
    operations = listed(text, "operations")

    def folder_of(op):
        return root / "kernels" / ("_skeleton" if op == "skeleton" else op)

    for number, op in operations:
        for file in SET:
            if not (folder_of(op) / file.format(op=op)).exists():
                yield f"kernels/meson.build:{number}: {op}: {file.format(op=op)} is missing of the set"
    built = {op for _, op in operations}
    for path in sorted((root / "kernels").rglob("*.cu")):
        if path.parent.name.lstrip("_") not in built:
            yield f"{path.relative_to(root).as_posix()}:1: not built: name its operation in operations of kernels/meson.build"


# ---- Functions of the operations' tables, and who calls them ---------------------------------------------------------

ACCEPTED_UNCALLED = "scripts/accepted_uncalled.txt"  # lines "op.function  # why it is there all the same"


def table_functions(root):
    """(op, function, header, line) of each function pointer in the tables of the listed operations."""
    for _, op in listed((root / "kernels" / "meson.build").read_text(), "operations"):
        header = root / "kernels" / op / f"{op}.h"
        if op == "skeleton" or not header.exists():
            continue
        text = without_comments(header.read_text())
        for table in re.finditer(r"struct \w+ \{(.*?)\n\};", text, re.S):
            for function in re.finditer(r"\(\*(\w+)\)\(", table.group(1)):
                yield op, function.group(1), header, line_of(text, table.start(1) + function.start())


def callers(root):
    """{(op, function, header, line): files of the product that call it}: not tests, benchmarks, references or the operation itself."""
    texts = {}
    for folder in MAY_USE:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".h", ".cc", ".cu", ".cuh") and not re.search(r"_(test|bench|ref)\.cc$", path.name):
                texts[path] = without_comments(path.read_text())
    calls = {}
    for op, function, header, line in table_functions(root):
        found = calls[op, function, header, line] = []
        for path, text in texts.items():
            if path.parent == header.parent or not re.search(rf"\b{op}<", text):
                continue
            # softmax<T>(device).forward(…), or through a name: const auto& table = softmax<T>(device); [](const auto& table) { … }
            names = set(re.findall(rf"& (\w+) =\s+(?:mt::)?{op}<", text)) | set(re.findall(r"const auto& (\w+)\)", text))
            direct = rf"\b{op}<\w+>\([^;{{}}]*?\)\s*\.{function}\b"
            if re.search("|".join([direct, *(rf"\b{name}\.{function}\b" for name in names)]), text):
                found.append(path.relative_to(root).as_posix())
    return calls


def uncalled(root):
    """Functions that only tests and benchmarks call, and reasons that have become needless."""
    accepted_file = root / ACCEPTED_UNCALLED
    reasons = {}
    for number, line in enumerate(accepted_file.read_text().splitlines() if accepted_file.exists() else [], 1):
        name, _, reason = line.partition("#")
        if name.strip():
            reasons[name.strip()] = (number, reason.strip())
    for (op, function, header, line), files in callers(root).items():
        number, reason = reasons.pop(f"{op}.{function}", (0, None))
        if not files and not reason:
            yield (f"{header.relative_to(root).as_posix()}:{line}: {op}.{function} is called by tests and benchmarks only: "
                   f"wire it, delete it, or give a reason in {ACCEPTED_UNCALLED}")
        if files and reason:
            yield f"{ACCEPTED_UNCALLED}:{number}: {op}.{function} is called by {files[0]}: the reason has gone"
    for name, (number, _) in reasons.items():
        yield f"{ACCEPTED_UNCALLED}:{number}: {name} is no function of a table"


def calls_text(root=ROOT):
    calls = callers(root)
    for (op, function, _, _), files in calls.items():
        yield f"{op}.{function}: {', '.join(files) or 'nobody'}"
    yield f"{len(calls)} functions, {sum(not files for files in calls.values())} of them called by tests and benchmarks only"


def problems(root=ROOT):
    return [*dialect(root), *upward_includes(root), *rooms(root), *missing_files(root), *uncalled(root)]


# ---- Self-test: each faulty file must be named with its line, each repaired twin must pass ---------------------------

KERNEL = """#include "kernels/device/kernel.h"
__global__ void k(float* x, int n) {
  SHARED(float, part, 32);  // __shared__ in a comment is fine
  const bool mine = threadIdx.x < n;
  if (mine) part[threadIdx.x] = x[threadIdx.x];
  simt::sync_threads();
  if (!mine) return;
  x[threadIdx.x] = part[0];
}
"""
TABLE = "struct Op {\n  void (*forward)(int n);\n};\n"
FAULTS = [  # (file, text with its fault, line of the fault, a word of the message)
    ("kernels/op/op.cu", KERNEL + "void f() { k<<<1, 1>>>(x, 1); }\n", 10, "launch<kernel>"),
    ("kernels/op/op.cu", KERNEL.replace("SHARED(float, part, 32)", "__shared__ float part[32]"), 3, "SHARED("),
    ("kernels/op/op.cu", KERNEL.replace("simt::sync_threads()", "__syncthreads()"), 6, "sync_threads"),
    ("kernels/op/op.cu", KERNEL.replace("x[threadIdx.x] = part[0]", "x[0] = __shfl_xor_sync(~0U, 1, 1)"), 8, "warp operation"),
    ("kernels/op/op.cu", KERNEL.replace("x[threadIdx.x] = part[0]", "atomicAdd(x, 1)"), 8, "simt::atomic_"),
    ("kernels/op/op.cu", KERNEL.replace("x[threadIdx.x] = part[0]", "x[0] = __popc(3)"), 8, "popcount"),
    ("kernels/op/op.cu", KERNEL.replace("x[threadIdx.x] = part[0]", "x[0] = __uint_as_float(3)"), 8, "float_of"),
    ("kernels/op/op.cu", KERNEL.replace("x[threadIdx.x] = part[0]", "x[0] = __fmul_rn(3, 4)"), 8, "multiply_rounded"),
    ("kernels/op/op.cu", KERNEL.replace("x[threadIdx.x] = part[0]", "nvcuda::wmma::fill_fragment(c, 0)"), 8, "fragment.h"),
    ("kernels/op/op.cu", KERNEL.replace("x[threadIdx.x] = part[0]", "ldmatrix(a, part)"), 8, "fragment.h"),
    ("kernels/op/op.cu", KERNEL.replace("x[threadIdx.x] = part[0]", "__stwb(x, part[0])"), 8, "store_vector"),
    ("kernels/op/op.cu", KERNEL.replace("x[threadIdx.x] = part[0]", "*reinterpret_cast<float4*>(x) = v"), 8, "store_vector"),
    ("kernels/op/op.cu", KERNEL.replace("x[threadIdx.x] = part[0]", "__nv_bfloat16 b"), 8, "simt::bfloat16"),
    ("kernels/op/op.cu", KERNEL.replace("x[threadIdx.x] = part[0]", "__pipeline_commit()"), 8, "copy_async"),
    ("kernels/op/op.cu", KERNEL.replace("x[threadIdx.x] = part[0]", "__threadfence()"), 8, "no block waits"),
    ("kernels/op/op.cu", KERNEL.replace("simt::sync_threads()", "simt::multiply_accumulate(c, a, b)")
     .replace("if (mine) part", "if (!mine) return;\n  part"), 5, "return before a barrier"),
    ("kernels/op/op.cu", KERNEL.replace("if (mine) part", "if (!mine) return;\n  part"), 5, "return before a barrier"),
    ("kernels/op/op.cu", KERNEL + "__device__ void wait() { simt::sync_threads(); }\n"
     "__global__ void g(int n) {\n  if (n > 3) { return; }\n  wait();\n}\n", 12, "return before a barrier"),
    ("kernels/op/op_cpu.cc", "int a;\n__global__ void k() {}\n", 2, "in .cu files"),
    ("tensor/a.h", '#pragma once\n#include "kernels/op/op.h"\n', 2, "does not lie below"),
    ("wsi/a.cc", '#include "train/x.h"\n', 1, "does not lie below"),
    ("train/data/a.cc", '#include "train/settings/a.h"\n#include "train/run/x.h"\n', 2, "does not lie below train/data"),
    ("train/figures/a.h", '#include "train/settings/x.h"\n', 1, "does not lie below train/figures"),
    ("train/report/a.h", '#include "train/predict.h"\n', 1, "does not lie below train/report"),
    ("train/attic/a.cc", "", 1, "without a floor"),
    ("kernels/op/op_cpu.cc", '#include "tests/harness/kernel_test.h"\n', 1, "only tests may"),
    ("kernels/op/op_ref.cc", None, 1, "op_ref.cc is missing"),
    ("kernels/op/op.cu", None, 1, "op.cu is missing"),
    ("kernels/other/other.cu", KERNEL, 1, "not built"),
    ("kernels/op/op.h", TABLE.replace("};", "  void (*idle)(int n);\n};"), 3, "op.idle is called by tests and benchmarks only"),
    ("autograd/ops.cc", "void f() { other(device); }\n", 0, "op.forward is called by tests"),
    (ACCEPTED_UNCALLED, "op.forward  # no need\n", 1, "the reason has gone"),
    (ACCEPTED_UNCALLED, "op.backward  # no such function\n", 1, "no function of a table"),
]


def self_test():
    def tree(root, change=None):
        files = {f"kernels/op/{f.format(op='op')}": "" for f in SET}
        files |= {"kernels/op/op.cu": KERNEL, "kernels/op/op.h": TABLE, "autograd/ops.cc": "void f() { op<float>(device).forward(3); }\n",
                  "autograd/rows.cc": "void g() { const auto& rows = other<float>(device); rows.forward(1); }\n", "kernels/meson.build": "operations = ['op']\n",
                  "train/a.cc": '#include "train/report/a.h"\n', "train/report/b.cc": '#include "train/figures/a.h"\n#include "train/report/b.h"\n'}
        if change:
            files[change[0]] = change[1]
        for name, text in files.items():
            if text is not None:
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text)
        return problems(root)

    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        clean = tree(Path(folder))
        if clean:
            print("self-test: the faultless tree is blamed:", *clean, sep="\n  ")
            wrong += 1
    for name, text, line, word in FAULTS:
        with tempfile.TemporaryDirectory() as folder:
            found = tree(Path(folder), (name, text))
            where = name if text is not None else "kernels/meson.build"
            if "without a floor" in word:
                where = str(Path(name).parent)
            if line == 0:  # named where the table is
                where, line = "kernels/op/op.h", 2
            if not any(f.startswith(f"{where}:{line}: ") and word in f for f in found):
                print(f"self-test: {where}:{line} ({word}) was not found; found: {found}")
                wrong += 1
    print(f"lint_dialect: self-test, {len(FAULTS) + 1 - wrong} passed, {wrong} failed")
    return 1 if wrong else 0


def main():
    if "--self-test" in sys.argv:
        return self_test()
    if "--calls" in sys.argv:
        print("\n".join(calls_text()))
        return 0
    if "--rooms" in sys.argv:
        print("\n".join(rooms_text()))
        return 0
    found = problems()
    print("\n".join(found) if found else "lint_dialect: dialect, floors, file sets and callers are as they should be")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
