"""Logs read many at once, as one table: what comes out is what comes of each line alone."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scoring.leaderboard import measurements
from scoring.leaderboard.measurements import FIELDS, parse

METRIC = "mse"
NAMES = ["accumulated_submission_time", "global_step", "flops", "validation/mse", "test/mse", "odd"]

numbers = st.floats(allow_subnormal=True).map(str) | st.integers(0, 10**25).map(str)
written = numbers | st.sampled_from(
    ["", "nan", "NaN", "-inf", "Infinity", "1e400", "1e-400", "007"]
)
odd = st.text("0123456789.eE+-_xnaifty() \t\0\x0b\x1c\r\"'#;\u0663\u00b2", max_size=8)
times = st.floats(0, 1e9).map(str)


def ordinary(cells):
    """A line with a time."""
    others = st.lists(cells, min_size=len(NAMES) - 1, max_size=len(NAMES) - 1)
    return st.builds(lambda time, others: ",".join([time, *others]), times, others)


@st.composite
def plain(draw):
    header, *others = [NAMES[0], *draw(st.permutations(NAMES[1:]))]
    return "\n".join([",".join([header, *others]), *draw(st.lists(ordinary(written)))]) + "\n"


@st.composite
def dirty(draw):
    header = ",".join(draw(st.permutations(NAMES) | st.lists(st.sampled_from(NAMES), max_size=7)))
    lines = st.lists(written | odd | st.sampled_from(["NULL", "NA"]), min_size=5, max_size=7)
    line = ordinary(written | odd) | lines.map(",".join) | st.sampled_from(["", " ", header])
    end = draw(st.sampled_from(["\n", "", "\r\n", "\n\n"]))
    return draw(st.sampled_from(["\n", "\r\n"])).join([header, *draw(st.lists(line))]) + end


logs = plain().map(str.encode) | dirty().map(str.encode) | st.binary(max_size=30)


@given(st.lists(logs, max_size=4))
def test_many_at_once_are_read_as_each_line_alone(raws):
    found = parse([*raws, *raws], METRIC)
    for raw, (array, faults) in zip([*raws, *raws], found, strict=True):
        text = raw.decode("utf-8-sig", errors="replace")
        expected, why = measurements.line_by_line(text, METRIC)
        assert np.array_equal(array, expected, equal_nan=True)
        assert faults == why
        assert array.shape == (len(expected), len(FIELDS))


def test_a_log_with_a_fault_does_not_spoil_the_others():
    header = "accumulated_submission_time,global_step,validation/mse"
    good, bad = f"{header}\n1.5,10,0.25\n2.5,20,nan\n", f"{header}\n1,2,3\nx,y,z\n"
    (one, no), (other, why), (again, _) = parse([good.encode(), bad.encode(), good.encode()], "mse")
    # seconds, steps, examples, flops, four shares, validation, test
    none = [np.nan] * 2
    row = [
        [1.5, 10, *none, *none, *none, 0.25, np.nan],
        [2.5, 20, *none, *none, *none, np.nan, np.nan],
    ]
    assert np.array_equal(one, row, equal_nan=True)
    assert np.array_equal(one, again, equal_nan=True)
    assert [what for what, _ in no] == ["validation/mse is not a number in 1 of 2 evaluations"]
    assert other[:, 0].tolist() == [1]
    assert ("line 3 is not an evaluation", "left the line out") in why
