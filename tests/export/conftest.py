"""A small workspace with pixels whose names are awkward, a label set with every state, and judgements."""

import numpy as np
import polars as pl
import pytest
from PIL import Image

from analysis.create import create
from analysis.datasets import DatasetOptions
from analysis.labels.sets import label_set
from analysis.review import log
from analysis.review.kinds import Judgement, Problem, Verdict
from analysis.workspace import Workspace
from tests.workspaces import add_run

CLASSES = ("../up", "=1+1", "CON", "Cat", "cat", "plain")
"""Class ids in their order, which is that of text."""
STATES = {
    # item: the states of classes; the original label of item i is class i % 6
    0: {"../up": "valid"},
    1: {"=1+1": "valid", "cat": "unclear", "CON": "rejected"},
    2: {"CON": "rejected", "plain": "valid"},
    3: {"Cat": "rejected", "plain": "valid", "cat": "valid"},
    4: {"cat": "unclear"},
    5: {"plain": "rejected"},
    6: {"../up": "valid"},
    7: {"=1+1": "valid", "Cat": "valid"},
}
PROBLEMATIC = (6,)
N = 12


def index(class_id: str) -> int:
    return CLASSES.index(class_id)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Twelve items: 8 known to the label set `panel` (open), 6 problematic, 9 without a readable image, two runs.

    The log: position 1 says that item 0 is no ../up, 2 that it is cat, by the panel; 3 and 4 differ about item 1; 5
    finds item 8 a drawing.
    """
    home = tmp_path_factory.mktemp("export")
    rng = np.random.default_rng(0)
    rows = []
    for item in range(N):
        key = f"{'a' if item % 2 else 'b'}/{item // 2:02}{' -=x' if item == 3 else ''}.png"
        (home / "images" / key).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (6, 8, 3), np.uint8)).save(home / "images" / key)
        rows.append((key, CLASSES[item % 6], "=HYPERLINK()" if item == 2 else f"camera {item}"))
    (home / "images" / rows[9][0]).write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    table = pl.DataFrame(rows, schema=["file", "label", "valid"], orient="row")
    table.write_csv(home / "labels.csv")
    (home / "classes.txt").write_text("\n".join(CLASSES))
    options = DatasetOptions(
        images=home / "images", table=home / "labels.csv", key="file", label="label", classes=str(home / "classes.txt")
    )
    create(str(home / "ws"), options)
    said = [(item, index(name), word) for item, states in STATES.items() for name, word in states.items()]
    labels = pl.DataFrame(said, schema=["item", "class", "state"], orient="row")
    known = pl.DataFrame({"item": list(STATES), "scored": [item not in PROBLEMATIC for item in STATES]})
    Workspace.open(home / "ws").publish_labels(label_set("panel", labels, known, absent="unjudged", note="A note."))
    add_run(Workspace.open(home / "ws"), "weak", 0.2, rng)
    add_run(Workspace.open(home / "ws"), "strong", 0.9, rng)
    workspace = Workspace.open(home / "ws")
    log.append(
        workspace,
        [
            Judgement(says=Verdict(0, index("../up"), "wrong"), person="ann", blind=True, guideline="v1", queue="q1"),
            Judgement(says=Verdict(0, index("cat"), "valid"), person="bob", panel=True),
            Judgement(says=Verdict(1, index("plain"), "valid"), person="ann", blind=True, guideline="v1"),
            Judgement(says=Verdict(1, index("plain"), "wrong"), person="bob", blind=True, guideline="v2"),
            Judgement(says=Problem(8, "drawing"), person="ann"),
        ],
    )
    return workspace
