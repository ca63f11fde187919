"""The demo set: what is drawn is what the truth says, and the same seed gives the same bytes."""

import colorsys
import hashlib
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import SeedSequence, default_rng
from PIL import Image, ImageDraw

from analysis.datasets import cutouts, stamps
from analysis.datasets.cutouts import Scenes, compose, plan_scenes
from analysis.errors import InputError

NO_NETWORK = ("Could not resolve", "Could not connect", "Temporary failure", "timed out", "Unable to connect")
TABLE = stamps.table()
NAMES = TABLE["stamp"].to_list()
CLASS_OF = dict(TABLE.select("stamp", "label").iter_rows())
NEAR = dict(TABLE.select("stamp", "near").iter_rows())


@pytest.fixture(scope="session")
def real(pytestconfig: pytest.Config) -> dict[str, Path]:
    """The real cutouts, fetched once and kept in pytest's cache."""
    if shutil.which("apt-get") is None:
        pytest.skip("no apt-get here to fetch the cutouts with")
    try:
        return stamps.find(stamps.fetch(pytestconfig.cache.mkdir("stamps")))
    except InputError as error:
        if any(sign in str(error) for sign in NO_NETWORK):
            pytest.skip(f"no network to fetch the cutouts from: {error}")
        raise


# Eight cutouts of different classes and four of none, each a plain shape of a hue of its own.
MADE = TABLE.drop_nulls("label").unique("label", maintain_order=True)["stamp"].to_list()[:8]
MADE += TABLE.filter(pl.col("label").is_null())["stamp"].to_list()[:4]
HUE = {name: i / len(MADE) for i, name in enumerate(MADE)}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("made")
    paths = {}
    for i, name in enumerate(MADE):
        colour = tuple(round(255 * v) for v in colorsys.hsv_to_rgb(HUE[name], 1, 0.85))
        image = Image.new("RGBA", (60 + 7 * i, 110 - 5 * i))
        shape = (5, 5, image.width - 6, image.height - 6)
        draw = ImageDraw.Draw(image)
        (draw.ellipse if i % 2 else draw.rectangle)(shape, fill=(*colour, 255))
        paths[name] = folder / f"{i}.png"
        image.save(paths[name])
    return paths


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="session")
def small(made: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    return compose(made, tmp_path_factory.mktemp("small") / "scenes", scenes=100, size=96, seed=3, workers=1)


# ---- the plan


def test_the_default_set_is_balanced_and_its_shares_exact() -> None:
    plans = plan_scenes(NAMES, 1500, 0)
    flaws = Counter(plan.flaw for plan in plans)
    assert flaws == {None: 1410, "wrong label": 60, "near duplicate": 30}
    fresh = [plan for plan in plans if plan.duplicate_of is None]
    given_by = Counter(plan.label_from for plan in fresh)
    assert (given_by["similar class"], given_by["wrong: similar class"], given_by["wrong: any class"]) == (
        60,
        30,
        30,
    )
    several = sum(len(plan.stamps) > 1 for plan in fresh if plan.label_from in ("largest object", "another object"))
    assert given_by["another object"] == round(0.15 * several)
    labels = Counter(plan.label for plan in plans)
    assert set(labels) == set(TABLE["label"].drop_nulls())
    assert min(labels.values()) >= 8
    assert set(NAMES) == {name for plan in plans for name in plan.stamps}
    sizes = Counter(len(plan.stamps) for plan in plans)
    assert set(sizes) == {1, 2, 3}
    assert sizes[1] > sizes[2] > sizes[3] > 150


@settings(max_examples=40, deadline=None)
@given(
    scenes=st.integers(1, 300),
    seed=st.integers(0, 2**32),
    names=st.sets(st.sampled_from(NAMES), min_size=60).map(sorted),
)
def test_every_plan_keeps_its_promises(scenes: int, seed: int, names: list[str]) -> None:
    plans = plan_scenes(names, scenes, seed)
    assert len(plans) == scenes
    assert sum(plan.flaw == "wrong label" for plan in plans) == round(0.04 * scenes)
    assert sum(plan.flaw == "near duplicate" for plan in plans) == round(0.02 * scenes)
    sources = [plan.duplicate_of for plan in plans if plan.duplicate_of is not None]
    assert len(set(sources)) == len(sources)
    for plan in plans:
        present = [CLASS_OF[name] for name in plan.stamps]
        assert plan.classes == tuple(present)
        assert set(plan.stamps) <= set(names)
        known = [c for c in present if c is not None]
        assert len(set(known)) == len(known)
        assert len(set(plan.stamps)) == len(plan.stamps)
        if plan.label_from == "largest object":
            assert plan.label == present[0]
        elif plan.label_from == "another object":
            assert plan.label in present[1:]
            assert present[0] is not None
        elif plan.label_from == "similar class":
            assert not known
            assert plan.label == NEAR[plan.stamps[0]]
        else:
            assert plan.flaw == "wrong label"
            assert plan.label not in present
            if plan.label_from == "wrong: similar class":
                assert plan.label == NEAR[plan.stamps[0]]
        assert (plan.flaw == "near duplicate") == (plan.duplicate_of is not None)
        if plan.duplicate_of is not None:
            source = plans[plan.duplicate_of]
            assert source.flaw is None
            assert (source.stamps, source.label, source.label_from) == (plan.stamps, plan.label, plan.label_from)


# ---- what is drawn


def hues_seen(image: Image.Image) -> dict[str, int]:
    """Pixels of each made cutout's hue, found in the image alone."""
    hue, saturation, value = np.asarray(image.convert("HSV"), dtype=float).transpose(2, 0, 1) / 255
    vivid = (saturation > 0.6) & (value > 0.35)
    nearest = np.round(hue * len(MADE)).astype(int) % len(MADE)
    return {name: int((vivid & (nearest == i)).sum()) for i, name in enumerate(MADE)}


@pytest.fixture
def plain_background(monkeypatch: pytest.MonkeyPatch) -> None:
    """Grey everywhere, so that whatever has a hue is a cutout."""

    def grey(rng: np.random.Generator, size: int) -> tuple[np.ndarray, float]:
        return np.full((size, size, 3), 0.7, np.float32), float(rng.choice([0.0, 0.4]))

    for name, background in cutouts.BACKGROUNDS.items():
        monkeypatch.setitem(cutouts.BACKGROUNDS, name, cutouts.Background(grey, background.shadow, background.tilt))


def test_truth_is_what_the_pixels_show(made: dict[str, Path], tmp_path: Path, plain_background: None) -> None:
    scenes = compose(made, tmp_path / "scenes", scenes=150, size=160, seed=5, workers=1)
    plans = plan_scenes(made, 150, 5)
    truth = dict(scenes.truth.labels.group_by("key").agg("class").iter_rows())
    decoded = cutouts.load_cutouts(made, 160)
    for i, (plan, row) in enumerate(zip(plans, scenes.records.iter_rows(named=True), strict=True)):
        seen = hues_seen(Image.open(scenes.root / row["path"]))
        drawing, _ = cutouts.draw_scene(i, plans, decoded, 160, 5)
        shown = {name for name, pixels in seen.items() if pixels > 120}
        assert shown == set(plan.stamps), row["key"]
        assert {CLASS_OF[name] for name in shown} - {None} == set(truth.get(row["key"], []))
        for name, mask, whole in zip(plan.stamps, drawing.visible, drawing.whole, strict=True):
            scale = 160**2 / mask.size  # a duplicate is cut and enlarged
            assert seen[name] == pytest.approx(mask.sum() * scale, rel=0.2, abs=25), (row["key"], name)
            assert mask.sum() / whole >= cutouts.MIN_VISIBLE
        assert max(seen, key=lambda name: seen[name]) == plan.stamps[0], row["key"]
        assert row["largest_share"] == pytest.approx(max(seen.values()) / 160**2, rel=0.2)


def check_frames(scenes: Scenes, n: int) -> None:
    records, truth = scenes.records, scenes.truth
    assert records.height == truth.items.height == n
    assert records["key"].to_list() == truth.items["key"].to_list() == sorted(records["key"].unique())
    assert records.schema["label"] == truth.labels.schema["class"] == pl.UInt32
    assert records["label"].null_count() == 0
    assert truth.items["exhaustive"].all()
    assert set(truth.labels["key"]) == set(truth.items.filter("scored")["key"])
    assert truth.labels.is_unique().all()
    joined = records.join(truth.items, on="key").join(
        truth.labels.rename({"class": "label"}).with_columns(valid=True), on=["key", "label"], how="left"
    )
    assert (joined["scored"] == (joined["label_from"] != "similar class")).all()
    wrong = joined["label_from"].is_in(["similar class", "wrong: similar class", "wrong: any class"])
    assert (joined["valid"].is_null() == wrong).all()
    assert (joined["least_visible"] >= cutouts.MIN_VISIBLE).all()
    copies = records.filter(pl.col("flaw") == "near duplicate")
    assert copies["duplicate_of"].is_in(records["key"].to_list()).all()
    assert (copies["duplicate_of"] != copies["key"]).all()
    for path in records["path"]:
        with Image.open(scenes.root / path) as image:
            image.load()
            assert image.mode == "RGB"


def test_frames_fit_together(small: Scenes) -> None:
    check_frames(small, 100)
    assert small.listing.records is small.records
    assert (small.listing.root, small.listing.layout, len(small.listing.classes)) == (small.root, "cutouts", 1000)
    assert small.listing.problems.is_empty()


def test_real_scenes(real: dict[str, Path], tmp_path: Path) -> None:
    plans = plan_scenes(real, 200, 1)
    told: list[int] = []
    scenes = compose(
        real,
        tmp_path / "scenes",
        scenes=200,
        seed=1,
        workers=2,
        progress=lambda what, done, total: told.append(done),
    )
    check_frames(scenes, 200)
    assert told == list(range(201))
    decoded = cutouts.load_cutouts(real, 320)
    for i in range(0, 200, 2):  # the largest by plan is the largest to be seen, whatever the cutouts' shapes
        drawing, _ = cutouts.draw_scene(i, plans, decoded, 320, 1)
        areas = [int(mask.sum()) for mask in drawing.visible]
        assert areas[0] == max(areas)
        assert all(b < a or n == 0 for n, (a, b) in enumerate(zip(areas[:1] * len(areas), areas, strict=True)))
        assert drawing.image.size == (320, 320)


def test_nothing_but_the_pixels_tells_the_label(small: Scenes) -> None:
    for i, path in enumerate(sorted(small.root.iterdir())):
        assert path.name == f"scene-{i:05d}.jpg"
        with Image.open(path) as image:
            assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    labels = small.records["label"].to_numpy()
    # Sorted by class, or dealt in a fixed order, neighbours would agree, or never.
    assert 0 < (labels[1:] == labels[:-1]).mean() < 0.4


def test_duplicates_look_like_their_source_and_are_no_copies(small: Scenes) -> None:
    def outline(key: str) -> np.ndarray:
        with Image.open(small.root / key) as image:
            pixels = np.asarray(image.convert("L").resize((24, 24)), dtype=float)
        return (pixels - pixels.mean()) / pixels.std()

    copies = small.records.filter(pl.col("flaw") == "near duplicate")
    assert copies.height == 2
    for key, source in copies.select("key", "duplicate_of").iter_rows():
        assert (small.root / key).read_bytes() != (small.root / source).read_bytes()
        alike = (outline(key) * outline(source)).mean()
        others = [(outline(key) * outline(k)).mean() for k in small.records["key"] if k not in (key, source)]
        assert alike > 0.85
        assert alike > max(others)


# ---- determinism


def test_same_seed_same_bytes_whatever_the_workers(small: Scenes, made: dict[str, Path], tmp_path: Path) -> None:
    again = compose(dict(reversed(made.items())), tmp_path / "again", scenes=100, size=96, seed=3, workers=2)
    assert hashes(again.root) == hashes(small.root)
    assert again.records.equals(small.records)
    assert again.truth.labels.equals(small.truth.labels)
    other = compose(made, tmp_path / "other", scenes=100, size=96, seed=4, workers=1)
    assert not set(hashes(other.root).values()) & set(hashes(small.root).values())


def test_a_scene_does_not_depend_on_those_drawn_before(made: dict[str, Path]) -> None:
    plans, decoded = plan_scenes(made, 50, 9), cutouts.load_cutouts(made, 64)
    alone = cutouts.draw_scene(41, plans, decoded, 64, 9)[0].image.tobytes()
    for i in range(41):
        cutouts.draw_scene(i, plans, decoded, 64, 9)
    assert cutouts.draw_scene(41, plans, decoded, 64, 9)[0].image.tobytes() == alone


@pytest.mark.parametrize("name", cutouts.BACKGROUNDS)
@pytest.mark.parametrize("size", [32, 97])
def test_backgrounds_are_opaque_and_quiet(name: str, size: int) -> None:
    pixels, horizon = cutouts.BACKGROUNDS[name].paint(default_rng(SeedSequence([1, 2])), size)
    assert pixels.shape == (size, size, 3)
    assert np.isfinite(pixels).all()
    assert 0 <= horizon < 0.6
    assert 0.1 < np.clip(pixels, 0, 1).mean() < 0.97
    again, _ = cutouts.BACKGROUNDS[name].paint(default_rng(SeedSequence([1, 2])), size)
    assert np.array_equal(pixels, again)


def test_every_cutout_has_a_setting() -> None:
    assert {name for names in cutouts.SETTINGS.values() for name in names} == set(cutouts.BACKGROUNDS)
    assert all(start == "" or any(name.startswith(start) for name in NAMES) for start in cutouts.SETTINGS)


# ---- interruptions and bad input


class Stopped(BaseException):
    """Somebody pressed Ctrl-C."""


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_run_leaves_what_was_there(
    small: Scenes, made: dict[str, Path], tmp_path: Path, workers: int
) -> None:
    def stop(what: str, done: int, total: int | None) -> None:
        if done == 7:
            raise Stopped

    earlier = tmp_path / "earlier"
    shutil.copytree(small.root, earlier)
    for out in (tmp_path / "new", earlier):
        with pytest.raises(Stopped):
            compose(made, out, scenes=100, size=64, workers=workers, progress=stop)
    assert not (tmp_path / "new").exists()
    assert hashes(earlier) == hashes(small.root)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["earlier"]
    assert not multiprocessing.active_children()


KILLED = """
import sys
from pathlib import Path
from analysis.datasets.cutouts import compose

if __name__ == "__main__":
    folder, out = map(Path, sys.argv[1:])
    names = (folder / "names").read_text().splitlines()
    made = {name: folder / f"{i}.png" for i, name in enumerate(names)}
    compose(made, out, scenes=100_000, size=64, workers=2)
"""


def test_a_killed_run_leaves_nothing_half(small: Scenes, made: dict[str, Path], tmp_path: Path) -> None:
    folder = next(iter(made.values())).parent
    (folder / "names").write_text("\n".join(made))
    (tmp_path / "run.py").write_text(KILLED)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "run.py"), str(folder), str(tmp_path / "scenes")],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(600):
            if len(list(tmp_path.glob(".scenes.composing/*.jpg"))) > 20:
                break
            assert process.poll() is None
            time.sleep(0.1)
        else:
            pytest.fail("no scene was written")
        workers = psutil.Process(process.pid).children(recursive=True)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "scenes").exists()
    assert (tmp_path / ".scenes.composing").exists()  # it was killed in the middle
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive  # no worker waits for ever
    again = compose(made, tmp_path / "scenes", scenes=100, size=96, seed=3, workers=1)
    assert hashes(again.root) == hashes(small.root)
    assert not (tmp_path / ".scenes.composing").exists()


