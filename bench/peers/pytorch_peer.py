#!/usr/bin/env python3
"""PyTorch's side of bench/against_pytorch.py: the same network, loss and weights, in every setting that might be its fastest.

  pytorch_peer.py TASK FIXTURE.npz --write   draw weights and inputs, compute the answers in float64, write them
  pytorch_peer.py TASK FIXTURE.npz           check every variant against these answers, print "ready VARIANT…"; then for
                                             each variant named on a line of standard input one repetition: "WALL CPU" seconds
TASK is inference, training or mil."""
import math
import sys
import time

import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

LAYOUTS = {"nchw": torch.contiguous_format, "nhwc": torch.channels_last}
TEMPERATURE = 0.07


def resnet(head):
    """ResNet-18 with InstanceNorm (no affine parameters, no running statistics) and a projection head, or no head."""
    network = torchvision.models.resnet18(norm_layer=nn.InstanceNorm2d)
    network.fc = nn.Sequential(nn.Linear(512, 512), nn.ReLU(inplace=True), nn.Linear(512, 256)) if head else nn.Identity()
    return network


def supervised_contrastive(embeddings, labels):
    """Khosla et al. 2020, equation 2: every row is an anchor, rows of its label are its positives."""
    z = F.normalize(embeddings, dim=1)
    others = ~torch.eye(len(z), dtype=torch.bool)
    similarity = (z @ z.T / TEMPERATURE).masked_fill(~others, -math.inf)
    log_probability = similarity - torch.logsumexp(similarity, dim=1, keepdim=True)
    positives = (labels[:, None] == labels[None, :]) & others
    return -(log_probability.masked_fill(~positives, 0).sum(1) / positives.sum(1)).mean()


class Dsmil(nn.Module):
    """DSMIL as published maps every instance by v. Attention sums to one, so that `pooled_first` may map the pooled vector
    instead: the same answer with half of the work, which PyTorch is given too."""

    def __init__(self):
        super().__init__()
        fc = nn.Sequential(nn.Linear(512, 1))
        self.i_classifier = nn.ModuleDict({"fc": fc})
        self.b_classifier = nn.ModuleDict({
            "lin": nn.Sequential(nn.Linear(512, 512), nn.ReLU()),
            "q": nn.Sequential(nn.Linear(512, 128), nn.Tanh()),
            "v": nn.Sequential(nn.Dropout(0.0), nn.Linear(512, 512)),
            "fcc": nn.Conv1d(1, 1, kernel_size=512)})
        self.pooled_first = False

    def forward(self, x):
        branch = self.b_classifier
        logits = self.i_classifier["fc"](x)                                       # (N,1)
        u = branch["lin"](x)                                                      # (N,512)
        q = branch["q"](u)                                                        # (N,128)
        critical = q[logits.argmax(0)]                                            # (1,128)
        attention = torch.softmax(q @ critical.T / math.sqrt(128), dim=0)         # (N,1)
        vector = branch["v"](attention.T @ u) if self.pooled_first else attention.T @ branch["v"](u)  # (1,512)
        return branch["fcc"](vector[None]).view(1), logits


def ranked_pair_loss(model, positive, negative):
    targets = torch.tensor([1.0, 0.0], dtype=positive.dtype)
    bags, logits = zip(model(positive), model(negative))
    bag = F.binary_cross_entropy_with_logits(torch.cat(bags), targets)
    largest = F.binary_cross_entropy_with_logits(torch.stack([logits[0].max(), logits[1].max()]), targets)
    top = [x.flatten().topk(10).values.mean() for x in logits]
    return 0.5 * bag + 0.5 * largest + 0.1 * F.relu(1 - top[0] + top[1])


class Inference:
    """16 images of 224 pixels through the encoder."""

    def draw(self):
        return resnet(head=False), {"images": torch.rand(16, 3, 224, 224)}

    def answers(self, network, inputs):
        with torch.inference_mode():
            return {"features": network.eval()(inputs["images"])}

    def variants(self):
        return [f"{layout}-{mode}-2" for layout in LAYOUTS for mode in ("eager", "frozen")]

    def prepare(self, variant, fixture):
        layout, mode, threads = variant.split("-")
        network = load(resnet(head=False), fixture).eval().to(memory_format=LAYOUTS[layout])
        images = torch.from_numpy(fixture["images"]).contiguous(memory_format=LAYOUTS[layout])
        if mode == "frozen":
            network = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(network, images)))

        def run():
            with torch.inference_mode():
                return network(images)

        def check():
            features = run().numpy()
            return np.abs(features - fixture["features"]).max() / np.abs(fixture["features"]).max()

        return run, check, int(threads)


