"""Fixtures that every room's tests share."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# In the pipeline the same examples each time; elsewhere new ones. No deadline: machines are shared and slow.
settings.register_profile("pipeline", derandomize=True, deadline=None)
settings.register_profile("anywhere", deadline=None)
settings.load_profile("pipeline" if os.environ.get("CI") else "anywhere")

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real labels, predictions and photographs; a test that needs it is skipped without it."""
    folder = Path(os.environ.get("ERRATA_SHARED_DATA", CHECKOUT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}; set ERRATA_SHARED_DATA to its folder")
    return folder
