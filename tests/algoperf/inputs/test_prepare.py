"""The verb data, as a person meets it, on a data set of small files."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from algoperf import cli, listing, registry
from algoperf.errors import UserError
from algoperf.inputs import prepare
from algoperf.inputs.dataset import Part
from algoperf.spec import Split
from tests.real_files import Silent, image_folder
from workloads.datasets.mnist import mnist
from workloads.datasets.ogbg import ogbg

SLOW_PREPARATION = """
import sys
from pathlib import Path
import numpy as np
from algoperf.inputs import prepare
from algoperf.inputs.batches import rows_of
from algoperf.inputs.conversion import Job, Kept, Preparation
from algoperf.inputs.dataset import Part, RecordDataset
from algoperf.inputs.stores import PreparedStore
from algoperf.spec import Split

STORE = PreparedStore("slow", lambda raw: np.frombuffer(raw, np.int64))

def numbers(shard, source):
    for n in range(20):
        if shard == 2 and n == 10 and sys.argv[2] == "wait":
            print("waiting", flush=True)
            sys.stdin.read()  # until it is killed
        yield Kept(np.int64(20 * shard + n).tobytes())

def plan(root, folder, tell):
    return [Job(f"{s}", "train", [root / "source"], lambda s=s: numbers(s, root)) for s in range(4)]

dataset = RecordDataset(
    name="slow",
    published={s: 80 for s in (Split.TRAIN, Split.VALIDATION, Split.TEST)},
    parts={s: Part(STORE, "train") for s in (Split.TRAIN, Split.VALIDATION, Split.TEST)},
    batching=rows_of(lambda record, rng: {"inputs": record}),
    spec=lambda size: {"inputs": ((size, 1), np.int64)},
    instructions="",
    preparation=Preparation(STORE, plan, {"train": 80}),
    root=Path(sys.argv[1]),
)

class Watch:
    def planned(self, total_bytes): print("planned", flush=True)
    def working(self, what): ...
    def done(self, source_bytes): print("done", flush=True)

