"""The HTML report: self-contained, readable without eyes, and what the table says."""

import re
from collections import Counter
from html.parser import HTMLParser

import pytest

from scoring.leaderboard import board
from scoring.report import board_page, page
from scoring.report.page import Cell, Section, Table
from tests.scoring import trees

VOID = {"meta", "br", "hr", "img", "input", "link"}


class Reader(HTMLParser):
    """Collects elements, and complains of tags that do not match."""

    def __init__(self):
        super().__init__()
        self.stack: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    rules = trees.rules(folder)
    trials = {
        ("<ada> & co", 1, "a"): [10, 12], ("<ada> & co", 2, "a"): [14, 30],
        ("<ada> & co", 1, "b"): [None, 40], ("<ada> & co", 2, "b"): [60, None],
        ("bob", 1, "a"): [30, 24], ("bob", 2, "a"): [24, 99],
        ("bob", 1, "b"): [20, 21], ("bob", 2, "b"): [None, None],
    }  # fmt: skip
    trees.write_all(folder / "logs", trials)
    (folder / "logs" / "bob" / "study_1" / "notes").mkdir()
    return board.score([folder / "logs"], rules)


@pytest.fixture(scope="module")
def html(found):
    return board_page.html(found)


@pytest.fixture(scope="module")
def read(html):
    reader = Reader()
    reader.feed(html)
    assert not reader.stack
    return reader


def test_the_page_asks_nobody_for_anything(html):
    addresses = re.findall(r"(?:src|href)=\"([^\"]*)\"", html)
    assert all(address.startswith(("#", "data:")) for address in addresses)
    assert not re.search(r"@import|url\((?!#)", html)


def test_every_identifier_is_unique_and_every_link_leads_somewhere(html, read):
    names = [a["id"] for _, a in read.elements if a.get("id")]
    assert [name for name, count in Counter(names).items() if count > 1] == []
    targets = set(re.findall(r"(?:href=\"#|url\(#)([^\")]*)", html))
    assert targets <= set(names)


def test_every_picture_is_told_in_words(html, read):
    assert len(read.all("figure")) == html.count("The picture in words") == 4
    assert "The target is accuracy 0.9. &lt;ada&gt; &amp; co reaches it first at 10 seconds" in html


def test_tables_can_be_sorted_with_the_keyboard_and_scrolled(read):
    assert len(read.all("button")) > 20
    assert all(a.get("tabindex") == "0" for a in read.all("div") if a.get("class") == "scroll")
    assert all(a["scope"] in ("col", "row") for a in read.all("th"))


def test_names_are_text_not_markup(html):
    assert "<ada>" not in html
    assert "&lt;ada&gt; &amp; co" in html


def test_the_page_says_what_the_table_says(found, html):
    for row in found.scores.to_dict("records"):
        assert f"{row['score']:.4f}" in html
    assert "24 (2.00x)" in html
    assert "is not named &lt;workload&gt;" in html
    assert str(found.logs.trials["path"].iloc[0]) not in html  # only problems name paths


def test_a_dash_sorts_last():
    rows = [[Cell("x"), page.number(2.5)], [Cell("y"), page.number(float("inf"))]]
    text = page.render("t", "s", [Section("S", [Table(["name", "n"], rows, "c")])])
    values = [float(value) for value in re.findall(r'data-value="([^"]*)"', text)]
    assert values[0] < values[1]
    assert ">-<" in text
