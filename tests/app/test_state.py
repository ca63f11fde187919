import pytest
import streamlit
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from app import state
from app.text import md_escape


@pytest.fixture
def query(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    parameters: dict[str, str] = {}
    monkeypatch.setattr(streamlit, "query_params", parameters)
    return parameters


def test_opening_and_closing_an_item_is_in_the_address(query: dict[str, str]) -> None:
    assert state.opened_item(10) is None
    state.open_item(7)
    assert query == {"item": "7"}
    assert state.opened_item(10) == 7
    state.close_item()
    assert query == {}
    state.close_item()


@pytest.mark.parametrize("text", ["", "-1", "10", "1e1", "٣", "7.0", " 7", "99999999999999999999", "<b>", "0x1"])
def test_an_item_that_cannot_be_is_no_item(query: dict[str, str], text: str) -> None:
    query["item"] = text
    assert state.opened_item(10) is None


def test_an_empty_dataset_has_no_item_to_open(query: dict[str, str]) -> None:
    query["item"] = "0"
    assert state.opened_item(0) is None


@given(text=st.text(max_size=30), pages=st.integers(0, 50))
def test_whatever_the_address_says_the_page_is_one_of_ours(text: str, pages: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streamlit, "query_params", {"page": text})
        assert 1 <= state.page(pages) <= max(1, pages)


def test_turning_pages(query: dict[str, str]) -> None:
    state.turn_to(3)
    assert query == {"page": "3"}
    assert state.page(5) == 3
    assert state.page(2) == 1
    state.turn_to(1)
    assert query == {}


def test_choices_and_texts(query: dict[str, str]) -> None:
    query.update(sort="size", note="x" * 300)
    assert state.read_choice("sort", ["size", "key"]) == "size"
    assert state.read_choice("sort", ["key"]) is None
    assert state.read_choice("absent", ["key"]) is None
    assert state.read_text("sort") == "size"
    assert state.read_text("note") is None


def test_links() -> None:
    assert state.link("browse", {"item": 3, "page": None, "where": ["class=a&b", "x=é"]}) == (
        "browse?item=3&where=class%3Da%26b&where=x%3D%C3%A9"
    )
    assert state.link("browse", {"page": None}) == "browse"


MARKUP = [
    "![x](http://evil.example/p.png)",
    "<img src=x onerror=alert(1)>",
    "https://evil.example/a.png",
    "**bold** _it_ `code` ~~gone~~",
    "# heading",
    "- list",
    "1. list",
    "    code",
    "a\n\n> quote",
    "&copy; &amp;",
    "[a]: http://evil.example",
]


@given(st.sampled_from(MARKUP) | st.text(max_size=40))
def test_escaped_text_is_one_paragraph_of_exactly_its_characters(text: str) -> None:
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(md_escape(text))
    assert [token.type for token in tokens] in ([], ["paragraph_open", "inline", "paragraph_close"])
    shown = "".join(child.content for token in tokens for child in token.children or [])
    assert {child.type for token in tokens for child in token.children or []} <= {"text", "text_special"}
    plain = "".join(" " if ord(c) < 32 or c in "\x7f\u2028\u2029" else c for c in text)
    assert shown.replace("\u2060", "").split() == plain.replace("\u2060", "").split()


@pytest.mark.parametrize("text", ["https://evil.example", "www.evil.example", "HTTP://evil.example", "a@evil.example"])
def test_addresses_are_broken_for_those_who_make_links_of_finished_text(text: str) -> None:
    assert "\u2060" in md_escape(text)


@pytest.mark.parametrize("text", [":material/home:", ":red[x]", "$x^2$", ":smile:"])
def test_streamlits_own_marks_are_escaped(text: str) -> None:
    for mark in ":$[":
        assert text.count(mark) == md_escape(text).count(f"\\{mark}")
