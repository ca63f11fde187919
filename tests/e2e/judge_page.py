"""A page with the judging component alone, for a real server; what it shows is asked for in its address.

`n` readings of `candidates` classes each, passed 50 at a time; `exhaustive=1` asks for what is missing,
`prefilled=1` suggests verdicts, `ugly=1` takes names that would be markup, `pixelless=1` takes images away.
"""

import streamlit as st

from analysis.labels.classes import imagenet_1k
from app import shelf
from app.components.judge import Candidate, Reading, judge
from app.components.shared import Tile, page_session

LEASE = 50
UGLY = "<img src=x onerror=alert(1)>![x](http://evil.example/p.png)"

st.set_page_config(page_title="Judge", layout="wide")
wanted = st.query_params
n, n_candidates = int(wanted.get("n", 40)), int(wanted.get("candidates", 1))
workspace_id = shelf.ids()[0]
items = shelf.workspace(workspace_id).items()
classes = imagenet_1k().frame
ugly = wanted.get("ugly") == "1"


def tile(item: int) -> Tile:
    row = items.row(item % items.height, named=True)
    pixels = wanted.get("pixelless") != "1"
    return Tile(row["item"], UGLY if ugly else row["key"], hash=row["hash"] if pixels else None, label="a secret label")


def candidate(reading: int, place: int) -> Candidate:
    index = (reading * 7 + place * 31) % 1000
    row = classes.row(index, named=True)
    return Candidate(
        index,
        UGLY if ugly else row["id"],
        UGLY if ugly else row["name"],
        UGLY if ugly else row["definition"],
        exemplars=[tile(reading + place + step) for step in range(int(wanted.get("exemplars", 2)))],
        prefilled="valid" if wanted.get("prefilled") == "1" and place == 0 else None,
    )


def reading(number: int) -> Reading:
    return Reading(
        f"r{number}",
        tile(number),
        [candidate(number, place) for place in range(n_candidates)],
        size=(64, 48),
        exhaustive=wanted.get("exhaustive") == "1",
        note=UGLY if ugly else "",
    )


def longer(left: int) -> None:
    st.session_state.asked = st.session_state.get("asked", 0) + 1
    st.session_state.passed = st.session_state.get("passed", LEASE) + LEASE


st.text(f"asked for more {st.session_state.get('asked', 0)} times")
judge(
    [reading(number) for number in range(min(n, st.session_state.get("passed", LEASE)))],
    key="judge",
    session=page_session(workspace_id),
    post_url="/stub/judgements",
    classes_url="/stub/classes",
    guideline="v3",
    person="ann",
    search_url=wanted.get("search"),
    on_more=longer,
)
