"""AlgoPerf's development workload: CIFAR-10 with a ResNet-18 for small images. Not scored."""

from algoperf.spec import LossType
from algoperf.workload import Workload, numbers
from workloads.datasets.cifar import cifar as dataset
from workloads.losses import accuracy_metrics, softmax_cross_entropy
from workloads.models.resnet import ResNet

# The reference's JAX version loses the batch-norm statistics at the start; here they are state.
cifar = Workload(
    **numbers("v0.6", "cifar"),
    suite="full",
    model=ResNet(blocks=(2, 2, 2, 2), width=64, classes=10),
    dataset=dataset,
    loss_type=LossType.SOFTMAX_CROSS_ENTROPY,
    loss=softmax_cross_entropy,
    metrics=accuracy_metrics,
    batch_size=128,
    eval_batch_size=1024,
    eval_every_s=600.0,
    compile_counts=True,
)
