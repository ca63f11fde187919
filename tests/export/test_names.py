"""Names from data become folders, files and cells that harm nobody, and none is ever another's."""

import re

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from analysis.export.names import file_name, folder_names, inert, inert_word

SAFE = re.compile(r"[A-Za-z0-9_~][A-Za-z0-9._~-]{0,120}")
DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
AWKWARD = st.one_of(
    st.text(max_size=200),
    st.sampled_from(
        ["..", ".", "", "/", "a/b", "A", "a", "a.", "CON", "con.txt", "0~a", "~", "-rf", "ﬁ", "a\0b", " a"]
    ),
)


@given(st.lists(AWKWARD, unique=True, max_size=30))
def test_folder_names_differ_though_case_be_ignored_and_lead_nowhere(ids: list[str]) -> None:
    names = folder_names(ids)
    assert len({name.lower() for name in names}) == len(ids)
    for name in names:
        assert SAFE.fullmatch(name)
        assert not DEVICE.fullmatch(name)
        assert not name.endswith(".")


def test_plain_ids_keep_their_name() -> None:
    assert folder_names(["n01440764", "great white", "Cat", "cat"]) == ["n01440764", "1~great-white", "2~Cat", "3~cat"]


@given(st.lists(AWKWARD, max_size=30))
def test_file_names_differ_where_shared_ones_are_told(paths: list[str]) -> None:
    bases = [re.split(r"[/\\]", path)[-1].lower() for path in paths]
    names = [file_name(n, path, bases.count(bases[n]) > 1) for n, path in enumerate(paths)]
    assert len({name.lower() for name in names}) == len(paths)
    assert all(re.fullmatch(r"[^/\\\0]+", name) and name not in (".", "..") for name in names)


def test_file_names_keep_what_is_plain() -> None:
    assert file_name(7, "val/ILSVRC2012_val_00000001.JPEG", False) == "ILSVRC2012_val_00000001.JPEG"
    assert file_name(7, "val/ILSVRC2012_val_00000001.JPEG", True) == "7~ILSVRC2012_val_00000001.jpeg"
    assert file_name(7, "../../etc/pass wd.png", False) == "7~pass-wd.png"


@given(
    st.lists(st.one_of(st.text(max_size=20), st.sampled_from(["=1", " =1", "\t=1", "'=1", "''", "-1", "＝1", "@a"])))
)
def test_no_cell_is_run_and_each_can_be_had_back(cells: list[str]) -> None:
    made = pl.DataFrame({"cell": pl.Series(cells, dtype=pl.String)}).select(inert(pl.col("cell")))["cell"].to_list()
    for before, after in zip(cells, made, strict=True):
        assert not re.match(r"[\t\r\n]|\s*[=+\-@＝＋－＠]", after)
        assert after.removeprefix("'") == before if after.startswith("'") else after == before
        assert inert_word(before) == after
