"""Each submission in tests/cheating is caught where it is said here, or said to be a reader's."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from algoperf import caches, inspection, records, rulesets, sandbox, study, verify
from algoperf.accounts import Account
from algoperf.errors import UserError
from algoperf.executors.local import LocalExecutor
from algoperf.spec import Status
from algoperf.verify import Verdict

CORPUS = Path(__file__).parent / "cheating"
RULES = (Path(__file__).parent.parent / "docs" / "rules.md").read_text()

CHECK = {
    "environment": "reads os.environ",
    "named_workload": "names the workload 'digits_autoencoder'",
    "patched_clock_plainly": "changes time",
    "sleeping_thread": "no threads",
}
"""Found by reading the source."""

TRIAL = {
    "false_accounts": "the clock's accounts are",
    "flattened_state": "`params_for_evaluation` returned a Odd",
    "forged_ending": "its clock was never read",
    "gc_callback": "gc.callbacks was set",
    "lazy_parameters": "`params_for_evaluation` returned a Later",
    "lazy_state": "`update` returned a Later",
    "mutated_workload": "workload.validation was replaced",
    "patched_clock": "time.perf_counter was replaced",
    "patched_code": "Evaluator.__call__ was replaced",
    "patched_evaluation": "Evaluator.__call__ was replaced",
    "patched_jax": "jax.block_until_ready was replaced",
    "process_by_another": "opens a connection",
    "quiet_process": "starts a process",
    "raw_thread": "starts a thread",
    "read_test_split": "reads examples that are for evaluation only",
    "searched_memory": "searches the memory of the process",
    "slowed_clock": "the trial's clock says",
    "thread_in_text": "starts a thread",
    "timer": "a timer was set",
    "tracer": "listens to what others do",
    "wrote_own_record": "eval_measurements.csv does not hold what was written",
    "wrote_own_source": "the submission changed the trial's record",
}
"""The trial fails, and says why."""

SANDBOX = {
    "ended_parent": "PermissionError",
    "forged_trial": "PermissionError",
    "led_astray": "PermissionError",
    "left_file": "PermissionError",
    "poisoned_cache": "PermissionError",
    "read_other_trial": "PermissionError",
    "removed_other_record": "PermissionError",
    "wrote_other_record": "PermissionError",
}
"""The system refuses it, where it has Landlock."""

PLAN = {"wrote_while_planned": "PermissionError"}
"""The system refuses it already where the submission is asked for its search space."""

VERIFY = {"mutated_examples": "recorded is"}
"""The result does not come out again."""

CHARGED = {"work_in_init"}
"""It counts."""

READER = {
    "brought_data": "data brought along",
    "known_by_shape": "shapes, step hints and losses give a workload away",
    "moved_account": "time moved between accounts",
    "put_back": "what is put back in time",
    "work_while_traced": "do work while jax traces",
}
"""A program does not catch it, and docs/rules.md says that a reader has to."""

HIDDEN = {*TRIAL, *SANDBOX, *PLAN, *VERIFY, *CHARGED, *READER}


def source_findings(name: str) -> list[str]:
    found = inspection.inspect_source(CORPUS / f"{name}.py", rulesets.workload_names())
    return [finding.what for finding in found if finding.breaks]


def test_every_cheat_has_its_place():
    everybody = [*CHECK, *TRIAL, *SANDBOX, *PLAN, *VERIFY, *CHARGED, *READER, "honest"]
    assert sorted(everybody) == sorted(path.stem for path in CORPUS.glob("*.py"))


@pytest.mark.parametrize(("name", "what"), CHECK.items())
def test_what_is_found_by_reading_the_source(name, what):
    assert any(what in found for found in source_findings(name))


@pytest.mark.parametrize("name", sorted({*HIDDEN, "honest"}))
def test_what_is_hidden_from_whoever_reads_the_source_by_program(name):
    assert source_findings(name) == []


@pytest.mark.parametrize("phrase", READER.values())
def test_what_is_a_readers_is_said_to_be(phrase):
    (row,) = [line for line in RULES.splitlines() if line.startswith("|") and phrase in line]
    assert "reader" in row


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs a submission of the corpus in one results folder with an honest one's trial."""
    folder = tmp_path_factory.mktemp("cheating")
    rules = folder / "easy.json"
    raw = json.loads(
        (Path(rulesets.__file__).parents[1] / "workloads/rules/quick.json").read_text()
    )
    for numbers in raw["workloads"].values():
        numbers |= {"validation_target": 1e9, "test_target": 1e9, "budget_s": 10.0}
    rules.write_text(json.dumps({**raw, "name": "easy"}))
    results = folder / "results"
    executor = LocalExecutor(results, ["workloads.digits_autoencoder"])

    def run_(name: str):
        source = folder / f"{name}.py"
        shutil.copy(CORPUS / source.name, source)
        plan = study.plan(
            [str(source)], ["digits_autoencoder"], rulesets.load(rules), results, studies=1
        )
        return executor.run(plan.todo[0], lambda _: None), plan.todo[0].folder(results)

    ending, run_.honest = run_("honest")
    assert ending.status == Status.TARGET_REACHED
    return run_


