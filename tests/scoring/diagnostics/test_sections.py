"""A report's sections: all there is, each with a text and words for its picture."""

import html
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from scoring.diagnostics import page, plots, sections
from scoring.diagnostics.diagnosis import diagnose
from tests.scoring.diagnostics.families import tidy, trend


@pytest.fixture
def diagnosis(tmp_path):
    def of(compute=None, models=5):
        path = tmp_path / "choices.csv"
        tidy(*trend(models=models, samples=30), compute=compute).to_csv(path, index=False)
        return diagnose([path])

    return of


def test_every_section_can_be_read_without_its_picture(diagnosis):
    found = list(sections.sections(diagnosis()))
    drawn = {"ccdf", "levels", "masses", "attribution", "reliability"}
    assert [section.name for section in found] == [
        "ccdf", "comparisons", "orderings", "levels", "forecast", "backtests", "fits", "masses",
        "trends", "rank_stability", "attribution", "flips", "reliability", "label_errors",
        "noise_crossings",
    ]  # fmt: skip
    for section in found:
        if section.name in drawn:
            assert section.figure is not None
            assert "letters" in section.alternative
        assert len(section.text) > 40
        assert not section.table.empty


def test_without_compute_there_is_less_to_draw(diagnosis):
    found = {s.name: s for s in sections.sections(diagnosis(compute=[np.nan] * 5))}
    assert "ccdf" not in found
    assert found["levels"].figure is None
    assert found["masses"].figure is not None


def test_the_words_have_the_numbers_of_the_picture(diagnosis):
    found = diagnosis()
    section = next(sections.sections(found))
    row = section.table[section.table["score"] == "accuracy"].iloc[0]
    assert f"accuracy: {row['share_above']:.0%} of samples above 0.75" in section.alternative


def test_one_model_is_enough_for_what_needs_no_other(diagnosis):
    found = {s.name for s in sections.sections(diagnosis(models=1))}
    assert found == {"levels", "masses", "reliability", "label_errors"}


def test_the_page_has_every_section_and_its_words(diagnosis):
    found = diagnosis()
    text = page.html(found)
    for section in sections.sections(found):
        assert f">{section.title}</h2>" in text
        assert html.escape(section.alternative) in text
    # Of five models three are seen where two are held out: 3 - 2 degrees of freedom.
    told = text.partition("How well the largest models are predicted from the smaller ones")[2]
    assert "1 degree of freedom: too few points" in told
    assert "#000000" not in text  # invisible on a dark page
    assert "http" not in re.sub(r'xmlns[:a-z]*="[^"]*"', "", text)


@pytest.mark.slow
def test_what_a_picture_leaves_out_is_told(tmp_path):
    loglik, gold = trend(models=3, samples=4)
    tasks = [tidy(loglik, gold, task=f"task {number}") for number in range(37)]
    pd.concat(tasks).to_csv(tmp_path / "choices.csv", index=False)
    diagnosis = diagnose([tmp_path / "choices.csv"])
    found = {section.name: section for section in sections.sections(diagnosis)}
    for name, most in (
        ("ccdf", 12), ("levels", 12), ("masses", 12), ("attribution", 36), ("reliability", 12),
    ):  # fmt: skip
        cut = f" Drawn are the first {most} of 37; the tables have all."
        assert found[name].text.endswith(cut)
        assert found[name].alternative.endswith(cut)
        assert f"task {most - 1}" in found[name].alternative
        assert f"task {most}" not in found[name].alternative
        assert set(found[name].table["task"]) == {f"task {number}" for number in range(37)}
    assert len([a for a in found["levels"].figure.axes if a.get_title()]) == plots.MOST_PANELS
    assert len(found["attribution"].figure.axes[0].get_yticks()) == 36


def test_nothing_is_left_out_where_all_is_drawn(diagnosis):
    assert not any("Drawn are" in section.text for section in sections.sections(diagnosis()))


def test_the_ceiling_stands_beside_the_mean_of_accuracy(diagnosis):
    found = diagnosis()
    table = next(sections.sections(found)).table.set_index("score")
    scaled = found.tables["correlations"].set_index(["score", "normalisation", "method"])
    row = table.loc["accuracy"]
    assert row["ceiling_mean"] == scaled.loc[("accuracy", "raw", "spearman"), "ceiling_mean"] < 1
    assert row["gamma_mean"] == scaled.loc[("accuracy", "raw", "kendall"), "gamma_mean"]
    assert np.isnan(table.loc["brier", "gamma_mean"])


def test_the_band_is_that_of_each_line(diagnosis):
    found = diagnosis()
    (axes,) = plots.ccdf(found).axes
    scores = list(dict.fromkeys(found.tables["ccdf_null"]["score"]))
    assert scores == ["log_p_vocab_correct", "p_choices_correct", "brier", "accuracy"]
    bands = [found for found in axes.collections if len(found.get_paths())]
    lines = [line for line in axes.lines if not line.get_label().startswith("_")]
    assert len(bands) == len(lines) == 4
    for of, line in zip(bands, lines, strict=True):
        assert tuple(of.get_facecolor()[0][:3]) == to_rgb(line.get_color())


class Structure(HTMLParser):
    """What a page consists of."""

    def __init__(self):
        super().__init__()
        self.open, self.tables, self.captions, self.wrong, self.links = [], 0, 0, [], []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.links += [v for k, v in attributes if k in {"src", "href", "xlink:href"} and v]
        self.tables += tag == "table"
        self.captions += tag == "caption"
        if tag == "svg" and given.get("aria-hidden") != "true":
            self.wrong.append("a picture that is read out")
        if tag not in {"meta", "br", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if self.open.pop() != tag:
            self.wrong.append(f"</{tag}> closes another")


def structure(text):
    found = Structure()
    found.feed(text)
    found.close()
    assert (found.open, found.wrong) == ([], [])
    assert found.tables == found.captions
    assert all(link.startswith(("#", "data:")) for link in found.links)
    assert text.count("<figure>") == text.count("<summary>The picture in words</summary><p>")
    return found


def test_the_page_is_whole(diagnosis):
    structure(page.html(diagnosis()))


def test_a_page_of_texts_and_concepts_alone(tmp_path):
    tokens = {"model": "m", "sample_id": ["a", "b"], "token_logprobs": ["-1 -2", "-3 -9"]}
    pd.DataFrame(tokens | {"is_member": [1, 0]}).to_csv(tmp_path / "tokens.csv", index=False)
    concepts = {"concept": ["cat", "dog", "elk"], "frequency": [10, 100, 0], "accuracy": [0, 1, 1]}
    pd.DataFrame(concepts).to_csv(tmp_path / "concepts.csv", index=False)
    text = page.html(diagnose([tmp_path / "tokens.csv", tmp_path / "concepts.csv"]))
    assert structure(text).tables == 2
    assert "Of token log-probabilities, concept frequencies." in text
    for words in ("auroc", "Whether a text was in the training data", "drop_zeros"):
        assert words in text
