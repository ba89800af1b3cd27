"""A simulated campaign in small: planned, recorded in part, gone on with, scored."""

import pytest

from algoperf import planned
from benchmarks import campaign
from scoring.leaderboard import board


def test_a_campaign_is_planned_gone_on_with_and_scored(tmp_path, monkeypatch):
    # An evaluation more or less is no matter here.
    monkeypatch.setattr(campaign, "EVALUATIONS", 5)
    small = campaign.Campaign.make(tmp_path, submissions=3, trials=2, studies=2)
    todo = small.plan().todo
    # 3 submissions on 9 workloads and 24 variants, 2 studies of 2 trials.
    assert len(todo) == 3 * (9 + 24) * 2 * 2 == 396
    campaign.run([spec for place, spec in enumerate(todo) if place % 3], small.results)
    rest = small.plan()
    assert (rest.done, rest.todo) == (264, todo[::3])
    campaign.run(rest.todo, small.results)
    assert (small.plan().done, small.plan().todo) == (396, ())
    found = board.score([small.results], small.loaded())
    assert found.problems == []
    assert len(found.logs.trials) == 396
    # Each is slower than the one before by a twentieth of the first, and by at most 1 % of noise.
    assert found.submissions == ["s000", "s001", "s002"]
    ratios = found.ratio_table()
    for row, ratio in enumerate([1.0, 1.05, 1.1]):
        assert ratios.iloc[row].to_numpy() == pytest.approx(ratio, rel=0.011)
    assert set(found.scores["workloads_reached"]) == {9}
    assert found.scores["score"].iloc[0] == 1.0


def test_no_more_points_are_shown_than_anybody_reads(tmp_path):
    many = campaign.Campaign.make(tmp_path, submissions=40, trials=5, studies=3)
    *shown, told = planned.tables(many.plan())
    # Costs, and as many submissions of 15 points each as are at most 500 rows: 33.
    assert len(shown) == 1 + 500 // 15
    assert told == "Submissions whose points are not shown: 7. Plan fewer to see them."
    alone = campaign.Campaign.make(tmp_path / "alone", submissions=1, trials=300, studies=3)
    _, points = planned.tables(alone.plan())
    assert not isinstance(points, str)
    assert points.row_count == 900
