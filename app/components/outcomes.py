"""The four outcomes as people see them: one colour and one sign each, everywhere in the app.

The colours keep apart for people with red, green or blue blindness, in lightness or in hue; the sign is always
shown with them. Charts take them from here, the components' stylesheets are made from here.
"""

from dataclasses import dataclass
from typing import Literal, get_args

Outcome = Literal["right", "wrong", "unclear", "unjudged"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


@dataclass(frozen=True)
class Look:
    """How an outcome is shown: its sign, and colours (#rrggbb) on a light and on a dark page."""

    sign: str
    light: str
    dark: str

    def color(self, theme: str | None) -> str:
        """The colour for a theme's type, as in `st.context.theme.type`."""
        return self.dark if theme == "dark" else self.light


LOOKS: dict[Outcome, Look] = {
    "right": Look("✓", "#0A7C86", "#35B8C0"),
    "wrong": Look("✗", "#C8470B", "#E0632A"),
    "unclear": Look("?", "#D9A400", "#F0CB57"),
    "unjudged": Look("·", "#A3ACB9", "#626C7A"),
}


def stylesheet() -> str:
    """The colours as CSS custom properties, for the components' shadow roots."""

    def properties(theme: Literal["light", "dark"]) -> str:
        return " ".join(f"--{name}: {look.color(theme)};" for name, look in LOOKS.items())

    return f".errata {{ {properties('light')} }}\n.errata.dark {{ {properties('dark')} }}\n"
