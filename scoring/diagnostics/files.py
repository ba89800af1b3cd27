"""The diagnosis as files: JSON for programs, CSV tables and plots for people."""

import json
from pathlib import Path

from scoring.diagnostics import page, sections
from scoring.diagnostics.diagnosis import Diagnosis
from scoring.report.files import write_text, writing
from scoring.report.page import save


def write_json(found: Diagnosis, path: Path) -> None:
    """Every number there is but the curves and bands: see `ccdf.csv` and `ccdf_null.csv`."""
    write_text(path, json.dumps(found.as_json(), indent=1, allow_nan=False) + "\n")


def write_report(found: Diagnosis, folder: Path) -> list[Path]:
    """`diagnosis.json`, `report.html`, a CSV file a table, plots as PNG and SVG.

    Returns:
        The files written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        written = [folder / "diagnosis.json"]
        write_json(found, written[0])
        for name, table in found.tables.items():
            if not table.empty:
                written.append(folder / f"{name}.csv")
                table.to_csv(written[-1], index=False)
        for section in sections.sections(found):
            if section.figure is not None:
                written += save(section.figure, folder / section.name)
        written.append(folder / "report.html")
        written[-1].write_text(page.html(found))
        return written
