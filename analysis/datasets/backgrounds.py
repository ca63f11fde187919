"""Generated backgrounds of the demo's scenes: out of focus and quiet, so that the cutouts carry the scene."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageFilter

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Background:
    """A kind of place."""

    paint: Callable[[Generator, int], tuple[Array, float]]  # -> (size, size, 3) in 0..1, horizon (0: no ground)
    shadow: str  # "ground", "lying" or "none"
    tilt: float  # degrees: standard deviation of a cutout's turn


_WHITE = np.ones(3, np.float32)
_DISC = Image.radial_gradient("L").point(lambda v: max(0, min(80 + v // 4, 5 * (124 - v))))  # brighter at its rim


def _colour(rng: Generator, colour: str, spread: float = 0.03) -> Array:
    """The colour, a little lighter or darker and a little off."""
    shift = rng.normal(0, spread) + rng.normal(0, spread / 2, 3)
    return (np.array(ImageColor.getrgb(colour)) / 255 + shift).astype(np.float32)


def _noise(rng: Generator, size: int, across: float, down: float, octaves: int = 4) -> Array:
    """(size, size) of smooth noise, mean 0, standard deviation 1; `across` × `down` blots in the first octave."""
    total = Image.new("F", (2, 2))
    for octave in range(octaves):  # each adds to the one before, enlarged: only the last is large
        width, height = (min(size, max(2, round(blots * 2**octave))) for blots in (across, down))
        finer = 0.55**octave * rng.standard_normal((height, width), dtype=np.float32)
        total = Image.fromarray(finer + np.asarray(total.resize((width, height), Image.Resampling.BICUBIC)))
    noise = np.asarray(total.resize((size, size), Image.Resampling.BICUBIC))
    return (noise - noise.mean()) / (noise.std() + 1e-6)


def _mix(a: Array, b: Array, part: Array) -> Array:
    """From colour (or image) `a` to `b` by `part`, clipped to 0..1."""
    part = np.clip(part, 0, 1)[..., None]
    return (a * (1 - part) + b * part).astype(np.float32)


def _downwards(size: int) -> Array:
    """(size, size), 0 in the top row and 1 in the bottom row."""
    return np.repeat(np.linspace(0, 1, size, dtype=np.float32)[:, None], size, axis=1)


def image_of(pixels: Array) -> Image.Image:
    return Image.fromarray((np.clip(pixels, 0, 1) * 255).astype(np.uint8))


def _add_lights(rng: Generator, image: Image.Image, count: int, horizon: float) -> None:
    """Draw lights and leaves that are out of focus, as soft discs above the horizon, onto the image."""
    size = image.width
    for _ in range(count):
        radius = max(2, round(rng.uniform(0.015, 0.055) * size))
        x, y = rng.uniform(0, size), rng.uniform(0, horizon * size)
        tint = tuple(int(255 * min(1.0, v)) for v in _colour(rng, "#fcedc7", 0.08))
        disc = _DISC.resize((2 * radius, 2 * radius), Image.Resampling.BOX)
        image.paste(tint, (round(x - radius), round(y - radius)), disc)


def _landscape(
    rng: Generator,
    size: int,
    *,
    above: tuple[str, str],
    far: str,
    ground: tuple[str, str],
    grain: tuple[float, float, float],
    ragged: float = 0.03,
    clouds: float = 0.25,
    lights: int = 0,
) -> tuple[Array, float]:
    """Ground running to a horizon, with something far behind it, out of focus."""
    horizon = rng.uniform(0.3, 0.5)
    half = size // 2  # enough for what is out of focus
    y = _downwards(half)
    sky = _mix(_colour(rng, above[0]), _colour(rng, above[1]), y / horizon)
    sky = _mix(sky, _WHITE, clouds * _noise(rng, half, 2, 6) * (y < 1.2 * horizon))
    skyline = horizon - ragged * (1.4 + _noise(rng, half, 4, 1, 5)[0])
    distance = _colour(rng, far) * (1 + 0.16 * _noise(rng, half, 7, 9, 3))[..., None]
    blurred = image_of(_mix(sky, distance, (y - skyline) * half / 2)).filter(ImageFilter.GaussianBlur(0.017 * half))
    _add_lights(rng, blurred, lights, horizon)
    scene = np.asarray(blurred.resize((size, size), Image.Resampling.BICUBIC), np.float32) / 255

    y = _downwards(size)
    depth = np.clip((y - horizon) / (1 - horizon), 0, 1)  # 0 at the horizon, 1 at our feet
    rows = (np.sqrt(depth[:, 0]) * (size - 1)).astype(int)  # what is far is seen flatter
    across, down, contrast = grain
    texture = (0.6 * _noise(rng, size, across, down, 4) + 0.5 * _noise(rng, size, 4, 6, 3))[rows]
    field = _mix(_colour(rng, ground[0]), _colour(rng, ground[1]), depth)
    field = field * (1 + contrast * (0.25 + 0.75 * depth) * texture)[..., None]
    soft = np.asarray(image_of(field).reduce(4).resize((size, size), Image.Resampling.BICUBIC), np.float32) / 255
    field = _mix(soft, field, 1.4 * depth - 0.25)
    return _mix(scene, field, (y - horizon) * size / 7), horizon


def _sky(rng: Generator, size: int, *, colours: tuple[str, str], clouds: float) -> tuple[Array, float]:
    y = _downwards(size)
    sky = _mix(_colour(rng, colours[0]), _colour(rng, colours[1]), y**1.3)
    cover = _noise(rng, size, 1.6, 3, 6) + rng.uniform(-0.9, 0.4)
    white = 0.96 + 0.04 * _noise(rng, size, 3, 3, 4)[..., None] * _WHITE
    return _mix(sky, white, clouds * np.clip(cover, 0, 1.4)), 0.0


def _studio(rng: Generator, size: int) -> tuple[Array, float]:
    """A seamless backdrop with a pool of light."""
    tones = ["#bfc9d4", "#dbccb8", "#b2c7b5", "#d4bdbf", "#a8b2cc"]
    tone = _colour(rng, tones[rng.integers(len(tones))])
    y, x = np.mgrid[0 : 1 : size * 1j, 0 : 1 : size * 1j].astype(np.float32)
    pool = np.exp(-((x - rng.uniform(0.3, 0.7)) ** 2 / 0.25 + (y - rng.uniform(0.25, 0.6)) ** 2 / 0.2))
    fold = 1 / (1 + np.exp(-(y - rng.uniform(0.5, 0.62)) * 22))
    light = 0.72 + 0.4 * pool + 0.06 * fold + 0.008 * _noise(rng, size, 5, 5, 3)
    return (tone * light[..., None]).astype(np.float32), 0.5


def _wood(rng: Generator, size: int) -> tuple[Array, float]:
    """Boards seen from above."""
    tones = ["#ab7d54", "#c7a175", "#855e42", "#bdb09e"]
    tone = _colour(rng, tones[rng.integers(len(tones))])
    boards = int(rng.integers(3, 6))
    at = (np.arange(size) + rng.uniform(0, size)) * boards / size
    each = rng.normal(0, 0.07, boards * 3)[at.astype(int)].astype(np.float32)
    gap = np.clip(np.abs(at % 1 - 0.5) * size / boards - (size / boards / 2 - 1.3), 0, 1).astype(np.float32)
    fibre = 0.055 * _noise(rng, size, 2, 60, 3) + 0.05 * _noise(rng, size, 1.5, 14, 3)
    light = (1 + fibre + 0.05 * _noise(rng, size, 1, 1, 2)) * (1 + each - 0.45 * gap)[:, None]
    pixels = tone * light[..., None]
    return (pixels if rng.random() < 0.5 else pixels.transpose(1, 0, 2)).astype(np.float32), 0.0


def _cloth(rng: Generator, size: int) -> tuple[Array, float]:
    """Linen with soft folds."""
    tones = ["#d9d1bf", "#9eadbd", "#bd9e94", "#a8b8a3"]
    tone = _colour(rng, tones[rng.integers(len(tones))])
    weave = 0.03 * (_noise(rng, size, size / 3, 8, 1) + _noise(rng, size, 8, size / 3, 1))
    folds = 0.07 * _noise(rng, size, rng.uniform(1, 3), rng.uniform(1, 3), 2)
    return (tone * (1 + weave + folds)[..., None]).astype(np.float32), 0.0


def _stone(rng: Generator, size: int) -> tuple[Array, float]:
    """Paper, plaster or stone: the same noise, coarser or finer."""
    tones = ["#e6e0d4", "#a8a8a6", "#ccc2b2", "#737a82"]
    tone = _colour(rng, tones[rng.integers(len(tones))])
    rough = rng.uniform(0.02, 0.05)
    light = 1 + rough * _noise(rng, size, 3, 3, 7) + 0.02 * _noise(rng, size, size / 2, size / 2, 1)
    return (tone * light[..., None]).astype(np.float32), 0.0


def _place(above: str, far: str, ground: str, grain: tuple[float, float, float], **rest: Any) -> Background:
    """A landscape's palette: colours "top horizon", "far", "far-end near-end"; grain: across, down, contrast."""
    high, low = above.split()
    back, front = ground.split()
    paint = partial(_landscape, above=(high, low), far=far, ground=(back, front), grain=grain, **rest)
    return Background(paint, "ground", 3)


