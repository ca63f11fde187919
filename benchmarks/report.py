"""How long a report takes: 100 runs x 50,000 images x 3 label sets, and how time grows with runs and images.

    python benchmarks/report.py [DATA]     # DATA: the folder with imagenet-val/ (or ERRATA_SHARED_DATA)

Every metric that needs top-k only, with intervals. The runs are the eight published ones, perturbed.
Prints a table of medians and exits 1 when a budget is broken.
"""

import resource
import sys
from functools import partial

from published import broken, first_items, medians, perturbed_runs, read

from analysis.outcomes import outcomes
from analysis.report import tabulate

REPEATS = 3
BUDGETS = {"import of a run": 0.3, "report of 100 runs": 5.0, "outcomes of 100 runs": 5.0, "peak memory": 2.0}


def main() -> int:
    data = read(sys.argv[1:])
    if data is None:
        return 2
    runs = perturbed_runs(data.runs, 100)
    taken = {"import of a run": data.seconds_a_run}
    print("| what | runs | images | seconds |")
    print("|---|---|---|---|")
    print(f"| import of a run | 1 | {len(data.truth):,} | {data.seconds_a_run:.2f} |")
    for n_runs, n_items in ((25, 50_000), (50, 50_000), (100, 12_500), (100, 25_000), (100, 50_000)):
        some = {name: first_items(run, n_items) for name, run in list(runs.items())[:n_runs]}
        work = partial(tabulate, some, data.label_sets, data.truth)
        frame, seconds = medians(work, REPEATS)
        assert frame["run"].n_unique() == n_runs
        print(f"| report, {len(data.label_sets)} label sets | {n_runs} | {n_items:,} | {seconds:.2f} |")
    taken["report of 100 runs"] = seconds
    _, taken["outcomes of 100 runs"] = medians(
        lambda: [outcomes(run, labels, data.truth) for run in runs.values() for labels in data.label_sets], 1
    )
    print(f"| outcomes, {len(data.label_sets)} label sets | 100 | 50,000 | {taken['outcomes of 100 runs']:.2f} |")
    taken["peak memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\n{frame.height:,} rows; peak memory {taken['peak memory']:.2f} GB, the 100 runs themselves included.")
    over = broken(taken, BUDGETS)
    print("\n".join(over) or "Within every budget.")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
