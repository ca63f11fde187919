"""timm's models by name: without their weights they are an error, never a random model."""

import socket

import pytest
import timm

from analysis.errors import InputError
from analysis.models import load


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> list[str]:
    """No name resolves and no cache is filled; the names asked for."""
    asked: list[str] = []

    def refuse(host: str, *rest: object, **more: object) -> None:
        asked.append(host)
        raise socket.gaierror(-2, "Name or service not known")

    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return asked


def test_weights_that_cannot_be_fetched_are_an_error_at_once(no_network: list[str]) -> None:
    with pytest.raises(InputError, match=r"timm:resnet10t.*checkpoint:PATH"):
        load("timm:resnet10t", device="cpu")
    assert len(no_network) == 1  # one question, not the client's six tries


def test_an_architecture_without_published_weights_is_an_error(no_network: list[str]) -> None:
    bare = next(name for name in timm.list_models() if not timm.is_model_pretrained(name))
    with pytest.raises(InputError, match="no pretrained weights"):
        load(f"timm:{bare}", device="cpu")
    assert no_network == []


def test_an_unknown_tag_or_name_is_an_error_that_helps(no_network: list[str]) -> None:
    with pytest.raises(InputError, match=r"resnet10t\.c3_in1k"):
        load("timm:resnet10t.nonsense", device="cpu")
    with pytest.raises(InputError, match=r"did you mean .*resnet50"):
        load("timm:resnet5O", device="cpu")
    assert no_network == []
