"""The verbs that judge what was trained: score, compare, verify, diagnose."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from algoperf import registry, rulesets
from algoperf.cli.output import print_written, say, telling, wide_console
from algoperf.errors import UserError
from algoperf.rules import Rules, Ruleset


def score(
    folders: Sequence[Path],
    *,
    rules: str | None = None,
    time: str = "seconds",
    reference: str | None = None,
    ruleset: str = Ruleset.EXTERNAL,
    strict: bool = False,
    held_out: int | None = None,
    json: Path | None = None,
    out: Path | None = None,
) -> None:
    """Scores results folders or log trees; prints the leaderboard, writes what is asked for."""
    from algoperf import held_out as variants
    from scoring.leaderboard import board, cache
    from scoring.leaderboard.gathered import gather
    from scoring.report import files, table

    beside = out or (json.parent if json is not None else None)
    options = board.Options(
        axis=time,
        reference=reference,
        ruleset=Ruleset(ruleset),
        strict=strict,
        cache=None if beside is None else beside / cache.NAME,
    )

    def with_variants(name: str) -> Rules:
        fixed = rulesets.load(name)
        if held_out is not None:
            return variants.drawn(fixed, held_out)
        return variants.as_recorded(fixed, folders)

    given = with_variants(rules) if rules else None
    with telling() as tell:
        gathered = gather(folders, tell)
        fixed = given or with_variants(_recorded_rules(gathered.rules))
        found = board.score(gathered, fixed, options, tell)
        # Written first: who reads the table through a pipe may stop reading.
        if json is not None:
            files.write_json(found, json)
        if out is not None:
            tell("writing the report")
        written = [] if out is None else files.write_report(found, out)
    console = Console()
    table.terminal(found, console)
    print_written(console, written)


def _recorded_rules(names: set[str]) -> str:
    if len(names) != 1:
        raise UserError(
            f"The results do not name one set of rules ({', '.join(sorted(names)) or 'none'}); "
            f"choose with --rules: {', '.join(registry.rules_files())}."
        )
    (name,) = names
    if name not in registry.rules_files():
        raise UserError(f"The results were run under {name!r}: give that file with --rules.")
    return name


def compare(
    left: str,
    right: str,
    *,
    results: Path | None = None,
    rules: str | None = None,
    time: str = "seconds",
    ruleset: str = Ruleset.EXTERNAL,
    json: Path | None = None,
) -> None:
    """Prints two submissions, or two results folders, side by side."""
    from scoring.leaderboard import compare as pairs
    from scoring.report import comparison, files

    given = rulesets.load(rules) if rules else None
    with telling() as tell:
        first, second = (pairs.side(name, results, tell) for name in (left, right))
        named = first.gathered.rules | second.gathered.rules
        fixed = given or rulesets.load(_recorded_rules(named))
        found = pairs.compare(first, second, fixed, time, Ruleset(ruleset), tell=tell)
    comparison.terminal(found, Console())
    if json is not None:
        files.write_text(json, comparison.as_json(found))


def verify(folder: Path) -> None:
    """Measures again what claims to have reached its target; a mismatch is an error."""
    from algoperf import caches, compilation
    from algoperf import verify as verification

    compilation.use_cache(caches.folder_of(caches.HARNESS))
    console = Console()

    def tell(finding: verification.Finding) -> None:
        console.print(
            f"{finding.verdict}: {finding.trial}: {finding.reason}",
            style="red" if finding.verdict is verification.Verdict.MISMATCH else "",
            soft_wrap=True,
            highlight=False,
            markup=False,
        )

    say(console, f"Measuring again what reached its target below {folder}.")
    found = verification.verify(folder, tell)
    counts = {verdict: sum(f.verdict is verdict for f in found) for verdict in verification.Verdict}
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    console.print(f"{len(found)} trials: {told}.", highlight=False)
    if wrong := counts[verification.Verdict.MISMATCH]:
        raise UserError(f"{wrong} of {len(found)} results do not repeat; the lines above say why.")


def diagnose(
    files: Sequence[Path],
    *,
    models: Path | None = None,
    normalisations: Sequence[str] | None = None,
    json: Path | None = None,
    out: Path | None = None,
) -> None:
    """Diagnoses choice log-likelihoods; prints a summary, writes what is asked for."""
    from scoring.diagnostics import diagnosis, text
    from scoring.diagnostics import files as writer

    with telling() as tell:
        found = diagnosis.diagnose(files, models, normalisations, tell)
        if json is not None or out is not None:
            tell("writing")
        if json is not None:
            writer.write_json(found, json)
        written = [] if out is None else writer.write_report(found, out)
    console = wide_console()
    text.terminal(found, console)
    print_written(console, written)