def test_composing_again_replaces_earlier_scenes(small: Scenes, made: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "scenes"
    shutil.copytree(small.root, out)
    fewer = compose(made, out, scenes=20, size=64, workers=1)
    assert len(list(out.iterdir())) == fewer.records.height == 20


def test_a_folder_with_other_things_is_left_alone(made: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"holiday\.jpg"):
        compose(made, tmp_path, scenes=10, size=64, workers=1)
    assert (tmp_path / "holiday.jpg").read_bytes() == b"mine"
    with pytest.raises(InputError, match="is a file"):
        compose(made, tmp_path / "holiday.jpg", scenes=10, size=64, workers=1)
    with pytest.raises(InputError, match="could not be written"):
        compose(made, tmp_path / "holiday.jpg" / "scenes", scenes=10, size=64, workers=1)


def test_a_full_disk_is_told_and_leaves_nothing(made: dict[str, Path], tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))  # no file may grow beyond 500 bytes
    try:
        with pytest.raises(InputError, match="could not be written") as caught:
            compose(made, tmp_path / "scenes", scenes=10, size=64, workers=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(tmp_path / "scenes") in str(caught.value)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


@pytest.mark.parametrize(("scenes", "size", "names"), [(0, 64, 12), (10, 16, 12), (10, 64, 4), (10, 64, 0)])
def test_too_little_to_compose_from(made: dict[str, Path], tmp_path: Path, scenes: int, size: int, names: int) -> None:
    with pytest.raises(InputError):
        compose(dict(list(made.items())[:names]), tmp_path / "scenes", scenes=scenes, size=size, workers=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("content", ["broken", "transparent"])
def test_a_bad_cutout_is_named(made: dict[str, Path], tmp_path: Path, content: str, workers: int) -> None:
    bad = tmp_path / "bad.png"
    if content == "broken":
        bad.write_bytes(next(iter(made.values())).read_bytes()[:60])
    else:
        Image.new("RGBA", (20, 20), (255, 0, 0, 60)).save(bad)
    with pytest.raises(InputError, match=r"bad\.png"):
        compose({**made, MADE[0]: bad}, tmp_path / "scenes", scenes=10, size=64, workers=workers)
    assert not (tmp_path / "scenes").exists()
