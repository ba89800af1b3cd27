"""One node's part of a cluster's job, in a process of its own.

python -m tests.on_hosts SUBMISSION RULES WORKLOAD RESULTS NODES
"""

import sys
from pathlib import Path

from algoperf import rulesets, study
from algoperf.executors.job import Work


def main(submission: str, rules: str, workload: str, results: Path, nodes: int) -> None:
    plan = study.plan([submission], [workload], rulesets.load(rules), results)
    Work(plan.todo[0], results, nodes)()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]), int(sys.argv[5]))
