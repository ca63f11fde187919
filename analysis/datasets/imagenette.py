"""Imagenette: real photographs of ten ImageNet classes, as torchvision downloads them.

The second choice for a demo, where the cutouts cannot be had: nobody knows its whole truth.
"""

import shutil
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import polars as pl
from filelock import FileLock

from analysis.datasets import Listing, problems_frame, records_frame
from analysis.errors import InputError
from analysis.labels.classes import imagenet_1k
from analysis.progress import Progress, silent

SPLITS = ("train", "val")
SOURCE_NOTE = (
    "Imagenette (version 2, shorter side 320) is fast.ai's selection of ten easily told ImageNet classes, "
    "https://github.com/fastai/imagenette, downloaded by torchvision. The photographs are ImageNet's, for "
    "research and teaching; their rights remain with their owners. It divides ImageNet's images anew: most of its "
    "photographs, those of its split val included, come from the images that ImageNet models were trained on "
    "(column imagenet_split), so accuracy on them is mostly training accuracy."
)
_FOLDER = "imagenette2-320"  # as torchvision names it


def read(cache: Path, *, split: str = "val", progress: Progress = silent) -> Listing:
    """The photographs of one split, downloaded into `cache` at first (about 340 MB) and kept there.

    Keys and paths are ``val/n01440764/n01440764_1234.JPEG``; classes are those of ImageNet-1k. The metadata column
    imagenet_split says which part of ImageNet a photograph comes from, by its name: "train" or "val".
    Raises InputError where the split does not exist, or the set cannot be had.
    """
    if split not in SPLITS:
        raise InputError(f"Imagenette has no split {split!r}; its splits are {' and '.join(SPLITS)}.")
    root = cache / _FOLDER
    if not root.is_dir():
        _download(cache, progress)
    paths = sorted(path.relative_to(root).as_posix() for path in (root / split).glob("*/*.JPEG"))
    if not paths:
        raise InputError(f"{root} holds no photographs of split {split!r}; delete the folder to have it fetched again.")
    classes = imagenet_1k()
    names = [path.rsplit("/", 1)[1] for path in paths]
    labels = classes.resolve(pl.Series([path.split("/")[1] for path in paths]), where=f"the folders of {root / split}")
    origin = ["val" if name.startswith("ILSVRC2012_val_") else "train" for name in names]
    records = records_frame(paths, paths, labels, [split] * len(paths)).with_columns(
        pl.Series("imagenet_split", origin, dtype=pl.String)
    )
    return Listing(root=root, records=records, classes=classes, problems=problems_frame([]), layout="imagenette")


def _download(cache: Path, progress: Progress) -> None:
    """Let torchvision download and unpack the set beside its place, and put it there when it is complete."""
    from torchvision.datasets import Imagenette  # it loads torch, which only this step needs

    failure: list[Exception] = []

    def download(folder: Path) -> None:
        try:
            Imagenette(folder, split="val", size="320px", download=True)
        except Exception as error:  # whatever it is, it is told below
            failure.append(error)

    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f"{_FOLDER}.lock"):
            if (cache / _FOLDER).is_dir():  # somebody else downloaded it while we waited
                return
            for left_over in cache.glob(f".{_FOLDER}-*"):  # of a download that was killed: we hold the lock
                shutil.rmtree(left_over, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=f".{_FOLDER}-", dir=cache) as scratch:
                thread = threading.Thread(target=download, args=(Path(scratch),), daemon=True)
                thread.start()
                while thread.is_alive():
                    progress("Downloading Imagenette", _bytes_in(Path(scratch)), None)
                    thread.join(0.5)
                if failure:
                    raise InputError(
                        f"Imagenette could not be downloaded: {failure[0]}. Try again with a network, take the "
                        "demo's own set (leave --dataset out), or use photographs of your own: "
                        "errata create WS --images DIR."
                    ) from failure[0]
                (Path(scratch) / _FOLDER).rename(cache / _FOLDER)
    except OSError as error:
        raise InputError(f"Imagenette could not be stored in {cache}: {error}.") from error


def _bytes_in(folder: Path) -> int:
    """Bytes of the files directly in a folder (the archive on its way, not what is unpacked from it)."""
    total = 0
    for path in folder.iterdir():
        with suppress(OSError):  # it may vanish at any moment
            total += path.stat().st_size if path.is_file() else 0
    return total
