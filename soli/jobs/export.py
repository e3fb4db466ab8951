"""What soli.export does: a run becomes a folder that transformers loads without soli."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from omegaconf import DictConfig

from soli.bridge import check_exportable, model_card, write_model, write_program
from soli.configuration.command_text import setting
from soli.evaluation.tables import text_table
from soli.evaluation.writing import making
from soli.interfaces import SoliError
from soli.jobs.next_steps import say_next
from soli.jobs.scored_runs import table_rows
from soli.jobs.starting import check_captions
from soli.json_text import read_object
from soli.printing import in_a_cell
from soli.runs import load, read_config, versions
from soli.training.settings import GenerationSettings


def main(config: DictConfig) -> None:
    run, folder = Path(config.run), Path(config.to)
    trained = read_config(run)
    check_captions(run, trained)
    _check_empty(folder)
    captioner = load(run, config.checkpoint)
    check_exportable(captioner)
    card = model_card(trained, versions()["transformers"], _scores(run, config.checkpoint), config.program)
    with making(folder.parent), TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
        written = Path(scratch) / "export"  # moved into place when all is there
        written.mkdir()
        write_model(captioner, written, GenerationSettings(**trained["generation"]))
        (written / "README.md").write_text(card, encoding="utf-8")
        if config.program:
            write_program(captioner.encoder, written / "encoder.pt2")
        if folder.exists():
            folder.rmdir()
        written.replace(folder)
    print(f"The captioner is in {folder}; its README.md shows how transformers uses it.")
    say_next("train", setting("model.pretrained", folder), purpose="to train it further")


def _check_empty(folder: Path) -> None:
    """Raises SoliError where something lies already."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise SoliError(f"to={folder} exists already and is no empty folder; nothing is overwritten. Give another one, or move it away.")


def _scores(run: Path, checkpoint: str) -> tuple[str, str] | None:
    """The table of the run's test scores and their protocol; None where this checkpoint was not evaluated."""
    path = run / "evaluation" / "test" / "metrics.json"
    if not path.is_file():
        return None
    try:
        metrics = read_object(path)
        table, protocol = text_table(table_rows(metrics)), in_a_cell(metrics["protocol"])
    except (ValueError, KeyError, TypeError, AttributeError) as reason:
        raise SoliError(f"{path} is damaged: evaluate the run again, or move the file away.") from reason
    return (table, protocol) if f"checkpoint:{checkpoint}" in protocol.split("|") else None
