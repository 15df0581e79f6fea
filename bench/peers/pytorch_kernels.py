#!/usr/bin/env python3
"""PyTorch on a GPU, at the operations and shapes of bench/gpu/: the same names, so that its rows stand beside ours.

  pytorch_kernels.py --out FILE [--seconds 60] [--only gemm]
  pytorch_kernels.py --out FILE --rehearse      small shapes on the cpu: shows that each operation works

Eager mode, float32 as PyTorch has it by default ("PyTorch") and with TF32 allowed ("PyTorch_tf32"). Times by CUDA events around as many calls as fill
20 ms, five times, after warm-up; data stays in L2 where it fits ("warm"). Needs torch; writes FILE after each operation."""
import argparse
import json
import os
import sys
import time

try:
    import torch
    import torch.nn.functional as F
except ImportError as error:
    sys.exit(f"PyTorch is not here: {error}")

REPETITIONS = 5
FILL_SECONDS = 0.02
DEVICE = "cuda"


def uniform(*shape, low=-1.0, high=1.0):
    return torch.rand(*shape, device=DEVICE) * (high - low) + low


def gemm(m, n, k):
    a, b = uniform(m, k), uniform(n, k)  # (m,k), (n,k)
    out = torch.empty(m, n, device=DEVICE)
    return lambda: torch.mm(a, b.t(), out=out)


def conv2d_tensors(n, h, w, c, k, r, stride, padding):
    x = uniform(n, c, h, w).to(memory_format=torch.channels_last)
    weight = uniform(k, c, r, r).to(memory_format=torch.channels_last)
    side = [(size + 2 * padding - r) // stride + 1 for size in (h, w)]
    dy = uniform(n, k, *side).to(memory_format=torch.channels_last)
    return x, weight, dy


def conv2d_forward(*shape):
    x, weight, _ = conv2d_tensors(*shape)
    return lambda: F.conv2d(x, weight, stride=shape[6], padding=shape[7])


def conv2d_backward(mask, *shape):
    x, weight, dy = conv2d_tensors(*shape)
    stride, padding = [shape[6]] * 2, [shape[7]] * 2
    return lambda: torch.ops.aten.convolution_backward(dy, x, weight, None, stride, padding, [1, 1], False, [0, 0], 1, mask)


def conv2d_epilogue(*shape):
    x, weight, residual = conv2d_tensors(*shape)
    bias = uniform(shape[4])
    return lambda: F.relu(F.conv2d(x, weight, bias, stride=shape[6], padding=shape[7]) + residual)


def conv2d_pixels(n, h, w, c, k, r, stride, padding):
    pixels = torch.randint(0, 256, (n, c, h, w), device=DEVICE, dtype=torch.uint8).to(memory_format=torch.channels_last)
    weight = uniform(k, c, r, r).to(memory_format=torch.channels_last)
    mean = torch.tensor([0.485, 0.456, 0.406], device=DEVICE).view(1, 3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225], device=DEVICE).view(1, 3, 1, 1)
    return lambda: F.conv2d((pixels.float() / 255 - mean) / deviation, weight, stride=stride, padding=padding)


def supcon_loss(z, labels, temperature=0.07):
    """Khosla et al. 2020, the loss outside of the logarithm, as everybody writes it in PyTorch."""
    logits = z @ z.t() / temperature  # (N,N)
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    logits = logits.masked_fill(itself, float("-inf"))
    positives = (labels[:, None] == labels[None, :]) & ~itself
    log_probabilities = logits - torch.logsumexp(logits, 1, keepdim=True)
    sums = torch.where(positives, log_probabilities, 0).sum(1)
    return -(sums / positives.sum(1).clamp(min=1)).mean()


def supcon_tensors(n, d):
    z = F.normalize(torch.randn(n, d, device=DEVICE), dim=1)
    return z, (torch.rand(n, device=DEVICE) < 0.2).int()


def supcon_forward(n, d):
    z, labels = supcon_tensors(n, d)

    def run():
        with torch.no_grad():
            supcon_loss(z, labels)

    return run


def supcon_backward(n, d):
    """Backward alone: the forward pass's graph is kept."""
    z, labels = supcon_tensors(n, d)
    z.requires_grad_()
    loss = supcon_loss(z, labels)
    return lambda: torch.autograd.grad(loss, z, retain_graph=True)


