import base64
import re
from itertools import combinations
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from app import components, state
from app.components.map import LegendEntry, embedding_map
from app.components.outcomes import LOOKS, OUTCOMES, Outcome, stylesheet
from app.components.shared import Session, Tile, packed, page_session, whole

COMPONENTS = Path(components.__path__[0])
SCRIPTS = sorted(COMPONENTS.glob("*/*.js"))
STYLES = sorted(COMPONENTS.glob("*/*.css"))

# Machado, Oliveira and Fernandes (2009), full severity, on linear RGB.
BLINDNESS = {
    "none": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(color: str, blindness: str) -> np.ndarray:
    """A colour #rrggbb as a person sees it, in CIE L*a*b* (D65)."""
    srgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(BLINDNESS[blindness]) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen
    ratio = xyz / np.array([0.9505, 1.0, 1.089])
    f = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("blindness", BLINDNESS)
def test_outcomes_are_told_apart_by_everybody(theme: str, blindness: str) -> None:
    seen = {name: lab(look.color(theme), blindness) for name, look in LOOKS.items()}
    for one, other in combinations(seen, 2):
        assert np.linalg.norm(seen[one] - seen[other]) > 20, f"{one} and {other}"


def test_each_outcome_has_its_own_sign_and_its_colours_in_the_stylesheet() -> None:
    assert set(LOOKS) == set(OUTCOMES) == set(get_args(Outcome))
    assert [LOOKS[name].sign for name in ("right", "wrong", "unclear", "unjudged")] == ["✓", "✗", "?", "·"]
    for name, look in LOOKS.items():
        assert stylesheet().count(f"--{name}: ") == 2
        assert look.light in stylesheet()
        assert look.dark in stylesheet()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_no_script_makes_markup_of_data_or_reaches_outside(script: Path) -> None:
    text = script.read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|import\(", text)
    assert not re.search(r"https?://|\bimport\s", text)


@pytest.mark.parametrize("style", STYLES, ids=lambda path: path.name)
def test_no_style_reaches_outside(style: Path) -> None:
    assert not re.search(r"url\(|@import|https?:", style.read_text())


def test_every_component_is_self_contained() -> None:
    folders = {path.parent.name for path in SCRIPTS if path.parent.name != "shared"}
    assert folders == {"gallery", "item", "judge", "map", "rows"}
    for folder in folders:
        script = (COMPONENTS / folder / f"{folder}.js").read_text()
        assert len(re.findall(r"^export default function", script, re.MULTILINE)) == 1


# ---- values that cross


@given(st.lists(st.booleans(), max_size=40))
def test_booleans_cross_as_bits_in_item_order(flags: list[bool]) -> None:
    data = base64.b64decode(packed(np.array(flags, dtype=bool)))
    assert [bool(data[i >> 3] >> (i & 7) & 1) for i in range(len(flags))] == flags


@given(st.lists(st.integers(0, 255), max_size=40))
def test_colour_codes_cross_as_bytes(codes: list[int]) -> None:
    assert list(base64.b64decode(packed(np.array(codes, dtype=np.uint8)))) == codes


@given(st.none() | st.booleans() | st.floats() | st.text() | st.lists(st.integers()) | st.integers())
def test_only_whole_numbers_come_back(value: object) -> None:
    assert whole(value) == (value if type(value) is int else None)


def test_a_tile_says_only_what_is_known() -> None:
    assert Tile(3, "a.png").to_json() == {"item": 3, "key": "a.png"}


@pytest.mark.parametrize(
    ("colors", "visible", "words"),
    [([0, 2], None, "colour 2 has no legend entry"), ([0, 1], [True], "shape")],
)
def test_a_map_with_impossible_colours_is_an_error(colors: list[int], visible: list[bool] | None, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        embedding_map(
            "/data/x",
            key="m",
            session=Session("w", "t"),
            colors=np.array(colors, dtype=np.uint8),
            legend=[LegendEntry("a", 1), LegendEntry("b", 1)],
            visible=None if visible is None else np.array(visible),
        )


def test_a_map_takes_as_many_colours_as_a_byte_holds() -> None:
    with pytest.raises(ValueError, match="at most 255"):
        embedding_map(
            "/data/x",
            key="m",
            session=Session("w", "t"),
            colors=np.zeros(2, np.uint8),
            legend=[LegendEntry(str(i), 1) for i in range(256)],
        )


# ---- on a page


def test_all_components_mount_on_a_page(workspace_id: str) -> None:
    page = AppTest.from_file(str(Path(__file__).with_name("component_page.py")), default_timeout=30)
    page.query_params["item"] = "1"
    page.run()
    assert not page.exception
    assert page_session(workspace_id).workspace == workspace_id
    assert state.ITEM in page.query_params