class Training:
    """Forward, supervised contrastive loss, backward and SGD on 32 images of 224 pixels (two views of 16)."""

    def draw(self):
        return resnet(head=True), {"images": torch.rand(32, 3, 224, 224), "labels": (torch.arange(32) % 16 >= 8).int()}

    def step(self, network, images, labels):
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01, weight_decay=1e-4)

        def run():
            loss = supervised_contrastive(network(images), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            return loss.item()

        return run

    def answers(self, network, inputs):
        run = self.step(network.train(), inputs["images"], inputs["labels"])
        return {"losses": torch.tensor([run() for _ in range(2)], dtype=torch.float64)}

    def variants(self):
        return [f"{layout}-2" for layout in LAYOUTS]

    def prepare(self, variant, fixture):
        layout, threads = variant.split("-")
        network = load(resnet(head=True), fixture).train().to(memory_format=LAYOUTS[layout])
        images = torch.from_numpy(fixture["images"]).contiguous(memory_format=LAYOUTS[layout])
        run = self.step(network, images, torch.from_numpy(fixture["labels"]))
        return run, lambda: loss_error(run, fixture["losses"]), int(threads)


class Mil:
    """One pair of bags of 2,000 x 512: DSMIL forward, bag + largest instance + ranking loss, backward and Adam."""

    def draw(self):
        bags = {name: torch.randn(2000, 512) for name in ("positive", "negative")}
        bags["positive"][:100] += 0.5
        return Dsmil(), bags

    def step(self, model, positive, negative):
        optimizer = torch.optim.Adam(model.parameters(), lr=2e-4, weight_decay=1e-4)

        def run():
            loss = ranked_pair_loss(model, positive, negative)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            return loss.item()

        return run

    def answers(self, model, inputs):
        run = self.step(model, inputs["positive"], inputs["negative"])
        return {"losses": torch.tensor([run() for _ in range(3)], dtype=torch.float64)}

    def variants(self):
        return [f"{algebra}-{threads}" for algebra in ("published", "pooledfirst") for threads in (1, 2)]

    def prepare(self, variant, fixture):
        algebra, threads = variant.split("-")
        model = load(Dsmil(), fixture)
        model.pooled_first = algebra == "pooledfirst"
        run = self.step(model, *(torch.from_numpy(fixture[name]) for name in ("positive", "negative")))
        return run, lambda: loss_error(run, fixture["losses"]), int(threads)


TASKS = {"inference": (Inference, 1e-4), "training": (Training, 1e-2), "mil": (Mil, 1e-2)}


def load(module, fixture):
    module.load_state_dict({name[8:]: torch.from_numpy(fixture[name]) for name in fixture.files if name.startswith("weights.")})
    return module


def loss_error(run, truth):
    """Largest difference in a few steps, relative to how far they move the loss: wrong gradients show."""
    return np.abs(np.array([run() for _ in truth]) - truth).max() / abs(truth[0] - truth[-1])


def write(task, path):
    torch.manual_seed(1)
    torch.set_num_threads(2)
    module, inputs = task.draw()
    arrays = {f"weights.{name}": tensor.numpy().copy() for name, tensor in module.state_dict().items()}
    arrays |= {name: tensor.numpy() for name, tensor in inputs.items()}
    doubles = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in inputs.items()}
    arrays |= {name: tensor.numpy() for name, tensor in task.answers(module.double(), doubles).items()}
    np.savez(path, **arrays)


def serve(name, task, tolerance, path):
    fixture = np.load(path)
    prepared = {}
    for variant in task.variants():
        run, check, threads = task.prepare(variant, fixture)
        torch.set_num_threads(threads)
        error = check()
        if not error <= tolerance:
            sys.exit(f"pytorch_peer: {name} {variant} is off by {error:.1e}, allowed {tolerance:.0e}")
        prepared[variant] = run, threads
    print("ready", *prepared, flush=True)
    for line in sys.stdin:
        run, threads = prepared[line.strip()]
        torch.set_num_threads(threads)
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        print(time.perf_counter() - wall, time.process_time() - cpu, flush=True)


def main():
    if len(sys.argv) not in (3, 4) or sys.argv[1] not in TASKS or sys.argv[3:] not in ([], ["--write"]):
        sys.exit("usage: pytorch_peer.py inference|training|mil FIXTURE.npz [--write]")
    task, tolerance = TASKS[sys.argv[1]]
    if len(sys.argv) == 4:
        write(task(), sys.argv[2])
    else:
        serve(sys.argv[1], task(), tolerance, sys.argv[2])


main()
