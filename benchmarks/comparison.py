"""How long comparisons take: two runs, every pair of 100, and what 100 runs get wrong together; medians.

    python benchmarks/comparison.py [DATA]     # DATA: the folder with imagenet-val/ (or ERRATA_SHARED_DATA)

50,000 images; the runs are the eight published ones, perturbed. Exits 1 when a budget is broken.
"""

import resource
import sys
from functools import partial

from published import broken, medians, perturbed_runs, read

from analysis.comparison import compare, contrast_label_sets
from analysis.many_runs import agreement_matrix, compare_all, shared_mistakes

BUDGETS = {"one comparison": 0.1, "all pairs": 10.0, "peak memory": 2.0}


def main() -> int:
    data = read(sys.argv[1:])
    if data is None:
        return 2
    runs = perturbed_runs(data.runs, 100)
    a, b = runs["run 0"], runs["run 1"]
    taken: dict[str, float] = {}
    print("| what | label set | runs | seconds |")
    print("|---|---|---|---|")
    for labels in data.label_sets:
        _, seconds = medians(partial(compare, a, b, labels, data.truth), 11)
        taken["one comparison"] = max(seconds, taken.get("one comparison", 0.0))
        print(f"| one comparison | {labels.name} | 2 | {seconds:.3f} |")
    work = partial(contrast_label_sets, a, b, data.label_sets[0], data.label_sets[2], data.truth)
    print(f"| difference of the differences | original, expert | 2 | {medians(work, 11)[1]:.3f} |")
    for labels in data.label_sets:
        for n in (25, 50, 100):
            some = dict(list(runs.items())[:n])
            frame, seconds = medians(partial(compare_all, some, labels, data.truth), 3)
            print(f"| all {frame.height:,} pairs | {labels.name} | {n} | {seconds:.2f} |")
        taken["all pairs"] = max(seconds, taken.get("all pairs", 0.0))
    print(f"| agreement matrix | | 100 | {medians(partial(agreement_matrix, runs), 3)[1]:.2f} |")
    work = partial(shared_mistakes, runs, data.label_sets[1], at_least=0.9)
    print(f"| shared mistakes | real | 100 | {medians(work, 3)[1]:.2f} |")
    taken["peak memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\nPeak memory {taken['peak memory']:.2f} GB, the 100 runs themselves included.")
    over = broken(taken, BUDGETS)
    print("\n".join(over) or "Within every budget.")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
