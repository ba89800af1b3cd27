"""Generated data: made once, the same everywhere, made again where the cache is broken."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algoperf.data import hash_of
from algoperf.spec import Split
from workloads.datasets.generated import generated


def make():
    rng = np.random.default_rng(0)
    return {
        split: {
            "inputs": rng.integers(0, 256, (8 + place, 3), dtype=np.uint8),
            "targets": rng.integers(0, 2, 8 + place, dtype=np.int32),
        }
        for place, split in enumerate(Split)
    }


EXAMPLE = {
    "inputs": jax.ShapeDtypeStruct((3,), np.uint8),
    "targets": jax.ShapeDtypeStruct((), np.int32),
}


def as_floats(rows):
    return {**rows, "inputs": rows["inputs"].astype(jnp.float32) / 256}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def made():
    """How often the data were made."""
    return []


def dataset(made, **options):
    def counted():
        made.append(1)
        return make()

    return generated("tiny", counted, hash_of(make()), example=EXAMPLE, **options)


def test_the_second_process_reads_what_the_first_made(cache, made):
    one, two = dataset(made), dataset(made)
    assert one.sizes == two.sizes
    assert len(made) == 1


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04"])
def test_a_broken_cache_is_made_again(cache, made, content):
    _ = dataset(made).sizes
    (file,) = (cache / "algoperf" / "generated").iterdir()
    file.write_bytes(content)
    _ = dataset(made).sizes
    assert len(made) == 2


def test_a_cache_that_cannot_be_written_is_no_reason_to_stop(monkeypatch, tmp_path, made):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert dataset(made).sizes[Split.TRAIN] == 8


def test_the_signature_needs_no_data(cache, made):
    signature = dataset(made, prepare=as_floats).signature(4)
    assert (signature["inputs"].shape, signature["inputs"].dtype) == ((4, 3), np.float32)
    assert made == []


def test_what_is_prepared_is_prepared_in_training_and_in_evaluation(cache, made):
    data = dataset(made, prepare=as_floats)
    training = next(data.training(4, seed=0))
    assert {k: (v.shape, v.dtype) for k, v in training.items()} == {
        k: (v.shape, v.dtype) for k, v in data.signature(4).items()
    }
    whole = make()[Split.VALIDATION]
    batches = list(data.evaluation(Split.VALIDATION, 4))
    seen = np.concatenate([np.asarray(b["inputs"])[np.asarray(b["weights"]) > 0] for b in batches])
    assert np.array_equal(seen, whole["inputs"].astype(np.float32) / np.float32(256))


def test_a_prepared_stream_goes_on_where_it_stood(cache, made):
    data = dataset(made, prepare=as_floats)
    stream = data.training(4, seed=1)
    batches = [next(stream) for _ in range(40)]
    again = next(data.training(4, seed=1, position=33))
    assert np.array_equal(batches[33]["inputs"], again["inputs"])
