"""A report's sections: all there is, each with a text and words for its picture."""

import html
import re

import numpy as np
import pytest

from scoring.diagnostics import page, sections
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
    names = [section.name for section in found]
    drawn = ["ccdf", "levels", "masses", "attribution", "reliability"]
    assert names == [*drawn[:2], "backtests", "fits", *drawn[2:]]
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
    assert found == {"levels", "masses", "reliability"}


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