prepare.prepare(dataset, Watch())
found = dataset.records(Split.TRAIN).take(range(80))
assert [int(n[0]) for n in found] == list(range(80))
print("whole", flush=True)
"""


@pytest.fixture
def small_mnist(tmp_path, monkeypatch):
    """`mnist`, smaller, in the folder that the environment names."""
    monkeypatch.setenv("ALGOPERF_DATA", str(tmp_path))
    store = mnist.parts[Split.TEST].store
    pieces = {Split.TRAIN: ("train", 0, 10), Split.VALIDATION: ("train", 10), Split.TEST: ("test",)}
    parts = {split: Part(store, *piece) for split, piece in pieces.items()}
    small = replace(mnist, published={}, parts=parts)
    monkeypatch.setattr(registry, "datasets", lambda: {"mnist": small})
    return tmp_path


def test_every_data_set_says_what_it_needs_and_is_known_without_its_data(tmp_path, monkeypatch):
    monkeypatch.setenv("ALGOPERF_DATA", str(tmp_path))
    found = registry.datasets()
    assert set(found) == {
        "cifar", "criteo", "fastmri", "fineweb", "imagenet", "imagenet_mixup", "librispeech",
        "mnist", "ogbg", "wmt",
    }  # fmt: skip
    for name, dataset in found.items():
        assert dataset.signature(8)
        assert f"data prepare {name}" in (dataset.missing() or "")
        assert dataset.instructions
        with pytest.raises(UserError, match="Not ready"):
            dataset.training(8, seed=0)
    rows = listing.datasets()
    assert {row["state"] for row in rows} == {"not ready"}


def test_what_reads_the_data_is_not_imported_before_it_is_needed():
    program = (
        "import sys\nfrom algoperf import registry\nfound = registry.datasets()\n"
        "assert all(dataset.missing() is not None for dataset in found.values())\n"
        "print(*sys.modules)"
    )
    environment = {**os.environ, "ALGOPERF_DATA": "/nowhere"}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    heavy = {
        "grain",
        "tensorflow_datasets",
        "h5py",
        "soundfile",
        "sentencepiece",
        "tokenizers",
        "PIL",
    }
    assert not heavy & set(result.stdout.split())


def test_prepare_says_what_to_put_where(small_mnist, capsys):
    with pytest.raises(UserError, match=r"mnist is not ready:\n  - .*/mnist/3.0.1 is missing"):
        cli.data_prepare("mnist")
    said = capsys.readouterr().out
    assert f"mnist needs, below {small_mnist}:" in said
    assert f"tfds build mnist --data_dir={small_mnist} --file_format=array_record" in said


def test_what_is_there_is_said_to_be_ready(small_mnist, capsys):
    image_folder(small_mnist, "mnist", "3.0.1", (28, 28, 1), {"train": 13, "test": 4})
    cli.data_prepare("mnist")
    cli.data_check("mnist", hashes=True)
    cli.data_list()
    said = capsys.readouterr().out
    assert said.count("mnist is ready: train 10, validation 3, test 4.") == 2
    assert f"Data folder: {small_mnist}" in said


def test_check_names_every_damaged_file(small_mnist):
    image_folder(small_mnist, "mnist", "3.0.1", (28, 28, 1), {"train": 13, "test": 4})
    for path in (small_mnist / "mnist/3.0.1").glob("*.array_record*"):
        path.write_bytes(path.read_bytes()[:70_000])
    with pytest.raises(UserError, match=r"(?s)mnist-train\S+ is trunc.*mnist-test\S+ is truncated"):
        cli.data_check("mnist")


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UserError, match="Unknown data set 'fastmr'. Did you mean 'fastmri'"):
        cli.data_check("fastmr")


def test_the_folder_can_be_given(tmp_path):
    program = "from algoperf.cli import main; main()"
    given = [sys.executable, "-c", program, "data", "check", "mnist", "--data", str(tmp_path)]
    result = subprocess.run(given, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert f"{tmp_path}/mnist/3.0.1 is missing" in result.stderr
    assert "Traceback" not in result.stderr


def test_training_is_refused_before_it_starts(tmp_path, monkeypatch):
    class Absent:
        def missing(self):
            return "data set 'x' is missing"

    class Workload:
        dataset = Absent()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "workload", lambda name: Workload())
    with pytest.raises(UserError, match="The data are not there:\n  - data set 'x' is missing"):
        cli.run(["adamw"], workloads=["digits_vit"], results=tmp_path / "results")
    with pytest.raises(UserError, match="The data are not there"):
        cli.check("adamw", workloads=["digits_vit"])
    assert not (tmp_path / "results").exists()


def test_a_killed_preparation_goes_on_where_it_was(tmp_path):
    (tmp_path / "source").write_text("x")
    command = [sys.executable, "-c", SLOW_PREPARATION, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([*command, "wait"], **pipes, text=True) as process:
        said = [process.stdout.readline().strip() for _ in range(4)]
        process.send_signal(signal.SIGKILL)
    assert said == ["planned", "done", "done", "waiting"]
    folder = tmp_path / "slow/prepared"
    before = {p.name: p.stat().st_mtime_ns for p in folder.glob("*.array_record")}
    assert set(before) == {"0.array_record", "1.array_record"}
    assert (folder / "2.partial").exists()
    result = subprocess.run([*command, "go on"], capture_output=True, text=True, check=False)
    assert result.stdout.split() == ["planned", "done", "done", "done", "done", "whole"]
    after = {p.name: p.stat().st_mtime_ns for p in folder.glob("*.array_record")}
    assert before.items() <= after.items()
    assert not (folder / "2.partial").exists()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert [shard["examples"] for shard in manifest["shards"]] == [20] * 4


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "ogbg").write_text("a file")
    with pytest.raises(UserError, match="ogbg/prepared cannot be written"):
        prepare.prepare(replace(ogbg, root=tmp_path), Silent())
