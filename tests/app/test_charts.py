"""What the charts are drawn with."""

import tomllib
from pathlib import Path

import pytest

import app


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("scale", ["chartCategoricalColors", "chartSequentialColors", "chartDivergingColors"])
def test_each_scale_of_colours_is_whole(theme: str, scale: str) -> None:
    """Streamlit asks for ten colours; where one is missing plotly takes its own for all."""
    config = tomllib.loads((Path(app.__file__).parent / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    colours = config["theme"][theme][scale]
    assert len(colours) == len(set(colours)) == 10
