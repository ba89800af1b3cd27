"""What the language model's workload writes beside its metrics is the diagnostics' choice table."""

import jax
import numpy as np
import pytest

from algoperf.workload import Standing, init_model
from workloads.facts_lm import facts_lm


def test_every_choice_of_every_question_is_a_row():
    assert facts_lm.extra is not None
    params, state = init_model(facts_lm, jax.random.key(0))
    standing = Standing("mine/study_1/facts_lm/trial_1", 3, 96, 5e9, 91_458)
    variables = {"params": params, **state}
    table = facts_lm.extra.table(facts_lm.model, variables, standing)
    assert list(table) == [
        *("family", "model", "compute", "task", "sample_id", "choice_idx", "loglik_sum"),
        *("is_gold", "n_tokens", "n_chars", "n_bytes", "parameters", "tokens"),
    ]
    # Four tasks of 40 questions with four choices.
    assert {len(column) for column in table.values()} == {4 * 40 * 4}
    gold, tasks = (np.asarray(table[name]).reshape(160, 4) for name in ("is_gold", "task"))
    assert (gold.sum(axis=1) == 1).all()
    assert (tasks == tasks[:, :1]).all()
    assert set(table["tokens"]) == {96 * 64}
    # A fresh model finds all 144 words about equally likely.
    per_token = np.asarray(table["loglik_sum"]) / np.asarray(table["n_tokens"])
    assert per_token.mean() == pytest.approx(-np.log(144), abs=0.1)
    assert np.abs(per_token + np.log(144)).max() < 1
