"""Held-out variants are drawn as AlgoPerf drew them, noted where they were run, and scored so."""

import json

import pytest

from algoperf import cli, held_out, rulesets
from algoperf.errors import UserError
from algoperf.rules import Ruleset

V05_SEED = 3438810845


def test_the_seed_of_v05_gives_the_six_of_v05():
    rules = rulesets.load("v0.5")
    drawn = held_out.drawn(rules, V05_SEED).held_out
    # What v0.5 published; the rules' file names them independently of the pool.
    assert sorted(drawn) == sorted(rules.held_out)
    assert len(drawn) == 6


@pytest.mark.parametrize("name", ["quick", "pocket", "v0.5", "v0.6"])
def test_a_draw_takes_one_of_each_group_and_every_variant_has_its_turn(name):
    pool = rulesets.load(name).held_out_pool
    draws = [held_out.draw(pool, seed) for seed in range(200)]
    for place, variants in enumerate(pool.values()):
        assert {drawn[place] for drawn in draws} == set(variants)


def test_a_pool_loses_the_variants_of_workloads_that_are_not_scored(tmp_path):
    file = tmp_path / "small.json"
    file.write_text(
        json.dumps({"extends": "quick", "base_workloads": ["digits_vit"], "reference": "adamw"})
    )
    assert rulesets.load(file).held_out_pool == {
        "digits": ("digits_vit_relu", "digits_vit_post_ln")
    }


def test_the_draw_is_noted_and_another_refused(tmp_path):
    quick = rulesets.load("quick")
    first = held_out.drawn(quick, 1)
    assert held_out.as_recorded(quick, [tmp_path]) == quick
    held_out.keep(tmp_path, first, 1)
    held_out.keep(tmp_path, first, 1)
    assert held_out.as_recorded(quick, [tmp_path]).held_out == first.held_out
    with pytest.raises(UserError, match="drawn with the seed 1"):
        held_out.keep(tmp_path, held_out.drawn(quick, 2), 2)
    other = tmp_path / "other"
    held_out.keep(other, held_out.drawn(quick, 2), 2)
    with pytest.raises(UserError, match="different draws"):
        held_out.as_recorded(quick, [tmp_path, other])


def test_a_note_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / held_out.FILE).write_text("{")
    with pytest.raises(UserError, match=held_out.FILE):
        held_out.as_recorded(rulesets.load("quick"), [tmp_path])


def test_what_cannot_be_drawn_is_said(tmp_path):
    quick = rulesets.load("quick")
    with pytest.raises(UserError, match="at least 0"):
        held_out.drawn(quick, -1)
    file = tmp_path / "none.json"
    file.write_text(json.dumps({"extends": "quick", "held_out_pool": {}}))
    with pytest.raises(UserError, match="no `held_out_pool`"):
        held_out.drawn(rulesets.load(file), 1)


def test_a_plan_shows_the_draw_its_cost_and_the_points_and_runs_nothing(tmp_path, capsys):
    cli.run(["adamw"], results=tmp_path, held_out=0, plan=True)
    shown = capsys.readouterr().out
    quick = rulesets.load("quick")
    (variant,) = held_out.drawn(quick, 0).held_out
    assert f"held out: {variant}" in shown
    # 3 bases and a variant, 2 studies x 2 trials each.
    assert "16 to run" in shown
    names = [*quick.base_workloads, variant]
    hours = sum(4 * quick.fixed(name, Ruleset.EXTERNAL).budget_s for name in names) / 3600
    assert f"{hours:,.2f}" in shown
    assert "Points of adamw" in shown
    assert "(external, 2 studies x 2 trials)" in shown
    assert not any(tmp_path.iterdir())


def test_a_plan_of_fewer_studies_says_so(tmp_path, capsys):
    cli.run(["adamw"], results=tmp_path, studies=1, plan=True)
    shown = capsys.readouterr().out
    assert "6 to run" in shown
    assert "(external, 1 of 2 studies x 2 trials)" in shown


def test_a_qualification_set_takes_no_other_workloads(tmp_path):
    with pytest.raises(UserError, match="no qualification set"):
        cli.run(["adamw"], results=tmp_path, qualification=True, plan=True)
    with pytest.raises(UserError, match="leave out --workload"):
        cli.run(
            ["adamw"],
            suite="pocket",
            workloads=["clicks"],
            results=tmp_path,
            qualification=True,
            plan=True,
        )
