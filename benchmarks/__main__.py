"""Run every measurement: `python -m benchmarks [--images DIR] [--data DIR]`.

`--images` is a folder of photographs (default: the demo's scenes), `--data` the folder of real labels and predictions;
what needs a folder that is not there is left out and said so.
"""

import argparse
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description="Run every measurement.")
    parser.add_argument("--images", type=Path, default=Path("demo/.images"))
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        runs: list[tuple[str, list[str], Path | None]] = [
            ("reading", [str(given.images), scratch], given.images),
            *(
                ("inference", [str(given.images), "--model", f"efficientnet-lite:{size}"], given.images)
                for size in (0, 1, 2)
            ),
            ("report", [str(given.data)], given.data),
            ("comparison", [str(given.data)], given.data),
            ("search", [], None),
            ("space", [], None),
            ("review", ["demo"], Path("demo")),
        ]
        print(f"{platform.machine()}, Python {platform.python_version()}")
        for name, arguments, needs in runs:
            print(f"\n== {name} {' '.join(arguments)}", flush=True)
            if needs is not None and not needs.is_dir():
                print(f"left out: there is no folder {needs}")
                continue
            subprocess.run([sys.executable, str(HERE / f"{name}.py"), *arguments], check=False)


if __name__ == "__main__":
    main()
