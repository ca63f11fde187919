"""Text from datasets, made safe for places where Streamlit reads Markdown."""

import re

# Everything that CommonMark or Streamlit's extensions (":material/...:", ":red[...]", "$...$") give a meaning to.
_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&^=@/])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")

# Where links and typographic arrows are made from the finished text, whatever was escaped in it.
_MADE_LATER = re.compile(r"(?<=://)|(?<=www)(?=\.)|(?<=@)|(?<=[-<>~=])(?=[-<>=])", re.IGNORECASE)
_WORD_JOINER = "\u2060"


def md_escape(text: object) -> str:
    """Any value as one line of Markdown that shows exactly its characters: no markup, no link, no image.

    Use it for every string of a dataset (class, file or column name, cell) that goes into a Streamlit label,
    Markdown, caption, metric or message. Control characters and line ends become one space each run; invisible
    word joiners keep addresses from becoming links.
    """
    line = _CONTROL.sub(" ", str(text)).strip()
    return _SPECIAL.sub(r"\\\1", _MADE_LATER.sub(_WORD_JOINER, line))


def count(number: int) -> str:
    """A whole number with thin spaces between its thousands."""
    return f"{number:,}".replace(",", "\u202f")


def percent(value: float, low: float | None = None, high: float | None = None) -> str:
    """A fraction in percent with one decimal, and half its interval where there is one: `86.1 % ±0.3`."""
    interval = "" if low is None or high is None else f"\u202f±{50 * (high - low):.1f}"
    return f"{100 * value:.1f}\u202f%{interval}"


def plural(number: int, noun: str, nouns: str | None = None) -> str:
    """A number with its noun: `1 run`, `3 runs`."""
    return f"{count(number)} {noun if number == 1 else nouns or noun + 's'}"
