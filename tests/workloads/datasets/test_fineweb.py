import gzip
import itertools
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import ByteLevelBPETokenizer

from algoperf.errors import UserError
from algoperf.inputs import prepare
from algoperf.spec import Split
from tests.real_files import Silent
from tests.small_data import VOCABULARY, document, fineweb_files, shrunk, small_fineweb
from workloads.datasets.fineweb import END, LENGTH


@pytest.fixture
def root(tmp_path):
    fineweb_files(tmp_path)
    return tmp_path


@pytest.fixture
def encoding(root):
    return root / "fineweb"


@pytest.fixture
def dataset(root):
    return small_fineweb(root)


def decoded(encoding, dataset, split):
    """The text of a split, whose sequences follow each other."""
    tokenizer = ByteLevelBPETokenizer(str(encoding / "vocab.json"), str(encoding / "merges.txt"))
    rows = [
        r
        for b in dataset.evaluation(split, 2)
        for r in np.asarray(b["inputs"])[np.asarray(b["weights"]) == 1]
    ]
    return tokenizer.decode(np.concatenate(rows).tolist(), skip_special_tokens=False)


def test_documents_follow_each_other_and_a_tenth_is_held_out(dataset, prepared, encoding):
    prepared(dataset)
    everything = {document(n) for n in [*range(80), *range(100, 160)]}
    held_out = decoded(encoding, dataset, Split.VALIDATION).split(END)
    # Cut at the end of each file: the last piece of each file may be a part, or missing.
    whole = [text for text in held_out if text in everything]
    assert 3 <= len(whole) <= 30
    records = dataset.records(Split.TRAIN).take(range(dataset.sizes[Split.TRAIN]))
    tokenizer = ByteLevelBPETokenizer(str(encoding / "vocab.json"), str(encoding / "merges.txt"))
    joined = tokenizer.decode(
        np.concatenate([r[:-1] for r in records]).tolist(), skip_special_tokens=False
    )
    trained = {text for text in joined.split(END) if text in everything}
    assert len(trained) > 90
    assert not trained & set(whole)
    for one, following in itertools.pairwise(records[:4]):
        assert one[-1] == following[0]


def test_targets_are_the_inputs_one_further(dataset, prepared, check_stream, evaluated):
    batch = check_stream(prepared(dataset), 2)[0]
    assert np.array_equal(batch["inputs"][:, 1:], batch["targets"][:, :-1])
    assert batch["inputs"].max() < VOCABULARY
    assert set(evaluated(dataset)) == {"inputs", "targets", "weights"}


def test_no_token_is_lost_but_those_that_are_counted(dataset, prepared, root, encoding):
    prepared(dataset)
    tokenizer = ByteLevelBPETokenizer(str(encoding / "vocab.json"), str(encoding / "merges.txt"))
    texts = [document(n) for n in [*range(80), *range(100, 160)]]
    total = sum(len(tokenizer.encode(text).ids) + 1 for text in texts)
    kept = LENGTH * sum(dataset.sizes[s] for s in (Split.TRAIN, Split.VALIDATION))
    left_out = sum(int(line.split()[1].replace(",", "")) for line in prepare.report(dataset))
    # The very last token of each of the four shards only ends it.
    assert kept + left_out + 4 == total


def test_empty_documents_are_counted(dataset, root, prepared):
    extra = "".join(json.dumps({"text": text}) + "\n" for text in ["", "  \n", None])
    (root / "fineweb/sample/002.jsonl").write_text(extra * 4 + json.dumps({"text": "x" * 5000}))
    prepared(dataset)
    counted = [line for line in prepare.report(dataset) if "empty documents left out" in line]
    assert sum(int(line.split()[1]) for line in counted) == 12


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.jsonl", b'{"text": "a"}\n{"txt": "b"}\n', "x.jsonl, line 2: no JSON object with a"),
        ("x.jsonl", b'{"text": "a"\n', "x.jsonl, line 1: no JSON object"),
        ("x.jsonl", '{"text": "café"}\n'.encode("latin-1"), "x.jsonl is truncated or not UTF-8"),
        (
            "x.jsonl.gz",
            gzip.compress(b"x" * 9999, mtime=0)[:40],
            "x.jsonl.gz is truncated or not UTF-8",
        ),
        ("x.parquet", b"PAR1 and nothing more", "x.parquet is truncated or no Parquet file"),
    ],
    ids=["no text", "no JSON", "latin-1", "cut off", "no Parquet"],
)
def test_bad_files_are_named(dataset, root, name, content, message):
    (root / "fineweb/sample" / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        prepare.prepare(dataset, Silent())


def test_a_table_without_text_is_refused(dataset, root):
    pq.write_table(pa.table({"body": ["a"]}), root / "fineweb/sample/x.parquet")
    with pytest.raises(UserError, match=r"x.parquet has no column `text`: \['body'\]"):
        prepare.prepare(dataset, Silent())


def test_another_encoding_is_refused(root):
    with pytest.raises(UserError, match=r"vocab.json has 300 tokens; GPT-2's has 50,257"):
        prepare.prepare(shrunk("fineweb", root, {}), Silent())
    (root / "fineweb/vocab.json").unlink()
    with pytest.raises(UserError, match=r"GPT-2's encoding is missing: .*fineweb/vocab.json"):
        prepare.prepare(shrunk("fineweb", root, {}), Silent())


def test_two_files_of_one_name_are_refused(dataset, root):
    (root / "fineweb/other").mkdir()
    (root / "fineweb/other/000.parquet").write_bytes(b"")
    with pytest.raises(UserError, match="have the same name; their names draw the split"):
        prepare.prepare(dataset, Silent())


def test_without_data_the_signature_is_there_and_no_size_is_made_up(tmp_path):
    absent = shrunk("fineweb", tmp_path, {})
    assert absent.sizes == {}
    assert absent.signature(3)["inputs"].shape == (3, LENGTH)
    assert "the data are not prepared" in (absent.missing() or "")
