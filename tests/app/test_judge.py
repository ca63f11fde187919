import json
import re
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.components import judge as judging
from app.components.judge import CAUSES, PROBLEMS, VERDICTS, Candidate, Reading, judge
from app.components.shared import Session, Tile

PAGE = """
from app.components.judge import Candidate, Reading, judge
from app.components.shared import Session, Tile

tile = Tile(3, "cats/<b>3</b>.png", hash="ab" * 16)
judge(
    [Reading("r1", tile, [Candidate(7, "n7", "![x](http://evil.example/p.png)")])],
    key="judge",
    session=Session("w", "t"),
    post_url="/judgements/w",
    classes_url="/data/w/classes",
    guideline="v1",
)
"""


def mounted(*readings: Reading) -> None:
    judge(readings, key="j", session=Session("w", "t"), post_url="/j", classes_url="/c", guideline="v1")


def test_the_browser_is_not_told_what_is_the_label_and_what_a_prediction() -> None:
    tile = Tile(3, "n02123045/cat.png", "ab" * 16, label="cat", prediction="dog", outcome="wrong", note="0.7 like it")
    exemplar = Tile(9, "n02085620/dog.png", "cd" * 16, label="dog", prediction="cat", outcome="wrong")
    reading = Reading("r1", tile, [Candidate(151, "n02085620", "Chihuahua", "an old breed", [exemplar])], (640, 480))
    told = reading.to_json()
    assert told == {
        "id": "r1",
        "tile": {"key": "", "item": 3, "hash": "ab" * 16},
        "size": (640, 480),
        "exhaustive": False,
        "note": "",
        "candidates": [
            {
                "index": 151,
                "id": "n02085620",
                "name": "Chihuahua",
                "definition": "an old breed",
                "exemplars": [{"item": 9, "key": "", "hash": "cd" * 16}],
                "prefilled": None,
                "decided": None,
            }
        ],
    }
    assert not re.search("n02123045|cat.png|wrong|like it", json.dumps(told))


def test_an_item_without_pixels_is_known_by_its_key_alone() -> None:
    told = Reading("r1", Tile(3, "a.png", label="cat"), [], exhaustive=True).to_json()
    assert told["tile"] == {"key": "a.png", "item": 3}


@pytest.mark.parametrize(
    ("readings", "words"),
    [
        ([Reading("a", Tile(1, "k"), [Candidate(1, "c1", "x")])] * 2, "two readings have the id 'a'"),
        ([Reading("a", Tile(1, "k"), [Candidate(1, "c1", "x"), Candidate(1, "c1", "x")])], "holds a class twice"),
        ([Reading("a", Tile(1, "k"), [])], "nothing to decide"),
        ([Reading("a", Tile(1, "k"), [Candidate(1, "c", "x", "", [Tile(2, "e")] * 7)])], "more than 6 exemplars"),
    ],
)
def test_impossible_readings_are_errors(readings: list[Reading], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        mounted(*readings)


def test_the_script_knows_the_same_verdicts_and_has_a_key_for_every_choice() -> None:
    script = (Path(judging.__file__).parent / "view.js").read_text()
    assert tuple(re.findall(r'verdict: "(\w+)", key:', script)) == VERDICTS
    assert len(CAUSES) == 5
    assert len(PROBLEMS) <= 9


def test_it_mounts_on_a_page() -> None:
    page = AppTest.from_string(PAGE, default_timeout=30).run()
    assert not page.exception
    [component] = page.get("bidi_component")
    assert "cats" not in str(component.proto)
    assert "evil.example" in str(component.proto)
