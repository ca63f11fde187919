"""A chart as every page shows it: with its numbers as a table one click away, and a download of both."""

from collections.abc import Callable
from typing import Literal

import plotly.graph_objects as go
import polars as pl
import streamlit as st

CONFIG = {"displaylogo": False, "modeBarButtons": [["toImage"]]}
"""Of plotly's tools only the download: the browser makes the picture, nothing is sent."""


def chart(
    figure: go.Figure,
    numbers: Callable[[], pl.DataFrame],
    *,
    key: str,
    alt: str,
    on_select: Callable[[], None] | Literal["ignore"] = "ignore",
) -> None:
    """Draw a figure; `numbers` makes the table behind it, when it is opened. Its own toolbar downloads it as CSV.

    `on_select` is called when a point is clicked, which then stands in the session state under `key`.
    """
    options = {**CONFIG, "toImageButtonOptions": {"format": "svg", "filename": f"errata-{key}"}}
    st.plotly_chart(figure, key=key, on_select=on_select, selection_mode="points", config=options, alt=alt)
    table = st.popover("Numbers", icon=":material/table:", type="tertiary", key=f"{key}-numbers", on_change="rerun")
    if table.open:
        table.dataframe(numbers(), hide_index=True)
