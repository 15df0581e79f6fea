#!/usr/bin/env python3
"""Counts what the machine code of the kernels does in its inner loops (part of make kernel-table).

Usage: kernel_loops.py BUILD [--write PAGE] [--json FILE]   every kernel of a build's *_cuda.o
       kernel_loops.py --compare BEFORE AFTER               a table of two such JSON files where they differ
       kernel_loops.py --self-test
Needs cuobjdump and nvdisasm (CUDA Toolkit, or the PyPI packages nvidia-cuda-cuobjdump and nvidia-cuda-nvdisasm), c++filt.
Ends with 1 where a kernel stores four neighbouring words one by one without a reason in scripts/accepted_narrow_stores.txt.
"""
import collections
import fnmatch
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from nvcc_checked import nvcc_version, short_names  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
ACCEPTED = ROOT / "scripts" / "accepted_narrow_stores.txt"
ARCHITECTURES = (80, 90)

Instruction = collections.namedtuple("Instruction", "address predicate opcode arguments")

LINE = re.compile(r"\s+/\*([0-9a-f]{4,})\*/\s+(?:(@!?U?P\w+)\s+)?([A-Z][A-Z0-9_.]*)\s*([^;]*);")
LOADS = ("LDS", "LDSM", "LDG", "LD", "LDGSTS", "LDL")
STORES = ("STS", "STG", "ST", "STL")
WORK = ("HMMA", "FFMA", "DFMA", "MUFU")


def disassembled(text):
    """{(function, sm): [Instruction]} of what `cuobjdump -sass` prints."""
    functions, current, sm = {}, None, 0
    for line in text.splitlines():
        if match := re.search(r"code for sm_(\d+)", line):
            sm = int(match.group(1))
        elif match := re.search(r"Function : (\S+)", line):
            current = functions.setdefault((match.group(1), sm), [])
        elif current is not None and (match := LINE.match(line)):
            current.append(Instruction(int(match.group(1), 16), match.group(2) or "", match.group(3), match.group(4).strip()))
    return functions


# ---- Control flow: basic blocks, dominators, natural loops

def target_of(instruction):
    found = re.findall(r"\b0x([0-9a-f]+)\b", instruction.arguments)
    return int(found[-1], 16) if found else None


def successors(code):
    """Of each instruction's index, the indices that can come next."""
    at = {i.address: n for n, i in enumerate(code)}
    meetings = [(i.address, i.arguments.split(",")[0].strip(), target_of(i)) for i in code if i.opcode.startswith("BSSY")]
    result = []
    for n, i in enumerate(code):
        base = i.opcode.split(".")[0]
        always = not i.predicate and "UP" not in i.arguments.split(",")[0] and "P" not in re.sub(r"UR\w*", "", i.arguments.split("0x")[0])
        follow = []
        if base == "BRA":
            follow = [at[t] for t in [target_of(i)] if t in at]
            if not always or ".DIV" in i.opcode:
                follow.append(n + 1)
        elif base == "BSYNC":  # goes on where its BSSY says: the nearest one around it
            around = [(address, target) for address, name, target in meetings if name == i.arguments.strip() and address < i.address]
            follow = [at[target] for address, target in around[-1:] if target in at]
            if i.predicate or not follow:
                follow.append(n + 1)
        elif base == "CALL":  # also how ptxas leaves a loop: a jump to what follows
            follow = [n + 1] + [at[t] for t in [target_of(i)] if t in at]
        elif base in ("EXIT", "RET", "BRX"):
            follow = [n + 1] if i.predicate else []
        else:
            follow = [n + 1]
        result.append([s for s in follow if s < len(code)])
    return result


