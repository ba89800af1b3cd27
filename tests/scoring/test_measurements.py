"""Logs read many at once, as one table: what comes out is what comes of each line alone."""

import numpy as np
import pytest
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
def plain(draw, header):
    """A log without a fault; of one header a list has several."""
    return "\n".join([header, *draw(st.lists(ordinary(written), max_size=5))]) + "\n"


@st.composite
def dirty(draw):
    header = ",".join(draw(st.permutations(NAMES) | st.lists(st.sampled_from(NAMES), max_size=7)))
    lines = st.lists(written | odd | st.sampled_from(["NULL", "NA"]), min_size=5, max_size=7)
    line = ordinary(written | odd) | lines.map(",".join) | st.sampled_from(["", " ", header])
    end = draw(st.sampled_from(["\n", "", "\r\n", "\n\n"]))
    return draw(st.sampled_from(["\n", "\r\n"])).join([header, *draw(st.lists(line))]) + end


@st.composite
def logs(draw):
    header = ",".join([NAMES[0], *draw(st.permutations(NAMES[1:]))])
    log = plain(header).map(str.encode)
    return draw(st.permutations([*draw(st.lists(log, max_size=5)), *draw(st.lists(other))]))


other = dirty().map(str.encode) | st.binary(max_size=30)


def alone(raw):
    return measurements.line_by_line(raw, METRIC)


def same(found, expected):
    (array, faults), (other, others) = found, expected
    return np.array_equal(array, other, equal_nan=True) and faults == others


@given(logs())
def test_many_at_once_are_read_as_each_line_alone(raws):
    for raw, found in zip(raws, parse(raws, METRIC), strict=True):
        assert same(found, alone(raw))
        assert found[0].shape[1] == len(FIELDS)


HEADER = "accumulated_submission_time,odd,validation/mse"


def test_each_log_gets_its_own_lines():
    sizes = [1, 0, 3, 2]
    raws = [
        "\n".join([HEADER, *(f"{size},{row},{size + row / 8}" for row in range(size)), ""]).encode()
        for size in sizes
    ]
    found = parse(raws, METRIC)
    place = FIELDS.index("validation")
    assert [array[:, place].tolist() for array, _ in found] == [
        [1], [], [3, 3.125, 3.25], [2, 2.125],
    ]  # fmt: skip


@pytest.mark.parametrize("sign", [bytes([sign]) for sign in b'"( \t\r\v\f\0\x1c\x1d\x1e_+'])
def test_signs_that_make_lines_or_numbers_another_way(sign):
    """Also where nothing is read: in the column `odd`."""
    for cell in (b"1" + sign + b"2", sign + b"1", b"1" + sign, b"nan" + sign):
        for line in (b"1," + cell + b",2\n", b"1,2," + cell + b"\n"):
            raw = HEADER.encode() + b"\n" + line + b"5,6,7\n"
            (found,) = parse([raw], METRIC)
            assert same(found, alone(raw))


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
