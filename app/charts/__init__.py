"""Charts in plotly: frames in, figures out; nothing is computed here but positions."""
