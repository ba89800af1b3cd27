"""AlgoPerf's smallest development workload: MNIST with one hidden layer. Not scored."""

from algoperf.spec import LossType
from algoperf.workload import Workload, numbers
from workloads.datasets.mnist import mnist as dataset
from workloads.losses import accuracy_metrics, softmax_cross_entropy
from workloads.models.mlp import MLP

mnist = Workload(
    **numbers("v0.6", "mnist"),
    suite="full",
    model=MLP(widths=(128,), classes=10),
    dataset=dataset,
    loss_type=LossType.SOFTMAX_CROSS_ENTROPY,
    loss=softmax_cross_entropy,
    metrics=accuracy_metrics,
    batch_size=16,
    eval_batch_size=10_000,
    eval_every_s=10.0,
    compile_counts=True,
)
