"""From files to what a model is shown: how pictures are read, and scaled, cut and normalised."""

import hashlib
import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from analysis.datasets.scan import FORMATS, MAX_BYTES, MAX_PIXELS
from analysis.errors import InputError

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")


class UnreadablePictureError(Exception):
    """Why one picture cannot be shown to a model; the run goes on without it."""


class PreprocessingWarning(UserWarning):
    """A model is used with another preprocessing than its own: its numbers are not the model's published ones."""


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes a model's input.

    The EXIF orientation is ignored and transparency dropped, as in timm, torchvision and open_clip, where the
    models' published accuracies come from.
    """

    size: tuple[int, int]
    """Height and width of the input in pixels."""
    crop: float
    """The input's side as a share of the side to which the picture is scaled first; 1: nothing is cut off the
    scaled picture's shorter side."""
    mode: str
    """What is scaled to that side: the "shortest" one (the rest is cut off), the "longest" (the rest is filled),
    or both ("squash"); "border" and "center" as timm has them."""
    interpolation: str
    mean: tuple[float, ...]
    """By channel, of values from 0 to 1."""
    std: tuple[float, ...]
    fill: int = 0
    """The value around a picture scaled by its longest side."""
    changed: tuple[str, ...] = ()
    """What was asked for otherwise than the model's own."""

    @property
    def own(self) -> bool:
        """Whether this is the model's own preprocessing."""
        return not self.changed

    def to_dict(self) -> dict[str, Any]:
        """For a manifest: plain values, and whether it is the model's `own`."""
        return {**asdict(self), "own": self.own, "exif_orientation": "ignored"}

    def altered(self, asked: Mapping[str, Any], reference: str) -> "Preprocessing":
        """The same with what is asked for (`checked`) instead; warns of each difference (PreprocessingWarning)."""
        changed = tuple(name for name, value in asked.items() if value != getattr(self, name))
        if changed:
            told = "; ".join(f"{name} {asked[name]} instead of {getattr(self, name)}" for name in changed)
            message = f"{reference} is used with another preprocessing than its own: {told}."
            warnings.warn(message, PreprocessingWarning, stacklevel=3)
        return replace(self, **asked, changed=changed)


def checked(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked for, in the types of Preprocessing; InputError names a part that is unknown or cannot be."""
    known = [field.name for field in fields(Preprocessing) if field.name != "changed"]
    if unknown := sorted(set(asked) - set(known)):
        raise InputError(f"{unknown[0]!r} is no part of a preprocessing; known are {', '.join(known)}.")
    return {name: _checked(name, value) for name, value in asked.items()}


def _checked(name: str, value: Any) -> Any:
    try:
        if name == "size":
            height, width = (value, value) if isinstance(value, int) else value
            if 8 <= height <= 4096 and 8 <= width <= 4096:
                return int(height), int(width)
        elif name in ("mean", "std"):
            numbers = tuple(float(number) for number in value)
            if len(numbers) == 3 and (name == "mean" or min(numbers) > 0):
                return numbers
        elif name == "crop":
            if 0 < float(value) <= 1:
                return float(value)
        elif name == "fill":
            if 0 <= int(value) <= 255:
                return int(value)
        elif name == "interpolation":
            if value in INTERPOLATIONS:
                return value
        elif value in ("shortest", "longest", "squash", "center", "border"):
            return value
    except (TypeError, ValueError):
        pass
    raise InputError(f"{value!r} cannot be the {name} of a preprocessing.")


class Batch(NamedTuple):
    """Pictures ready for a model, and those that cannot be read."""

    rows: list[int]
    """Which pictures, n of them."""
    tensor: Tensor | None
    """(n, 3, h, w); None where n is 0."""
    problems: list[tuple[int, str]]
    """Row and reason."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures by row number; can be sent to another process."""

    root: Path
    paths: Sequence[str | None]
    """Relative to the root."""
    hashes: Sequence[str | None]
    transform: Callable[[Image.Image], Tensor]
    preprocessing: Preprocessing
    """What the transform does."""

    def load(self, rows: NDArray[np.int64]) -> Batch:
        """Read, decode and transform some; one that cannot be read becomes a problem."""
        kept, tensors, problems = [], [], []
        for row in rows.tolist():
            path = self.paths[row]
            try:
                if path is None:
                    raise UnreadablePictureError("the item has no picture")
                picture = read_picture(self.root / path, self.hashes[row])
                tensors.append(self._transformed(picture))
                kept.append(row)
            except UnreadablePictureError as error:
                problems.append((row, str(error)))
        return Batch(kept, torch.stack(tensors) if tensors else None, problems)

    def _transformed(self, picture: Image.Image) -> Tensor:
        if self.preprocessing.mode != "squash":
            short, long = sorted(picture.size)
            side = max(self.preprocessing.size) / self.preprocessing.crop
            if long / short * side**2 > MAX_PIXELS:  # a line of pixels becomes enormous where its short side is scaled
                raise UnreadablePictureError(f"{picture.width} × {picture.height} pixels: too elongated to be scaled")
        try:
            return self.transform(picture)
        except Exception as error:  # whatever a model's own code dislikes about one picture
            raise UnreadablePictureError(f"cannot be prepared for the model: {error}") from error


def read_picture(path: Path, digest: str | None = None) -> Image.Image:
    """Decode a file in full, as RGB of 8 bits.

    With `digest` (BLAKE2b of 128 bits, hexadecimal) the file must still have that content.
    UnreadablePictureError tells what is wrong with it: gone, changed, too large, truncated, no picture.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UnreadablePictureError(f"larger than {MAX_BYTES:,} bytes")
        content = path.read_bytes()
    except OSError as error:
        raise UnreadablePictureError(f"cannot be read: {error.strerror or error}") from error
    if digest is not None and hashlib.blake2b(content, digest_size=16).hexdigest() != digest:
        raise UnreadablePictureError("changed since it was read into the workspace; run `errata create` again")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise UnreadablePictureError(
                    f"{picture.width} × {picture.height} pixels, more than the limit of {MAX_PIXELS:,}"
                )
            return _as_rgb(picture)
    except UnreadablePictureError:
        raise
    except Exception as error:  # a decoder may fail in any way on a broken file
        raise UnreadablePictureError(f"cannot be decoded: {str(error) or type(error).__name__}") from error


def _as_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":  # 16 bits and more: Pillow would clip them at 255
        values = np.asarray(picture, dtype=np.float64)
        top = 65535.0 if picture.mode.startswith("I;16") or values.max(initial=0) > 255 else 255.0
        return Image.fromarray(np.clip(values * (255 / top), 0, 255).round().astype(np.uint8)).convert("RGB")
    if picture.mode == "P" and "transparency" in picture.info:
        return picture.convert("RGBA").convert("RGB")  # the same pixels without Pillow's warning
    return picture.convert("RGB")
