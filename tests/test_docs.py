"""The documentation says what the code does: commands and options, metrics, outcomes, routes, columns, links."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import typer
from starlette.routing import Route

from analysis import cli
from analysis import report as reports
from analysis.items import SCHEMA
from analysis.labels.sets import original
from analysis.models.predictions import Predictions
from analysis.outcomes import OUTCOME_NAMES
from app import routes

CHECKOUT = Path(__file__).resolve().parents[1]
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
TYPES = {pl.UInt32(): "u32", pl.UInt64(): "u64", pl.Float64(): "f64", pl.String(): "str", pl.Boolean(): "bool"}


def read(name: str) -> str:
    return (CHECKOUT / "docs" / name).read_text(encoding="utf-8")


def without_code(text: str) -> str:
    """The text without fenced blocks, code spans and indented blocks, in which nothing is a link."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`|^ {4}\S.*$", "", text, flags=re.MULTILINE)


def anchors(text: str) -> set[str]:
    """The names that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands() -> Iterator[tuple[str, set[str], set[str]]]:
    """Each command as it is typed, its options, and their negative forms."""

    def walk(command: object, typed: str) -> Iterator[tuple[str, set[str], set[str]]]:
        if inner := getattr(command, "commands", None):
            for name, each in inner.items():
                yield from walk(each, f"{typed} {name}")
            return
        options = [part for part in command.params if part.param_type_name == "option"]  # type: ignore[attr-defined]
        yield (
            typed,
            {name for option in options for name in option.opts},
            {name for option in options for name in option.secondary_opts},
        )

    return walk(typer.main.get_command(cli.app), "errata")


COMMANDS = list(commands())


@pytest.mark.parametrize(("command", "options", "negative"), COMMANDS, ids=[name for name, *_ in COMMANDS])
def test_each_command_has_a_section_with_all_its_options(command: str, options: set[str], negative: set[str]) -> None:
    sections = re.findall(
        rf"^### `{command}(?: [^`]*)?`\n(.*?)(?=^### |\Z)", read("guide.md"), re.MULTILINE | re.DOTALL
    )
    assert len(sections) == 1, f"docs/guide.md has {len(sections)} sections on {command}"
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", sections[0]))
    assert not options - named, "options that the section lacks"
    assert not named - options - negative, "options that the command has not"


def test_no_section_is_on_a_command_that_does_not_exist() -> None:
    told = re.findall(r"^### `(errata [a-z -]+?)(?: [\[A-Z][^`]*)?`$", read("guide.md"), re.MULTILINE)
    assert sorted(told) == sorted(command for command, *_ in COMMANDS)


def test_readme_names_options_that_exist() -> None:
    every = {name for _, options, negative in COMMANDS for name in options | negative} | {"--help"}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", PAGES[0].read_text(encoding="utf-8")))
    assert named
    assert named <= every


def test_each_metric_is_explained() -> None:
    five = Predictions(
        items=np.arange(2, dtype=np.uint32),
        classes=np.tile(np.arange(5, dtype=np.int32), (2, 1)),
        scores=None,
        kind="ranks",
        logsumexp=None,
    )
    labels = np.array([0, 1], np.int32)
    dense = {"run": (np.eye(5)[:2], "probabilities")}
    report = reports.tabulate({"run": five}, [original(labels)], labels, dense=dense, distances=1 - np.eye(5))  # type: ignore[arg-type]
    names = report["metric"].unique().to_list()
    assert {"top1", "top5", "accuracy", "set_nll", "graded_error", "loki_accuracy"} <= set(names)
    text = read("metrics.md")
    assert [name for name in names if not re.search(rf"^\| `{name}` \|", text, re.MULTILINE)] == []


def test_each_outcome_is_explained() -> None:
    text = read("metrics.md")
    told = re.findall(r"^\| `([a-z_]+)` \|", text[text.index("## Outcomes") :], re.MULTILINE)
    assert told == list(OUTCOME_NAMES)


def test_each_route_is_listed_with_its_method() -> None:
    text = read("architecture.md")
    for route in routes.routes():
        assert isinstance(route, Route)
        path = re.sub(r":\w+}", "}", route.path)
        row = re.search(rf"^\| `{re.escape(path)}` \| (\w+) \|", text, re.MULTILINE)
        assert row, f"docs/architecture.md does not list {path}"
        assert row[1] in (route.methods or ())


@pytest.mark.parametrize(
    ("heading", "schema"),
    [
        ("### dataset/VERSION/items.parquet", SCHEMA),
        ("## What the command line prints as JSON", reports.REPORT_SCHEMA),
    ],
    ids=["items", "report"],
)
def test_each_column_is_listed_with_its_type(heading: str, schema: Mapping[str, pl.DataType]) -> None:
    text = read("formats.md")
    section = text[text.index(f"\n{heading}\n") :]
    told = dict(re.findall(r"^\| `(\w+)` \| (\w+)\??\s*\|", section.split("\n\nBehind these")[0], re.MULTILINE))
    missing = {name: TYPES[kind] for name, kind in schema.items() if told.get(name) != TYPES[kind]}
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if not file.exists() or (anchor and anchor not in anchors(file.read_text(encoding="utf-8"))):
            broken.append(target)
    assert not broken


@pytest.mark.parametrize("page", ["guide.md", "formats.md"])
def test_examples_run_as_written(page: str, tmp_path: Path) -> None:
    """The `sh` blocks of a page, one after the other in an empty folder."""
    script = "".join(re.findall(r"^```sh\n(.*?)^```", read(page), re.MULTILINE | re.DOTALL))
    assert script.count("errata ") >= 4
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
