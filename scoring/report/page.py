"""One self-contained HTML page from sections of text, tables and pictures.

No server and no network: styles, script and pictures are in the file. Light and dark follow the
reader's system; tables sort by mouse and keyboard; every picture has its content in words.
"""

import functools
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import matplotlib as mpl
from matplotlib.figure import Figure

INK = "#010203"
"""A colour that becomes the reader's text colour in a page."""

_SAVING: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "algoperf",
    "font.family": "sans-serif",
}


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: What it says.
        value: The number to sort by; None to sort by the text.
        shade: How dark its background is, in [0, 1]; None for none.
    """

    text: str
    value: float | None = None
    shade: float | None = None


def number(value: float, form: str = "{:.4g}", shade: float | None = None) -> Cell:
    """A number; a dash where it is not finite, which sorts last."""
    if math.isfinite(value):
        return Cell(form.format(value), value, shade)
    return Cell("-", 1e300, shade)


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        heading: Titles of the columns.
        rows: Rows of cells, each as long as the heading.
        caption: What it shows.
        names: Which column names the row.
        sortable: Whether a reader can sort it.
    """

    heading: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str
    names: int = 0
    sortable: bool = True

    def numeric(self, column: int) -> bool:
        """Whether the column holds numbers."""
        return any(row[column].value is not None for row in self.rows)


@dataclass(frozen=True)
class Picture:
    """A picture.

    Attributes:
        svg: The `<svg>` element.
        caption: What it shows.
        words: What there is to see in it, for those who cannot.
    """

    svg: str
    caption: str
    words: str


Block = str | Table | Picture


@dataclass(frozen=True)
class Section:
    """A titled part of the page."""

    title: str
    blocks: Sequence[Block]

    def labelled(self) -> Iterator[tuple[str, Block]]:
        """Each block with its kind, for the template."""
        for block in self.blocks:
            kind = "text" if isinstance(block, str) else type(block).__name__.lower()
            yield kind, block


def render(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """The page as HTML."""
    return _template().render(title=title, subtitle=subtitle, sections=sections)


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    return environment.from_string(Path(__file__).with_name("page.html").read_text())


def picture(figure: Figure, name: str, caption: str, words: str) -> Picture:
    """A figure for the page: its `INK` becomes the page's text colour, its background none.

    Args:
        figure: The figure.
        name: Unique on the page: the picture's identifiers begin with it.
        caption: What it shows.
        words: What there is to see in it.
    """
    file = io.StringIO()
    with mpl.rc_context(_SAVING):
        figure.savefig(file, format="svg", transparent=True, dpi=72, metadata={"Date": None})
    svg = file.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r'^<svg [^>]*?(viewBox="[^"]*")[^>]*>', rf"<svg \1 {_LINKED}>", svg, count=1)
    for ink in (INK, "#000000"):
        svg = svg.replace(ink, "currentColor")
    return Picture(svg, caption, words)


_LINKED = 'xmlns:xlink="http://www.w3.org/1999/xlink" role="img" aria-hidden="true"'


def save(figure: Figure, stem: Path) -> list[Path]:
    """Writes the figure as PNG and SVG; text in the SVG stays text."""
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg")]
    with mpl.rc_context(_SAVING):
        for path in paths:
            undated = {"Date": None} if path.suffix == ".svg" else None
            figure.savefig(path, dpi=150, metadata=undated)
    return paths