def natural_loops(code):
    """The loops as sets of indices of instructions; loops with one head are one loop."""
    if not code:
        return []
    follow = successors(code)
    starts = {0} | {s for n, nexts in enumerate(follow) for s in nexts if nexts != [n + 1]} \
        | {n + 1 for n, nexts in enumerate(follow) if nexts != [n + 1] and n + 1 < len(code)}
    order = sorted(starts)
    end_of = dict(zip(order, order[1:] + [len(code)]))
    edges = {b: sorted(set(follow[end_of[b] - 1])) for b in order}
    reached, stack, postorder = set(), [(0, iter(edges[0]))], []
    reached.add(0)
    while stack:
        block, rest = stack[-1]
        for s in rest:
            if s not in reached:
                reached.add(s)
                stack.append((s, iter(edges[s])))
                break
        else:
            postorder.append(block)
            stack.pop()
    number = {b: n for n, b in enumerate(postorder)}
    before = {b: [] for b in reached}
    for b in reached:
        for s in edges[b]:
            before[s].append(b)
    immediate = {0: 0}
    changed = True
    while changed:  # Cooper, Harvey & Kennedy, A Simple, Fast Dominance Algorithm
        changed = False
        for b in reversed(postorder[:-1]):
            fresh = None
            for p in before[b]:
                if p in immediate:
                    if fresh is None:
                        fresh = p
                    else:
                        a, c = p, fresh
                        while a != c:
                            while number[a] < number[c]:
                                a = immediate[a]
                            while number[c] < number[a]:
                                c = immediate[c]
                        fresh = a
            if immediate.get(b) != fresh:
                immediate[b] = fresh
                changed = True

    def dominates(a, b):
        while b != a and b != 0:
            b = immediate[b]
        return a == b

    loops = {}
    for b in reached:
        for head in edges[b]:
            if dominates(head, b):
                body = loops.setdefault(head, {head})
                waiting = [b]
                while waiting:
                    block = waiting.pop()
                    if block not in body:
                        body.add(block)
                        waiting += before[block]
    return [{n for block in body for n in range(block, end_of[block])} for body in loops.values()]


def inner_loops(code):
    loops = natural_loops(code)
    return [loop for loop in loops if not any(other < loop for other in loops)]


# ---- Counts

def width(opcode):
    """Bits that one thread moves."""
    parts = opcode.split(".")
    if parts[0] == "LDSM":
        return "x" + (parts[-1] if parts[-1] in ("2", "4") else "1")
    for part in parts[1:]:
        if part in ("64", "128", "256"):
            return part
        if match := re.fullmatch(r"[US](8|16)", part):
            return match.group(1)
    return "32"


def counted(instructions):
    """{what: how many}: "all", products by their shape, loads and stores by their width."""
    counts = collections.Counter(all=len(instructions))
    for i in instructions:
        parts = i.opcode.split(".")
        if i.predicate == "@!PT":
            continue  # never executed
        if parts[0] == "HMMA":
            counts["HMMA." + parts[1]] += 1
        elif parts[0] in LOADS + STORES:
            counts[f"{parts[0]}.{width(i.opcode)}"] += 1
        elif parts[0] in WORK:
            counts[parts[0]] += 1
    return dict(counts)


def heavier(counts):
    """Order of loops: by their work on tensor cores, then fused multiply-adds, then length."""
    return (sum(n for what, n in counts.items() if what.startswith("HMMA")), counts.get("FFMA", 0), counts["all"])


def narrow_runs(code):
    """How often four neighbouring words are stored one by one where one store could do: in one basic block, from one base
    register, under one predicate."""
    follow = successors(code)
    starts = {s for n, nexts in enumerate(follow) for s in nexts if nexts != [n + 1]}
    runs, places = 0, collections.defaultdict(set)

    def close():
        nonlocal runs
        for offsets in places.values():
            for offset in sorted(offsets):
                quad = {offset + 4 * k for k in range(4)}
                if quad <= offsets:
                    offsets -= quad
                    runs += 1
        places.clear()

    for n, i in enumerate(code):
        if n in starts:
            close()
        if i.opcode.split(".")[0] in ("STG", "ST") and width(i.opcode) == "32":
            address = re.findall(r"\[([^\]]*)\]", i.arguments)[-1]  # behind desc[…]
            base, _, offset = address.rpartition("+") if re.search(r"\+-?0x[0-9a-f]+$", address) else (address, "", "0")
            places[base, i.predicate].add(int(offset, 16))
        if follow[n] != [n + 1]:
            close()
    close()
    return runs


def summary(code):
    loops = [counted([code[n] for n in sorted(loop)]) for loop in inner_loops(code)]
    stores = {what: n for what, n in counted(code).items() if what.split(".")[0] in ("STG", "ST")}
    return {"loop": max(loops, key=heavier) if loops else None, "all": len(code), "stores": stores, "narrow": narrow_runs(code)}


def kernels_of(build, cuobjdump):
    """{file: {kernel: {sm: summary}}}"""
    result = {}
    for path in sorted(build.rglob("*_cuda.o")):
        text = subprocess.run([cuobjdump, "-sass", str(path)], stdout=subprocess.PIPE, text=True, check=True).stdout
        functions = disassembled(text)
        names = short_names({function for function, _ in functions})
        table = {}
        for (function, sm), code in functions.items():
            if sm in ARCHITECTURES:
                table.setdefault(names[function], {})[str(sm)] = summary(code)
        result[path.name.removesuffix("_cuda.o")] = table
    return result


