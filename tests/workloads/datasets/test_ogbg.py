import numpy as np
import pytest

from algoperf.errors import UserError
from algoperf.inputs import prepare
from algoperf.spec import Split
from tests.real_files import Silent
from tests.small_data import MOLECULES, graph, ogbg_files, shrunk
from workloads.datasets.ogbg import batched, room


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    ogbg_files(root)
    return root


@pytest.fixture
def dataset(root):
    return shrunk("ogbg", root, MOLECULES)


def record(nodes, ends, labels):
    return {
        "nodes": np.array(nodes, np.int16),
        "edges": np.arange(3 * len(ends), dtype=np.int16).reshape(-1, 3),
        "ends": np.array(ends, np.int32).reshape(-1, 2),
        "labels": np.array(labels, np.float32),
    }


def test_two_graphs_in_a_batch_of_three():
    one = record([[1] * 9, [2] * 9], [[0, 1]], [1, np.nan, 0])
    other = record([[3] * 9, [4] * 9, [5] * 9], [[0, 2], [1, 2]], [np.nan, 1, 1])
    batch = batched([one, other], 3)
    # Room for 3 x 26 = 78 nodes and 3 x 56 = 168 edges; the last node is padding.
    assert room(3) == (78, 168)
    assert batch["nodes"][:6, 0].tolist() == [1, 2, 3, 4, 5, 0]
    assert batch["node_graph"][:6].tolist() == [0, 0, 1, 1, 1, 3]
    # The second graph's nodes are numbers 2 to 4. First all edges one way, then the other.
    assert batch["senders"][:7].tolist() == [0, 1, 2, 3, 4, 4, 77]
    assert batch["receivers"][:7].tolist() == [1, 0, 4, 4, 2, 3, 77]
    assert batch["edges"][:7, 0].tolist() == [0, 0, 0, 3, 0, 3, 0]
    assert batch["edge_graph"][:7].tolist() == [0, 0, 1, 1, 1, 1, 3]
    assert (batch["node_graph"][5:] == 3).all()
    assert (batch["edge_graph"][6:] == 3).all()
    assert batch["targets"].tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]
    assert batch["target_weights"].tolist() == [[1, 0, 1], [0, 1, 1], [0, 0, 0]]


def graphs_in(batch):
    """The numbers of the graphs of a batch, which their nodes bear; each is whole."""
    found = []
    for place in range(len(batch["targets"])):
        numbers = np.asarray(batch["nodes"])[np.asarray(batch["node_graph"]) == place, 0]
        if len(numbers):
            assert len(set(numbers.tolist())) == 1
            number = int(numbers[0])
            assert len(numbers) == len(graph(number)["node_feat"])
            assert (np.asarray(batch["edge_graph"]) == place).sum() == 2 * len(numbers)
            assert batch["target_weights"][place].sum() == 2
            assert batch["targets"][place][number % 128] == 1
            found.append(number)
    return found


def test_training_sees_every_graph_once_an_epoch(dataset, prepared, check_stream):
    check_stream(prepared(dataset), 2)
    stream = dataset.training(2, seed=0)
    drawn = [number for _ in range(50) for number in graphs_in(next(stream))]
    assert sorted(drawn[:30]) == sorted(drawn[30:60]) == list(range(30))


def test_an_evaluation_has_every_graph_once_and_weighs_them(dataset, prepared):
    prepared(dataset)
    for split, expected in ((Split.VALIDATION, range(40, 47)), (Split.TEST, range(50, 55))):
        batches = list(dataset.evaluation(split, 2))
        assert [number for batch in batches for number in graphs_in(batch)] == list(expected)
        for batch in batches:
            assert np.asarray(batch["weights"]).sum() == len(graphs_in(batch))
        assert len({tuple(a.shape for a in batch.values()) for batch in batches}) == 1
    chosen = [n for b in dataset.evaluation(Split.EVAL_TRAIN, 4) for n in graphs_in(b)]
    assert len(set(chosen)) == 7


def test_a_batch_that_the_largest_molecule_does_not_fit_is_refused(tmp_path, prepared):
    ogbg_files(tmp_path, [graph(number) for number in range(29)] + [graph(29, nodes=60)])
    dataset = prepared(shrunk("ogbg", tmp_path, MOLECULES))
    message = (
        r"batch size 2 does not suit 'ogbg': it leaves room for 51 nodes and 112 edges, and the"
    )
    with pytest.raises(UserError, match=message + r" largest molecules have 60 and 120"):
        dataset.training(2, seed=0)
    next(dataset.training(4, seed=0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edge_index": np.array([[0, 99]])}, "graph 3 of its part: an edge leads to a node that"),
        ({"labels": np.full(128, 2, np.float32)}, "graph 3 of its part: a label is neither 0, 1"),
    ],
)
def test_bad_graphs_are_named(tmp_path, changes, message):
    train = [graph(number) for number in range(30)]
    train[3] |= changes
    if "edge_index" in changes:
        train[3]["edge_feat"] = np.zeros((1, 3), np.float32)
    ogbg_files(tmp_path, train)
    with pytest.raises(UserError, match=message):
        prepare.prepare(shrunk("ogbg", tmp_path, MOLECULES), Silent())
