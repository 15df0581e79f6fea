#!/usr/bin/env python3
"""Tables of `train --ablation` over seeds, as Markdown, from the runs' result.json.

Usage: scripts/ablation_table.py RUN...        (one run folder a seed)

Each seed draws its own phantom set, initial weights and batches, so the spread over seeds holds all of them. Means carry
the 95 % t interval over seeds; figures of single runs carry the intervals that the run computed over its test slides.
"""
import json
import math
import statistics
import sys

# 97.5 % quantiles of Student's t by degrees of freedom.
T_QUANTILE = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
METRICS = [("slide_auc", "slide AUC"), ("instance_auc", "instance AUC"), ("instance_average_precision", "instance AP")]


def metrics_of(variant):
    return {m["name"]: m for m in variant["metrics"]}


def mean_with_interval(values):
    mean = statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:.3f} [one seed]"
    half = T_QUANTILE[len(values) - 1] * statistics.stdev(values) / math.sqrt(len(values))
    return f"{mean:.3f} ± {half:.3f}"


def epoch_cost(variant):
    """(images, seconds) of one fine-tuning epoch, over the variant's rounds; None without fine-tuning."""
    rounds = [r for r in variant["rounds"] if r["finetune_epochs"] > 0]
    epochs = sum(r["finetune_epochs"] for r in rounds)
    if epochs == 0:
        return None
    return sum(r["images"] for r in rounds) / epochs, sum(r["finetune_seconds"] for r in rounds) / epochs


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def means_table(runs, names):
    rows = []
    for name in names:
        row = [name]
        for metric, _ in METRICS:
            row.append(mean_with_interval([metrics_of(run[name])[metric]["value"] for run in runs]))
        costs = [epoch_cost(run[name]) for run in runs]
        if None in costs:
            row += ["–", "–"]
        else:
            row += [f"{statistics.fmean(c[0] for c in costs):.0f}", f"{statistics.median(c[1] for c in costs):.1f}"]
        rows.append(row)
    return table(["variant"] + [m[1] for m in METRICS] + ["images / epoch", "s / epoch (median)"], rows)


def differences_table(runs, names):
    pairs = [("its2clr", "mil"), ("hnm", "mil"), ("hnm", "its2clr"), ("its2clr+ranking", "mil+ranking"),
             ("hnm+ranking", "mil+ranking"), ("hnm+ranking", "its2clr+ranking"), ("mil+ranking", "mil"),
             ("its2clr+ranking", "its2clr"), ("hnm+ranking", "hnm"), ("hnm", "random"), ("hnm", "unmined"), ("random", "unmined"), ("hnm+ranking", "random+ranking"),
             ("hnm+ranking", "unmined+ranking"), ("random+ranking", "unmined+ranking")]
    rows = []
    for a, b in pairs:
        if a not in names or b not in names:
            continue
        row = [f"{a} − {b}"]
        for metric, _ in METRICS:
            row.append(mean_with_interval([metrics_of(run[a])[metric]["value"] - metrics_of(run[b])[metric]["value"]
                                           for run in runs]))
        rows.append(row)
    return table(["difference, paired by seed"] + [m[1] for m in METRICS], rows)


def seeds_table(runs, names, seeds):
    def figure(metric):
        low, high = metric["interval_95"]
        return f"{metric['value']:.3f} [{low:.2f}, {high:.2f}]"

    rows = [[str(seed), name] + [figure(metrics_of(run[name])[metric]) for metric, _ in METRICS] +
            [str(run[name]["selected_round"])]
            for seed, run in zip(seeds, runs) for name in names]
    return table(["seed", "variant"] + [m[1] for m in METRICS] + ["selected round"], rows)


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    results = []
    for folder in sys.argv[1:]:
        with open(f"{folder}/result.json") as file:
            results.append(json.load(file))
    results.sort(key=lambda r: r["config"]["seed"])
    runs = [{v["name"]: v for v in r["variants"]} for r in results]
    names = [v["name"] for v in results[0]["variants"]]
    seconds = [sum(s["seconds"] for s in r["stages"]) for r in results]
    print(means_table(runs, names))
    print(differences_table(runs, names))
    print(seeds_table(runs, names, [r["config"]["seed"] for r in results]))
    print(f"{len(results)} seeds, {sum(seconds) / 60:.0f} minutes in all stages together; median {statistics.median(seconds) / 60:.1f} a seed.")


if __name__ == "__main__":
    main()