def bits(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def verdicts(folder: Path):
    return [(finding.verdict, finding.reason) for finding in verify.verify(folder, lambda _: None)]


@pytest.mark.slow
def test_the_control_is_recorded_and_verified(run):
    manifest = records.read_manifest(run.honest)
    assert manifest["sandbox"]["landlock"] == sandbox.version()
    assert manifest["clock"]["accounts"][Account.INIT] == 0.0
    assert [verdict for verdict, _ in verdicts(run.honest)] == [Verdict.MATCH]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "why"), TRIAL.items())
def test_what_the_trial_catches(run, name, why):
    ending, folder = run(name)
    assert ending.status == Status.FAILED
    assert why in ending.reason
    assert records.read_manifest(folder)["ending"] == dataclasses.asdict(ending)


@pytest.mark.slow
@pytest.mark.skipif(sandbox.version() < 6, reason="there is no Landlock here, or an old one")
@pytest.mark.parametrize(("name", "why"), SANDBOX.items())
def test_what_the_sandbox_refuses(run, name, why):
    before = bits(run.honest)
    ending, _ = run(name)
    assert ending.status == Status.FAILED
    assert why in ending.reason
    assert bits(run.honest) == before
    assert not Path("/dev/shm/algoperf-cheat").exists()  # noqa: S108 - not made, looked for
    assert not any(caches.folder_of(caches.HARNESS).rglob("jit_totals-cache"))
    assert [path.name for path in run.honest.parent.iterdir()] == ["trial_1"]


@pytest.mark.slow
@pytest.mark.skipif(not sandbox.version(), reason="there is no Landlock here")
@pytest.mark.parametrize(("name", "why"), PLAN.items())
def test_what_is_refused_while_it_is_planned(name, why, tmp_path):
    rules = rulesets.load("quick")
    with pytest.raises(UserError, match=why):
        study.plan([str(CORPUS / f"{name}.py")], ["digits_autoencoder"], rules, tmp_path)
    assert not Path("/dev/shm/algoperf-cheat").exists()  # noqa: S108 - not made, looked for


@pytest.mark.slow
@pytest.mark.parametrize(("name", "why"), VERIFY.items())
def test_what_verification_catches(run, name, why):
    ending, folder = run(name)
    assert ending.status == Status.TARGET_REACHED
    ((verdict, reason),) = verdicts(folder)
    assert verdict == Verdict.MISMATCH
    assert why in reason


@pytest.mark.slow
@pytest.mark.parametrize("name", CHARGED)
def test_what_counts_after_all(run, name):
    ending, folder = run(name)
    assert ending.status == Status.TARGET_REACHED
    # Four seconds of work, of which one is free.
    clock = records.read_manifest(folder)["clock"]
    assert 3.0 <= clock["accounts"][Account.INIT] <= clock["submission_s"]


@pytest.mark.slow
@pytest.mark.parametrize("name", READER)
def test_what_no_program_catches(run, name):
    ending, _ = run(name)
    assert ending.status == Status.TARGET_REACHED