# ---- Pages

def words(counts):
    """`395: 96 HMMA.1688, 12 LDSM.x4, 6 LDGSTS.128`"""
    rank = {name: n for n, name in enumerate(WORK + LOADS + STORES)}
    order = sorted((what for what in counts if what != "all"), key=lambda what: (rank[what.split(".")[0]], what))
    return f"{counts['all']}: " + (", ".join(f"{counts[what]} {what}" for what in order) or "no access, no product")


def cell(use):
    if use is None:
        return ""
    return words(use["loop"]) if use["loop"] else f"no loop, {use['all']}"


def store_words(by_sm):
    use = by_sm.get("90") or by_sm.get("80")
    stores = ", ".join(f"{n} {what}" for what, n in sorted(use["stores"].items()))
    return stores + (f", **{use['narrow']} runs of four**" if use["narrow"] else "")


def page(kernels, entries):
    lines = ["# What the inner loops do", "",
             "Written by `make kernel-table` from the machine code (nvcc " + nvcc_version() + ", `scripts/kernel_loops.py`). Of each kernel, the inner loop with the most work: on tensor",
             "cores (HMMA with its shape), else in fused multiply-adds, else the longest; its instructions, products, loads and stores with the bits that a thread",
             "moves (LDSM.x4: ldmatrix of four 8 × 8 matrices; LDGSTS: cp.async). A kernel without a loop has its length. The last column counts the stores to global memory of the whole kernel on sm_90.",
             "What the figures mean for time: [gpu_predictions.md](gpu_predictions.md).", "",
             "| file | kernel | " + " | ".join(f"sm_{sm}" for sm in ARCHITECTURES) + " | stores |", "|" + "---|" * (len(ARCHITECTURES) + 3)]
    for source, table in kernels.items():
        for kernel, by_sm in sorted(table.items()):
            cells = " | ".join(cell(by_sm.get(str(sm))) for sm in ARCHITECTURES)
            lines.append(f"| {source} | `{kernel}` | {cells} | {store_words(by_sm)} |")
    if entries:
        lines += ["", "## Four neighbours stored one by one, and why", "", "| kernel | runs at most | reason |", "|---|---|---|"]
        lines += [f"| `{pattern}` | {most} | {reason} |" for pattern, most, reason in entries]
    return "\n".join(lines) + "\n"


def accepted(text):
    """[(pattern, runs, reason)]"""
    entries = []
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            pattern, most, reason = line.split(maxsplit=2)
            entries.append((pattern, int(most), reason))
    return entries


def unexplained(kernels, entries):
    for source, table in kernels.items():
        for kernel, by_sm in sorted(table.items()):
            for sm, use in by_sm.items():
                if use["narrow"] and not any(fnmatch.fnmatchcase(f"{source}:{kernel}", pattern) and use["narrow"] <= most
                                             for pattern, most, _ in entries):
                    yield (f"{source}: {kernel}: stores four neighbouring words one by one, {use['narrow']} times on sm_{sm}; "
                           f"use simt::store_vector, or give the reason in scripts/accepted_narrow_stores.txt")