def _air(high: str, low: str, clouds: float) -> Background:
    return Background(partial(_sky, colours=(high, low), clouds=clouds), "none", 6)


BACKGROUNDS: dict[str, Background] = {
    "meadow": _place("#6b9edb #d4e6f2", "#4d6b42", "#80994d #4d7329", (60, 14, 0.2)),
    "savanna": _place("#99b8d6 #f2e0bd", "#80805c", "#ccb575 #a3824a", (50, 16, 0.16)),
    "beach": _place("#6b9edb #d4e6f2", "#478ca8", "#e8d9b8 #d1b58a", (40, 30, 0.06), ragged=0),
    "snow": _place("#9ebde0 #e6edf5", "#8599ad", "#f2f5fa #d6e3f2", (10, 12, 0.04), ragged=0.06),
    "forest": _place("#405c33 #758c4d", "#334a29", "#666638 #54422b", (45, 24, 0.26), ragged=0.08, lights=26),
    "street": _place("#b3c2d1 #dedbd6", "#857870", "#8c8c8f #6b6e73", (90, 60, 0.07), ragged=0.09, lights=12),
    "table": _place("#5c4d45 #99806b", "#755c4a", "#b88c61 #996e47", (3, 40, 0.09), clouds=0, lights=16),
    "kitchen": _place("#ccd4d1 #e6e6de", "#adbab8", "#e6e0d6 #ccc4b8", (5, 5, 0.03), clouds=0, lights=5),
    "studio": Background(_studio, "ground", 4),
    "wood": Background(_wood, "lying", 18),
    "linen": Background(_cloth, "lying", 18),
    "stone": Background(_stone, "lying", 18),
    "sky": _air("#4d87d4", "#b8d9f2", 0.85),
    "dusk": _air("#5c6199", "#f7b880", 0.45),
    "water": _air("#2e8fa8", "#0f4a6b", 0.12),
}
_OUTDOORS = ["meadow", "savanna", "beach", "snow", "forest", "street", "studio"]
# Where a thing is mostly seen: how its name in the table begins (the longest that fits counts) -> backgrounds
SETTINGS: dict[str, list[str]] = {
    "animals": _OUTDOORS,
    "animals/birds": [*_OUTDOORS, "sky"],
    "animals/fish": ["water", "beach", "stone"],
    "animals/insects": ["meadow", "forest", "stone", "wood", "linen"],
    "animals/mammals/aquatic": ["water", "beach", "snow"],
    "animals/mammals/bears/toys": ["table", "kitchen", "studio", "linen"],
    "military": _OUTDOORS,
    "military/paratrooper": ["sky", "dusk"],
    "military/vehicles/f22": ["sky", "dusk"],
    "plants": ["meadow", "forest", "wood", "linen", "table"],
    "sports": ["meadow", "studio", "street", "wood", "stone"],
    "town": ["street", "meadow", "studio"],
    "vehicles": ["street", "meadow", "beach", "snow", "studio"],
    "vehicles/flight": ["sky", "dusk"],
    "": ["table", "kitchen", "studio", "wood", "linen", "stone"],
}
