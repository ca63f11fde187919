"""How fast image files are read into a workspace: files a second by `scan`, header mode or `--verify`.

    python benchmarks/reading.py IMAGES SCRATCH [--files 20000] [--workers N] [--verify]

IMAGES is a folder of real photographs; they are hard-linked (copied where that fails) into SCRATCH until there
are as many files as asked for. The files come from the page cache: this measures the processor's part.
"""

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

from analysis.datasets.scan import find_files, scan


def replicate(images: Path, folder: Path, count: int) -> None:
    """Fill `folder` with `count` files linked to, or copied from, those in `images`, a thousand a subfolder."""
    sources = find_files(images).images
    for number in range(count):
        source = images / sources[number % len(sources)]
        target = folder / f"{number // 1000:05}" / f"{number:08}{source.suffix}"
        target.parent.mkdir(exist_ok=True)
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)


def main() -> None:
    parser = argparse.ArgumentParser(description="files a second by scan")
    parser.add_argument("images", type=Path)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--verify", action="store_true")
    options = parser.parse_args()
    options.scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.scratch) as name:
        folder = Path(name)
        replicate(options.images, folder, options.files)
        start = time.perf_counter()
        files = find_files(folder)
        listed = time.perf_counter()
        cpu = time.process_time()
        frame = scan(folder, files.images, verify=options.verify, workers=options.workers)
        end = time.perf_counter()
        cpu = time.process_time() - cpu
    if frame["problem"].null_count() != options.files:
        raise SystemExit(f"files with problems: {frame.drop_nulls('problem')}")
    size = sum(frame["bytes"]) / 1e6
    print(
        f"{options.files:,} files, {size:,.0f} MB: listed in {listed - start:.2f} s; "
        f"{'decoded' if options.verify else 'read'} in {end - listed:.2f} s = "
        f"{options.files / (end - listed):,.0f} files/s, {size / (end - listed):,.0f} MB/s, {cpu:.2f} CPU seconds"
    )


if __name__ == "__main__":
    main()