def rank_loss_bags(pairs, bag, mixed):
    sizes = [bag + ((b % 3 - 1) * bag // 4 if mixed else 0) for b in range(2 * pairs)]
    return [uniform(size) for size in sizes]


def rank_loss(pairs, bag, top, mixed, gradient):
    """max(0, 1 − (mean of a positive bag's top scores − mean of its negative bag's)), one pair after the other, as published code does."""
    bags = [logits.requires_grad_(gradient) for logits in rank_loss_bags(pairs, bag, mixed)]

    def run():
        losses = [F.relu(1 - (torch.topk(bags[2 * p], top).values.mean() - torch.topk(bags[2 * p + 1], top).values.mean())) for p in range(pairs)]
        loss = torch.stack(losses)
        if gradient:
            torch.autograd.grad(loss.sum(), bags)

    return run


def dsmil(n, q_width, v_width):
    q, v = uniform(n, q_width), uniform(n, v_width)  # (N,Q), (N,V)
    critical = torch.zeros(1, dtype=torch.long, device=DEVICE)

    def run():
        attention = torch.softmax(q @ q[critical].t() / q_width**0.5, 0)  # (N,1)
        return attention.t() @ v

    return run


def quantile(n):
    """torch.quantile refuses more than 16 million numbers: the two order statistics by kthvalue, in the end on the host as ours are."""
    scores = uniform(n, low=0.0)
    below = int(0.8 * (n - 1))

    def run():
        pair = torch.stack([torch.kthvalue(scores, below + 1).values, torch.kthvalue(scores, below + 2).values])
        return pair.tolist()

    return run


def compact(n):
    scores = uniform(n, low=0.0)
    return lambda: torch.nonzero(scores >= 0.8)  # its size comes to the host, as ours does


def norm_tensors(n, pixels, c):
    side = int(round(pixels**0.5))
    x = uniform(n, c, side, pixels // side).to(memory_format=torch.channels_last)
    return x, uniform(c), uniform(c)


def instance_norm_forward(n, pixels, c):
    x, gamma, beta = norm_tensors(n, pixels, c)
    return lambda: F.relu(F.instance_norm(x, weight=gamma, bias=beta))


def instance_norm_backward(n, pixels, c):
    x, gamma, beta = norm_tensors(n, pixels, c)
    inputs = [tensor.requires_grad_() for tensor in (x, gamma, beta)]
    y = F.relu(F.instance_norm(x, weight=gamma, bias=beta))
    dy = uniform(*y.shape).to(memory_format=torch.channels_last)
    return lambda: torch.autograd.grad(y, inputs, dy, retain_graph=True)


def instance_norm_average(n, pixels, c):
    x, _, _ = norm_tensors(n, pixels, c)
    residual = uniform(*x.shape).to(memory_format=torch.channels_last)
    return lambda: F.relu(F.instance_norm(x) + residual).mean((2, 3))


CONVOLUTIONS = {  # bench/gpu/dense.cc: N,H,W,C,K,R,stride,padding
    "64x56x56x64_k64_3x3_s1": (64, 56, 56, 64, 64, 3, 1, 1),
    "64x224x224x3_k64_7x7_s2": (64, 224, 224, 3, 64, 7, 2, 3),
    "64x56x56x64_k128_3x3_s2": (64, 56, 56, 64, 128, 3, 2, 1),
    "64x28x28x128_k128_3x3_s1": (64, 28, 28, 128, 128, 3, 1, 1),
    "64x56x56x64_k128_1x1_s2": (64, 56, 56, 64, 128, 1, 2, 0),
    "64x7x7x512_k512_3x3_s1": (64, 7, 7, 512, 512, 3, 1, 1),
}


def cases():
    """(operation/shape, maker, arguments), the most telling first."""
    first = list(CONVOLUTIONS)[0]
    yield "gemm/4096x4096x4096", gemm, (4096, 4096, 4096)
    for index, (name, shape) in enumerate(CONVOLUTIONS.items()):
        yield f"conv2d_forward/{name}", conv2d_forward, shape
        yield f"conv2d_backward_data/{name}", conv2d_backward, ([True, False, False], *shape)
        yield f"conv2d_backward_weights/{name}", conv2d_backward, ([False, True, False], *shape)
        if index == 0:  # then everything else, then the other layers
            for rows in (8192, 1024, 16384):
                yield f"supcon_forward/{rows}x128", supcon_forward, (rows, 128)
                yield f"supcon_backward/{rows}x128", supcon_backward, (rows, 128)
            for bag in (2000, 20000):
                yield f"rank_loss_forward/16x2x{bag}", rank_loss, (16, bag, 10, True, False)
            for n in (100000, 20000, 2000):
                yield f"dsmil_forward/{n}x128+512", dsmil, (n, 128, 512)
            for n in (10000000, 1000000, 100000000):
                yield f"quantile/{n}", quantile, (n,)
                yield f"compact/{n}", compact, (n,)
            for shape in ((64, 12544, 64), (64, 3136, 64), (64, 49, 512)):
                yield f"instance_norm_forward/{'x'.join(map(str, shape))}", instance_norm_forward, shape
                yield f"instance_norm_backward/{'x'.join(map(str, shape))}", instance_norm_backward, shape
            yield "instance_norm_average/256x49x512", instance_norm_average, (256, 49, 512)
    yield f"conv2d_epilogue/{first}", conv2d_epilogue, CONVOLUTIONS[first]
    yield "conv2d_pixels/64x224x224x3_k64_7x7_s2", conv2d_pixels, CONVOLUTIONS["64x224x224x3_k64_7x7_s2"]
    yield "gemm/100352x64x576", gemm, (100352, 64, 576)
    yield "gemm/2000x128x512", gemm, (2000, 128, 512)


class HostEvent:
    """torch.cuda.Event's part in a rehearsal."""

    def record(self):
        self.at = time.perf_counter()

    def synchronize(self):
        pass

    def elapsed_time(self, other):
        return (other.at - self.at) * 1e3


def microseconds(run):
    """REPETITIONS times of one call, and the calls between two events."""
    on_gpu = DEVICE == "cuda"
    for _ in range(3):
        run()
    start, stop = (torch.cuda.Event(enable_timing=True) if on_gpu else HostEvent() for _ in range(2))

    def time_of(calls):
        if on_gpu:
            torch.cuda.synchronize()
        start.record()
        for _ in range(calls):
            run()
        stop.record()
        stop.synchronize()
        return start.elapsed_time(stop) * 1e3 / calls

    calls = max(1, min(1000, int(FILL_SECONDS * 1e6 / max(time_of(1), 1)))) if on_gpu else 1
    return [time_of(calls) for _ in range(REPETITIONS)], calls


def small(argument):
    """A rehearsal's size in place of this one."""
    return min(argument, 24) if isinstance(argument, int) and not isinstance(argument, bool) else argument


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--only", default="", help="operations whose names begin so")
    parser.add_argument("--rehearse", action="store_true", help="small shapes on the cpu")
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    if options.rehearse:
        global DEVICE
        DEVICE = "cpu"
    elif not torch.cuda.is_available():
        sys.exit("PyTorch finds no GPU")
    torch.manual_seed(1)
    torch.backends.cudnn.benchmark = True  # its own choice by measurement: the strongest peer
    rows, missing = [], []

    def write():
        told = {"torch": {"version": torch.__version__, "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(),
                          "device": torch.cuda.get_device_name() if DEVICE == "cuda" else "cpu"}, "benchmarks": rows, "not_reached": missing}
        temporary = f"{options.out}.{os.getpid()}"
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(told, file)
        os.replace(temporary, options.out)

    for name, maker, arguments in cases():
        if not name.startswith(options.only):
            continue
        if time.monotonic() > end:
            missing.append(name)
            continue
        if options.rehearse:
            arguments = [small(argument) for argument in arguments]
        products = name.startswith(("gemm", "conv2d", "supcon", "dsmil"))
        for peer, allowed in (("PyTorch", False), ("PyTorch_tf32", True)) if products else (("PyTorch", False),):
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
            full_name = f"{name}/{peer}/warm"
            try:
                times, calls = microseconds(maker(*arguments))
                rows += [{"run_name": full_name, "real_time": value, "iterations": calls} for value in times]
            except RuntimeError as error:
                rows.append({"run_name": full_name, "error_message": f"failed: {str(error).splitlines()[0]}"})
            if DEVICE == "cuda":
                torch.cuda.empty_cache()
        write()
    write()


if __name__ == "__main__":
    main()
