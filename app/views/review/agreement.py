"""Agreement between readers of a queue or of all."""

import polars as pl
import streamlit as st

from analysis.review.queues import Queue
from app.frame import Frame


def show(frame: Frame, rows: pl.DataFrame, queue: Queue | None) -> pl.Series | None:
    """Coefficients."""
    st.caption("Soon.")
    return None
