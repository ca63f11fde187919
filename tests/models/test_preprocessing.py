"""Reading pictures for a model, and saying how they are prepared."""

import hashlib
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from analysis.datasets.scan import MAX_PIXELS
from analysis.errors import InputError
from analysis.models.preprocessing import (
    Pictures,
    Preprocessing,
    PreprocessingWarning,
    UnreadablePictureError,
    checked,
    read_picture,
)

OWN = Preprocessing((8, 8), 0.875, "center", "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)


def saved(path: Path, picture: Image.Image, **options: object) -> Path:
    picture.save(path, **options)
    return path


def test_an_ordinary_picture_is_read_as_pillow_reads_it(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", Image.fromarray(COLOURS))
    with Image.open(path) as picture:
        assert np.array_equal(np.asarray(read_picture(path)), np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "I", "F"])
def test_every_mode_becomes_rgb(mode: str, tmp_path: Path) -> None:
    suffix = {"CMYK": "jpg", "I": "tif", "F": "tif"}.get(mode, "png")
    if mode in ("I;16", "I"):
        picture = Image.fromarray((COLOURS[..., 0].astype(np.uint16 if mode == "I;16" else np.int32)) * 257)
    else:
        picture = Image.fromarray(COLOURS).convert(mode)
    read = read_picture(saved(tmp_path / f"a.{suffix}", picture))
    assert read.mode == "RGB"
    assert read.size == (30, 20)
    assert np.asarray(read).std() > 20  # neither black nor clipped to white


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    grey = COLOURS[..., 0]
    read = read_picture(saved(tmp_path / "a.png", Image.fromarray(grey.astype(np.uint16) * 257)))
    assert np.array_equal(np.asarray(read)[..., 1], grey)


def test_a_palette_with_transparency_is_read_without_a_warning(tmp_path: Path) -> None:
    picture = Image.fromarray(COLOURS).quantize(16)
    path = saved(tmp_path / "a.png", picture, transparency=bytes(range(16)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(np.asarray(read_picture(path)), np.asarray(picture.convert("RGB")))


def test_the_exif_orientation_is_ignored_as_the_manifest_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read_picture(saved(tmp_path / "a.jpg", Image.fromarray(COLOURS), exif=exif)).size == (30, 20)
    assert OWN.to_dict()["exif_orientation"] == "ignored"


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    whole = saved(tmp_path / "whole.jpg", Image.fromarray(RNG.integers(0, 256, (90, 90, 3), dtype=np.uint8)))
    truncated = tmp_path / "truncated.jpg"
    truncated.write_bytes(whole.read_bytes()[:2000])
    text = tmp_path / "text.jpg"
    text.write_text("I am no picture")
    empty = tmp_path / "empty.jpg"
    empty.touch()
    bomb = saved(tmp_path / "bomb.png", Image.new("1", (MAX_PIXELS // 1000 + 1, 1000)))
    script = tmp_path / "script.jpg"
    script.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    for path in (truncated, text, empty, script):
        with pytest.raises(UnreadablePictureError, match="cannot be decoded"):
            read_picture(path)
    with pytest.raises(UnreadablePictureError, match="limit"):
        read_picture(bomb)
    with pytest.raises(UnreadablePictureError, match="cannot be read"):
        read_picture(tmp_path / "gone.jpg")
    with pytest.raises(UnreadablePictureError, match="changed"):
        read_picture(whole, "0" * 32)
    read_picture(whole, hashlib.blake2b(whole.read_bytes(), digest_size=16).hexdigest())


def test_a_batch_holds_the_readable_pictures_and_names_the_others(tmp_path: Path) -> None:
    for name in ("0.png", "2.png"):
        saved(tmp_path / name, Image.fromarray(COLOURS))
    saved(tmp_path / "line.png", Image.new("RGB", (60_000, 1)))

    def transform(picture: Image.Image) -> torch.Tensor:
        assert picture.size == (30, 20), "an enormous picture would be made"
        return torch.zeros(3, 8, 8)

    own = Preprocessing(**{**vars(OWN), "size": (64, 64)})
    pictures = Pictures(tmp_path, ["0.png", None, "2.png", "line.png"], [None] * 4, transform, own)
    batch = pictures.load(np.arange(4))
    assert batch.rows == [0, 2]
    assert batch.tensor is not None
    assert batch.tensor.shape == (2, 3, 8, 8)
    assert [row for row, _ in batch.problems] == [1, 3]
    assert "elongated" in batch.problems[1][1]
    assert pictures.load(np.array([1])).tensor is None


def test_a_transform_that_fails_is_that_picture_s_problem(tmp_path: Path) -> None:
    saved(tmp_path / "0.png", Image.fromarray(COLOURS))

    def transform(picture: Image.Image) -> torch.Tensor:
        raise ValueError("height and width must be > 0")

    batch = Pictures(tmp_path, ["0.png"], [None], transform, OWN).load(np.arange(1))
    assert batch.problems == [(0, "cannot be prepared for the model: height and width must be > 0")]


def test_another_preprocessing_than_the_model_s_own_warns_and_is_recorded() -> None:
    with pytest.warns(PreprocessingWarning, match=r"size \(16, 16\) instead of \(8, 8\)"):
        altered = OWN.altered(checked({"size": 16, "crop": 0.875}), "toy:1")
    assert (altered.size, altered.changed, altered.own) == ((16, 16), ("size",), False)
    assert altered.to_dict()["own"] is False


def test_asking_for_the_model_s_own_preprocessing_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert OWN.altered(checked({"size": [8, 8], "interpolation": "bicubic"}), "toy:1").own


@pytest.mark.parametrize(
    "asked",
    [
        {"size": 0},
        {"size": "big"},
        {"size": (8, 8, 8)},
        {"crop": 1.5},
        {"mean": [1, 2]},
        {"std": (0, 1, 1)},
        {"interpolation": "magic"},
        {"mode": "stretch"},
        {"fill": 256},
        {"changed": ()},
    ],
)
def test_a_preprocessing_that_cannot_be_is_an_error(asked: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(asked))):
        checked(asked)
