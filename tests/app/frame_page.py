"""A page that is the frame alone: what it shows of the slice, and buttons that do what views do in callbacks."""

import streamlit as st

from app import frame as frames
from app import shelf
from tests.app.test_frame import LONG

frame = frames.draw_frame(shelf.ids()[0])
st.text(f"slice: {frame.slice}")
st.text(f"items: {frame.chosen['item'].to_list()}")
st.button("open", key="open", on_click=frames.open_slice, args=(frame, "items (3-5) | order by key desc"))
st.button("only", key="only", on_click=frames.show_only, args=(frames.Slice.parse("class=cat").conditions,))
st.button("narrow", key="narrow", on_click=frames.narrow, args=(frames.Slice.parse("right=false").conditions,))
st.button("long", key="long", on_click=frames.show_only, args=(frames.Slice.parse(LONG).conditions,))
