"""The demo set: scenes composed from photographic cutouts, of which the whole truth is known.

A scene shows one to three cutouts on a generated background. As in ImageNet each has one original label,
mostly of its largest object; the truth is every class that is in it. Like ImageNet the set has images
without any valid class, wrong labels and near-duplicates, but here each is on record (``flaw``,
``label_from`` and ``duplicate_of`` in the metadata). Everything follows from the seed, byte for byte.
"""

import dataclasses
import io
import multiprocessing
import os
import re
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl
from filelock import FileLock
from numpy.random import Generator, SeedSequence, default_rng
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from analysis.datasets import stamps as stamp_table
from analysis.datasets.backgrounds import BACKGROUNDS, SETTINGS, Background, image_of
from analysis.errors import InputError
from analysis.progress import Progress, silent

if TYPE_CHECKING:
    from analysis.datasets import Listing

WRONG_LABELS = 0.04  # shares of all scenes, exact to the rounding
NEAR_DUPLICATES = 0.02
NO_VALID_CLASS = 0.04
ANOTHER_OBJECT = 0.15  # share of the scenes of several objects that are labelled by a smaller one
MIN_VISIBLE = 0.35  # an object of which less is to be seen would not count; scenes are laid out so that none is


class Truth(NamedTuple):
    """What is in each scene (closed: a class that is not listed is not there)."""

    labels: pl.DataFrame  # key str, class u32: one row for each class of each scene
    items: pl.DataFrame  # key str, scored bool (false: no class of ImageNet is in it), exhaustive bool (true)


@dataclass(frozen=True, eq=False)
class Scenes:
    """A composed set: image files under `root`, what an importer needs to know of them, and the truth.

    `records` has one row a scene: key and path str, label u32 (the original label), split str|null, and
    - objects u32: how many cutouts it shows, those of no class included;
    - label_from str: "largest object", "another object", "similar class" (a scene of no valid class is labelled
      as what its largest object looks like: a fact about such scenes, not a planted flaw), "wrong: similar
      class", "wrong: any class";
    - flaw str|null: "wrong label" (a class that is not in the scene) or "near duplicate";
    - duplicate_of str|null: key of the scene that a near duplicate repeats;
    - background str; largest_share f64: the part of the image that the largest object covers;
    - least_visible f64: the visible part of the object that is hidden or cut off most.
    """

    root: Path
    records: pl.DataFrame
    truth: Truth

    @property
    def listing(self) -> "Listing":
        """The set as any other dataset reader gives it."""
        from analysis.datasets import Listing, problems_frame
        from analysis.labels.classes import imagenet_1k

        return Listing(
            root=self.root,
            records=self.records,
            classes=imagenet_1k(),
            problems=problems_frame([]),
            layout="cutouts",
        )


def compose(
    stamps: Mapping[str, Path],
    out: Path,
    *,
    scenes: int = 1500,
    size: int = 320,
    seed: int = 0,
    workers: int | None = None,
    progress: Progress = silent,
) -> Scenes:
    """Compose scenes of `size` × `size` pixels from cutouts into ``out/scene-00000.jpg`` and so on.

    `stamps` maps names of the table of cutouts to their files, as :func:`analysis.datasets.stamps.find` gives
    it. The files are the same for any number of workers (None: one a core). The folder appears when it is
    complete; earlier scenes in it are replaced. Raises InputError where `out` holds anything else or cannot be
    written, a cutout cannot be read, or there are too few of them.
    """
    if size < 32:
        raise InputError(f"Scenes of {size} pixels are too small to show anything; 32 is the least.")
    plans = plan_scenes(stamps, scenes, seed)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(out.parent / f".{out.name}.lock"):
            _check_replaceable(out)
            drawn = _write_folder(plans, load_cutouts(stamps, size), out, size, seed, workers, progress)
    except OSError as error:
        raise InputError(f"The scenes could not be written to {out}: {error}. Nothing of them was kept.") from error
    return _frames(out, plans, drawn)