def compare(before, after):
    """Rows of the kernels whose loops or stores changed on sm_90."""
    lines = ["| file | kernel | loop before | loop after | stores before | stores after |", "|---|---|---|---|---|---|"]
    for source, table in after.items():
        for kernel, by_sm in sorted(table.items()):
            old = before.get(source, {}).get(kernel)
            if old is None or "90" not in by_sm or "90" not in old or old["90"] == by_sm["90"]:
                continue
            cells = [cell(old["90"]), cell(by_sm["90"]), store_words(old), store_words(by_sm)]
            lines.append(f"| {source} | `{kernel}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def count(arguments):
    cuobjdump = shutil.which("cuobjdump") or shutil.which("cuobjdump", path="/usr/local/cuda/bin")
    if cuobjdump is None:
        print("kernel-loops: skipped, no cuobjdump (CUDA Toolkit, or nvidia-cuda-cuobjdump and nvidia-cuda-nvdisasm from PyPI)")
        return 0
    kernels = kernels_of(Path(arguments[0]), cuobjdump)
    if not kernels:
        print("kernel-loops: no kernel was compiled by nvcc in this build", file=sys.stderr)
        return 1
    entries = accepted(ACCEPTED.read_text())
    if "--json" in arguments:
        Path(arguments[arguments.index("--json") + 1]).write_text(json.dumps(kernels, indent=1))
    if "--write" in arguments:
        Path(arguments[arguments.index("--write") + 1]).write_text(page(kernels, entries))
    problems = list(unexplained(kernels, entries))
    unused = [e[0] for e in entries
              if not any(fnmatch.fnmatchcase(f"{source}:{kernel}", e[0]) for source, table in kernels.items() for kernel in table)]
    problems += [f"kernel-loops: no kernel has the name of this accepted run of stores: {pattern}" for pattern in unused]
    print(*problems, sep="\n", file=sys.stderr, end="\n" if problems else "")
    print(f"kernel-loops: {sum(map(len, kernels.values()))} kernels, {len(problems)} problems")
    return 1 if problems else 0


# ---- Self-test ------------------------------------------------------------------------------------------------------

LISTING = """
	code for sm_90
		Function : _Z5outerPf
        /*0000*/                   LDC R1, c[0x0][0x28] ;
        /*0010*/                   BSSY B0, 0x00a0 ;
        /*0020*/                   LDG.E.128 R4, desc[UR4][R2.64] ;
        /*0030*/                   LDSM.16.M88.4 R8, [R3] ;
        /*0040*/                   HMMA.1688.F32.TF32 R12, R4, R8, R12 ;
        /*0050*/                   FFMA R1, R2, R3, R4 ;
        /*0054*/              @!PT LDS RZ, [RZ] ;
        /*0060*/              @P0  BRA 0x0030 ;
        /*0070*/                   IADD3 R0, R0, 0x1, RZ ;
        /*0080*/              @!P1 BRA 0x0020 ;
        /*0090*/                   BSYNC B0 ;
        /*00a0*/              @P2  BRA 0x0100 ;
        /*00b0*/                   STG.E desc[UR4][R2.64], R4 ;
        /*00c0*/                   STG.E desc[UR4][R2.64+0x4], R4 ;
        /*00d0*/                   STG.E desc[UR4][R2.64+0xc], R4 ;
        /*00e0*/                   STG.E desc[UR4][R2.64+0x8], R4 ;
        /*00f0*/                   EXIT ;
        /*0100*/                   STG.E.128 desc[UR4][R2.64], R4 ;
        /*0110*/                   BRA 0x00f0 ;
        /*0120*/                   BRA 0x0120 ;
"""


def self_test():
    functions = disassembled(LISTING)
    code = functions["_Z5outerPf", 90]
    use = summary(code)
    predicated = [i._replace(predicate="@P3") if i.address == 0xc0 else i for i in code]
    kernels = {"one": {"outer": {"90": use}}}
    checks = {
        "instructions": len(code) == 20,
        "two loops, and not the jump back from below nor the padding": len(natural_loops(code)) == 2,
        "the inner loop alone": use["loop"] == {"all": 5, "LDSM.x4": 1, "HMMA.1688": 1, "FFMA": 1},
        "stores of the whole kernel": use["stores"] == {"STG.32": 4, "STG.128": 1},
        "four neighbours in any order": use["narrow"] == 1,
        "not under different predicates": narrow_runs(predicated) == 0,
        "an unexplained run": list(unexplained(kernels, [])) != [],
        "an explained run": not list(unexplained(kernels, accepted("# list\none:out* 1 the reason\n"))),
        "more runs than explained": list(unexplained(kernels, accepted("one:outer 0 the reason"))) != [],
        "widths": [width(o) for o in ("LDG.E", "LDG.E.64.CONSTANT", "LDGSTS.E.BYPASS.128", "STG.E.U8", "LDS.128")]
        == ["32", "64", "128", "8", "128"],
        "words": words({"all": 9, "LDS.32": 2, "HMMA.1688": 1}) == "9: 1 HMMA.1688, 2 LDS.32",
        "an unchanged kernel is no row": compare(kernels, kernels).count("\n") == 1,
    }
    wrong = [name for name, good in checks.items() if not good]
    print(f"kernel_loops: self-test, {len(checks) - len(wrong)} passed, {len(wrong)} failed {wrong or ''}")
    return 1 if wrong else 0


def main():
    arguments = sys.argv[1:]
    if arguments == ["--self-test"]:
        return self_test()
    if len(arguments) == 3 and arguments[0] == "--compare":
        print(compare(*(json.loads(Path(name).read_text()) for name in arguments[1:])))
        return 0
    if not arguments or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    return count(arguments)


if __name__ == "__main__":
    sys.exit(main())
