import pytest
import streamlit
from hypothesis import given
from hypothesis import strategies as st

from app import state


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


@given(text=st.text(max_size=30))
def test_whatever_the_address_says_a_number_is_within_bounds_or_absent(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streamlit, "query_params", {"like": text})
        number = state.read_int("like", low=1, high=9)
        assert number is None or 1 <= number <= 9