def _check_replaceable(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; name a folder for the scenes.")
    for path in out.iterdir() if out.exists() else ():
        if not re.fullmatch(r"scene-\d+\.jpg", path.name):
            raise InputError(f"{out} holds other things than scenes ({path.name!r}); name a new or empty folder.")


# ---- what is to be seen: drawn up for the whole set at once, so that shares and class balance are exact


@dataclass(frozen=True)
class Plan:
    """One scene before it is drawn."""

    stamps: tuple[str, ...]  # names of its cutouts, the largest first
    classes: tuple[int | None, ...]  # of each cutout; None: of no class
    label: int
    label_from: str
    flaw: str | None = None
    duplicate_of: int | None = None


def plan_scenes(names: Sequence[str] | Mapping[str, Path], scenes: int, seed: int) -> list[Plan]:
    """Draw up `scenes` scenes from the cutouts of these names; see :class:`Scenes` for what they hold."""
    rows = stamp_table.table().filter(pl.col("stamp").is_in(list(names)))
    known = rows.filter(pl.col("label").is_not_null())
    by_class = {
        c: known.filter(pl.col("label") == c)["stamp"].to_list() for c in known["label"].unique(maintain_order=True)
    }
    unknown = rows.filter(pl.col("label").is_null())["stamp"].to_list()
    class_of = dict(rows.select("stamp", "label").iter_rows())
    near = dict(rows.select("stamp", "near").iter_rows())
    if scenes < 1 or len(by_class) < 5:
        raise InputError(
            f"Cannot compose {scenes} scenes from cutouts of {len(by_class)} classes: it takes at least one scene "
            "and five classes. Give a folder with more of the cutouts, or let them be fetched."
        )
    # A spawn key keeps this stream apart from those of the scenes, SeedSequence([seed, i]).
    rng = default_rng(SeedSequence(seed, spawn_key=(0,)))
    classes = list(by_class)

    n_copies, n_wrong = round(NEAR_DUPLICATES * scenes), round(WRONG_LABELS * scenes)
    n_none = round(NO_VALID_CLASS * scenes) if len(unknown) >= 3 else 0
    order = rng.permutation(scenes).tolist()
    copies, rest = order[:n_copies], order[n_copies:]
    empty, labelled = rest[:n_none], rest[n_none:]
    counts = rng.choice([1, 2, 3], size=scenes, p=[0.5, 0.33, 0.17]).tolist()
    several = [i for i in labelled[n_wrong:] if counts[i] > 1]
    by_another = set(several[: round(ANOTHER_OBJECT * len(several))])
    turns = -(-len(labelled) // len(classes))
    dealt = np.concatenate([rng.permutation(classes) for _ in range(turns)]).tolist()  # each class as often as any

    def others(count: int, taken: set[int]) -> list[str]:
        """More cutouts of classes not yet taken, one in seven of no class."""
        chosen: list[str] = []
        while len(chosen) < count:
            pool = unknown if unknown and rng.random() < 1 / 7 else by_class[int(rng.choice(classes))]
            name = str(rng.choice(pool))
            if name not in chosen and class_of[name] not in taken:
                chosen.append(name)
                taken |= {class_of[name]} - {None}
        return chosen

    plans: dict[int, Plan] = {}

    def put(i: int, shown: Sequence[str], label: int, label_from: str, flaw: str | None = None) -> None:
        plans[i] = Plan(tuple(shown), tuple(class_of[name] for name in shown), label, label_from, flaw)

    for i in empty:
        shown = rng.choice(unknown, size=counts[i], replace=False).tolist()
        put(i, shown, near[shown[0]], "similar class")
    for number, i in enumerate(labelled):
        label = dealt[number]
        name = str(rng.choice(by_class[label]))
        if number < n_wrong:
            similar = number % 2 == 0 and near[name] in by_class
            taken = {label, near[name]} if similar else {label}
            shown = [name, *others(counts[i] - 1, taken)]
            present = {class_of[n] for n in shown}
            given = near[name] if similar else int(rng.choice([c for c in classes if c not in present]))
            put(i, shown, given, "wrong: similar class" if similar else "wrong: any class", "wrong label")
        elif i in by_another:
            larger = str(rng.choice(by_class[int(rng.choice([c for c in classes if c != label]))]))
            put(i, [larger, name, *others(counts[i] - 2, {label, class_of[larger]})], label, "another object")
        else:
            put(i, [name, *others(counts[i] - 1, {label})], label, "largest object")
    sources = rng.choice(labelled[n_wrong:], size=n_copies, replace=False).tolist() if n_copies else []
    for i, source in zip(copies, sources, strict=True):
        plans[i] = dataclasses.replace(plans[source], flaw="near duplicate", duplicate_of=source)
    return [plans[i] for i in range(scenes)]


# ---- drawing: a scene depends on its plan, the seed and its number only, so any process may draw any scene


@dataclass(frozen=True, eq=False)
class Drawing:
    """One scene as drawn."""

    image: Image.Image
    background: str
    visible: list[NDArray[np.bool_]]  # (size, size) of each cutout, in the plan's order
    whole: list[int]  # pixels of each cutout, hidden and cut off ones included


def draw(plan: Plan, cutouts: Mapping[str, Image.Image], size: int, rng: Generator) -> Drawing:
    """Draw one scene (no duplicate) of `size` × `size` pixels."""
    kind = max((start for start in SETTINGS if plan.stamps[0].startswith(start)), key=len)
    name = str(rng.choice(SETTINGS[kind]))
    background = BACKGROUNDS[name]
    pixels, horizon = background.paint(rng, size)
    sprites = _lay_out([cutouts[stamp] for stamp in plan.stamps], size, horizon, background, rng)

    canvas = image_of(pixels)
    # What stands nearer has its foot lower in the image; on a table top small things lie on large ones.
    front = sorted(range(len(sprites)), key=lambda i: sprites[i].bottom if horizon else i)
    covered = np.zeros((size, size), bool)
    visible = [covered] * len(sprites)
    for i in front:
        _cast_shadow(canvas, sprites[i], background.shadow)
        canvas.paste(sprites[i].image.convert("RGB"), sprites[i].corner, sprites[i].image.getchannel("A"))
    for i in reversed(front):
        mask = sprites[i].mask(size)
        visible[i] = mask & ~covered
        covered = covered | mask
    return Drawing(_develop(canvas, rng), name, visible, [_opaque(sprite.image) for sprite in sprites])


@dataclass(frozen=True, eq=False)
class _Sprite:
    """A cutout as it stands in the scene."""

    image: Image.Image  # RGBA
    corner: tuple[int, int]  # left, top; may lie outside the frame

    @property
    def bottom(self) -> int:
        return self.corner[1] + self.image.height

    def mask(self, size: int) -> NDArray[np.bool_]:
        frame = Image.new("L", (size, size))
        frame.paste(self.image.getchannel("A"), self.corner)
        return np.asarray(frame) > 127


def _opaque(cutout: Image.Image) -> int:
    """Pixels that it covers."""
    return int((np.asarray(cutout.getchannel("A")) > 127).sum())


def _lay_out(
    cutouts: Sequence[Image.Image], size: int, horizon: float, background: Background, rng: Generator
) -> list[_Sprite]:
    """Size, turn and place cutouts so that each is smaller than the one before and well visible."""
    images: list[Image.Image] = []
    area = rng.uniform(0.04, 0.17) if len(cutouts) == 1 else rng.uniform(0.055, 0.14)
    for cutout in cutouts:
        if rng.random() < 0.5:
            cutout = cutout.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        opaque = _opaque(cutout)
        limit = min(3.0, 0.86 * size / max(cutout.size))  # enlarged further, small cutouts turn to mush
        scale = min(float(np.sqrt(area * size**2 / opaque)), limit)
        area = scale**2 * opaque / size**2 * rng.uniform(0.45, 0.7)  # of the next, at most
        images.append(_transform(cutout, scale, rng.normal(0, background.tilt), rng.uniform(0.88, 1.1)))
    while True:
        alphas = [np.asarray(image.getchannel("A"))[::4, ::4] > 127 for image in images]
        for _ in range(40):
            sprites = [_Sprite(image, _corner(image, size, horizon, rng)) for image in images]
            if _least_visible(sprites, alphas, size, horizon) >= 0.8:
                return sprites
        images = [image.resize([max(1, round(0.9 * side)) for side in image.size]) for image in images]


def _transform(cutout: Image.Image, scale: float, angle: float, gain: float) -> Image.Image:
    width, height = (max(4, round(side * scale)) for side in cutout.size)
    image = cutout.resize((width, height), Image.Resampling.BICUBIC)
    image = image.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    box = image.getchannel("A").point(lambda a: 255 * (a > 16)).getbbox()
    bands = image.crop(box).split()
    return Image.merge("RGBA", [*(band.point(lambda v: v * gain) for band in bands[:3]), bands[3]])


def _corner(image: Image.Image, size: int, horizon: float, rng: Generator) -> tuple[int, int]:
    """A random place, a little of the cutout possibly out of the frame; on the ground where there is ground."""
    left = rng.uniform(-0.05 * image.width, size - 0.95 * image.width)
    if horizon:
        highest = max((horizon + 0.12) * size, 0.97 * image.height)
        top = rng.uniform(min(highest, 0.97 * size), 0.98 * size) - image.height
    else:
        top = rng.uniform(-0.04 * image.height, size - 0.96 * image.height)
    return round(left), round(top)


def _least_visible(sprites: Sequence[_Sprite], alphas: Sequence[NDArray[np.bool_]], size: int, horizon: float) -> float:
    """The smallest visible part of any sprite, on a quarter of the resolution."""
    covered = np.zeros((-(-size // 4), -(-size // 4)), bool)
    least = 1.0
    for i in sorted(range(len(sprites)), key=lambda i: sprites[i].bottom if horizon else i, reverse=True):
        left, top = (side // 4 for side in sprites[i].corner)
        alpha = alphas[i]
        inside = covered[max(top, 0) : max(top + alpha.shape[0], 0), max(left, 0) : max(left + alpha.shape[1], 0)]
        y, x = max(-top, 0), max(-left, 0)
        part = alpha[y : y + inside.shape[0], x : x + inside.shape[1]]
        if total := int(alpha.sum()):  # none where it is but a few pixels large
            least = min(least, int((part & ~inside).sum()) / total)
        inside |= part
    return least


def _cast_shadow(canvas: Image.Image, sprite: _Sprite, kind: str) -> None:
    size, alpha = canvas.width, sprite.image.getchannel("A")
    left, top = sprite.corner
    if kind == "none":
        return
    if kind == "ground":  # a flat, soft patch where it stands
        height = max(3, round(0.16 * alpha.height))
        alpha = alpha.resize((round(1.06 * alpha.width), height), Image.Resampling.BOX)
        left, top = left - round(0.03 * alpha.width), sprite.bottom - round(0.72 * height)
        blur, strength = 0.014, 0.62
    else:  # lying: away from the light
        left, top = left + round(0.015 * size), top + round(0.025 * size)
        blur, strength = 0.018, 0.45
    margin = round(3 * blur * size)
    shade = Image.new("L", (alpha.width + 2 * margin, alpha.height + 2 * margin))
    shade.paste(alpha, (margin, margin))
    shade = shade.filter(ImageFilter.GaussianBlur(blur * size)).point(lambda v: v * strength)
    canvas.paste((18, 16, 22), (left - margin, top - margin), shade)


def _develop(canvas: Image.Image, rng: Generator) -> Image.Image:
    """What a camera adds: a darker rim, a tint of the light, a little noise."""
    size = canvas.width
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
    rim = 1 - rng.uniform(0.02, 0.12) * (x * x + y * y)
    light = (1 + rng.normal(0, 0.015, 3)).astype(np.float32) * rng.uniform(0.94, 1.04)
    grain = rng.standard_normal((size, size), dtype=np.float32) * rng.uniform(1, 3.5)
    pixels = np.asarray(canvas, np.float32) * (rim[..., None] * light) + grain[..., None]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def load_cutouts(stamps: Mapping[str, Path], size: int) -> dict[str, Image.Image]:
    """Decode cutouts as RGBA without their empty margins, no larger than twice what a scene can use."""
    cutouts = {}
    for name, path in stamps.items():
        try:
            with Image.open(path) as file:
                image = file.convert("RGBA")
        except (OSError, Image.DecompressionBombError) as error:
            raise InputError(f"The cutout {path} cannot be read ({error}); fetch it again or remove it.") from error
        box = image.getchannel("A").point(lambda a: 255 * (a > 16)).getbbox()
        if box is None or not _opaque(image):
            raise InputError(f"The cutout {path} is transparent all over; remove it.")
        image = image.crop(box)
        image.thumbnail((2 * size, 2 * size), Image.Resampling.LANCZOS)
        cutouts[name] = image
    return cutouts


def draw_scene(
    i: int, plans: Sequence[Plan], cutouts: Mapping[str, Image.Image], size: int, seed: int
) -> tuple[Drawing, int]:
    """Draw scene `i`, a duplicate as its source shot again; returns it and the JPEG quality to store it at."""
    plan, rng = plans[i], default_rng(SeedSequence([seed, i]))
    if plan.duplicate_of is None:
        return draw(plan, cutouts, size, rng), int(rng.integers(88, 95))
    source, _ = draw_scene(plan.duplicate_of, plans, cutouts, size, seed)
    cut = max(1, round(rng.uniform(0.01, 0.025) * size))
    left, top = rng.integers(0, 2 * cut + 1, 2).tolist()
    box = (left, top, left + size - 2 * cut, top + size - 2 * cut)
    gain = float(rng.choice([rng.uniform(0.88, 0.95), rng.uniform(1.05, 1.12)]))
    image = source.image.crop(box).resize((size, size), Image.Resampling.BICUBIC).point(lambda v: v * gain)
    visible = [mask[box[1] : box[3], box[0] : box[2]] for mask in source.visible]
    return dataclasses.replace(source, image=image, visible=visible), int(rng.integers(72, 86))


# ---- a set's files, written by several processes


class _Drawn(NamedTuple):
    background: str
    largest_share: float
    least_visible: float


def _key(i: int) -> str:
    return f"scene-{i:05d}.jpg"


@dataclass(frozen=True, eq=False)
class _Writer:
    """Draws scenes into a folder; each process makes one."""

    plans: Sequence[Plan]
    cutouts: Mapping[str, Image.Image]
    folder: Path
    size: int
    seed: int

    def __call__(self, i: int) -> _Drawn:
        drawing, quality = draw_scene(i, self.plans, self.cutouts, self.size, self.seed)
        data = io.BytesIO()  # on a full disk Pillow's own writing may cut a file short without a word
        drawing.image.save(data, "JPEG", quality=quality)
        (self.folder / _key(i)).write_bytes(data.getvalue())
        return _Drawn(
            drawing.background,
            max(float(mask.mean()) for mask in drawing.visible),
            min(int(m.sum()) / whole for m, whole in zip(drawing.visible, drawing.whole, strict=True)),
        )


_writer: _Writer | None = None  # of a worker process


def _start_worker(writer: _Writer) -> None:
    global _writer
    parent = multiprocessing.parent_process()
    assert parent is not None
    # A worker whose parent was killed would wait for work for ever.
    threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()
    _writer = writer


def _write(i: int) -> _Drawn:
    assert _writer is not None
    return _writer(i)


def _write_folder(
    plans: Sequence[Plan],
    cutouts: Mapping[str, Image.Image],
    out: Path,
    size: int,
    seed: int,
    workers: int | None,
    progress: Progress,
) -> list[_Drawn]:
    """Write every scene beside `out` and put the finished folder in its place. The caller holds the lock."""
    draft, replaced = (out.parent / f".{out.name}.{part}" for part in ("composing", "replaced"))
    for left_over in (draft, replaced):  # of a run that was killed
        shutil.rmtree(left_over, ignore_errors=True)
    draft.mkdir()
    try:
        drawn: list[_Drawn] = []
        progress("Composing scenes", 0, len(plans))
        for outcome in _write_all(_Writer(plans, cutouts, draft, size, seed), workers or os.cpu_count() or 1):
            drawn.append(outcome)
            progress("Composing scenes", len(drawn), len(plans))
        if out.exists():
            out.rename(replaced)
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)
    return drawn


def _write_all(writer: _Writer, workers: int) -> Iterator[_Drawn]:
    """Write every scene, telling of them in order."""
    numbers = range(len(writer.plans))
    if workers == 1:
        yield from map(writer, numbers)
        return
    # Spawned, as polars has threads, which a fork does not survive.
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, spawn, initializer=_start_worker, initargs=(writer,))
    try:
        yield from pool.map(_write, numbers, chunksize=4)
    finally:
        pool.shutdown(cancel_futures=True)


def _frames(out: Path, plans: Sequence[Plan], drawn: Sequence[_Drawn]) -> Scenes:
    keys = [_key(i) for i in range(len(plans))]
    records = pl.DataFrame(
        {
            "key": keys,
            "path": keys,
            "label": pl.Series([plan.label for plan in plans], dtype=pl.UInt32),
            "split": pl.Series([None] * len(plans), dtype=pl.String),
            "objects": pl.Series([len(plan.stamps) for plan in plans], dtype=pl.UInt32),
            "label_from": [plan.label_from for plan in plans],
            "flaw": pl.Series([plan.flaw for plan in plans], dtype=pl.String),
            "duplicate_of": pl.Series(
                [None if plan.duplicate_of is None else _key(plan.duplicate_of) for plan in plans], dtype=pl.String
            ),
            "background": [scene.background for scene in drawn],
            "largest_share": [round(scene.largest_share, 4) for scene in drawn],
            "least_visible": [round(scene.least_visible, 4) for scene in drawn],
        }
    )
    present = [sorted({c for c in plan.classes if c is not None}) for plan in plans]
    labels = (
        pl.DataFrame({"key": keys, "class": pl.Series(present, dtype=pl.List(pl.UInt32))})
        .explode("class")
        .drop_nulls("class")
    )
    items = pl.DataFrame({"key": keys, "scored": [bool(p) for p in present], "exhaustive": [True] * len(keys)})
    return Scenes(out, records, Truth(labels, items))
