"""docs/tour.ipynb: its file holds no results, and its cells run from top to bottom, on drawn pictures and on photographs."""

from __future__ import annotations

import io
import json
import linecache
import os
import re
import shlex
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib import pyplot
from matplotlib.figure import Figure

import soli
from soli.evaluation.attention_maps import attention_maps
from soli.runs import read_config

REPOSITORY = Path(__file__).parents[1]
NOTEBOOK = REPOSITORY / "docs" / "tour.ipynb"
TEXT = NOTEBOOK.read_text(encoding="utf-8")
BOOK = json.loads(TEXT)
CODE = {cell["id"]: "".join(cell["source"]) for cell in BOOK["cells"] if cell["cell_type"] == "code"}


@dataclass
class Tour:
    """What the cells have made: their variables, the figures of each cell, and what it printed."""

    folder: Path
    environment: dict[str, str]
    variables: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})
    figures: dict[str, list[Figure]] = field(default_factory=dict)
    printed: dict[str, str] = field(default_factory=dict)

    def run(self, cell: str) -> None:
        """Runs a cell as Jupyter would. A traceback names it, and shows its lines."""
        name, code, shown = f"<{NOTEBOOK.name}, cell {cell}>", CODE[cell], []
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as output:
            for variable in ("SOLI_FLICKR8K", "SOLI_VIT_TINY"):
                patch.delenv(variable, raising=False)
            for variable, value in self.environment.items():
                patch.setenv(variable, value)
            patch.chdir(self.folder)
            patch.setattr(pyplot, "show", lambda: shown.extend(close_figures()))
            exec(compile(code, name, "exec", dont_inherit=True), self.variables)
        assert pyplot.get_fignums() == [], f"cell {cell} draws a figure and does not show it"
        self.figures[cell], self.printed[cell] = shown, output.getvalue()


def close_figures() -> list[Figure]:
    """The figures that are open, drawn."""
    figures = [pyplot.figure(number) for number in pyplot.get_fignums()]
    for figure in figures:
        figure.canvas.draw()
    pyplot.close("all")
    return figures


def take(folder: Path, **environment: str) -> Tour:
    """All code cells in order, in `folder`, at the size for tests."""
    pyplot.switch_backend("Agg")
    path = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])  # trainings are processes of their own
    tour = Tour(folder, {"SOLI_TOUR": "smoke", "PYTHONPATH": path, **environment})
    for cell in CODE:
        tour.run(cell)
    return tour


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Tour:
    return take(tmp_path_factory.mktemp("tour"))


@pytest.fixture(scope="module")
def flickr8k(tmp_path_factory: pytest.TempPathFactory, flickr8k_root: Path, weights_root: Path) -> Tour:
    weights = weights_root / "vit-tiny-imagenet"
    return take(tmp_path_factory.mktemp("tour"), SOLI_FLICKR8K=str(flickr8k_root), SOLI_VIT_TINY=str(weights))


@pytest.fixture(params=["toy", "flickr8k"])
def tour(request: pytest.FixtureRequest) -> Tour:
    return request.getfixturevalue(request.param)


def test_the_file_is_formatted_in_one_way() -> None:
    assert json.dumps(BOOK, indent=1, ensure_ascii=False) + "\n" == TEXT
    assert (BOOK["nbformat"], BOOK["nbformat_minor"]) == (4, 5)
    names = [cell["id"] for cell in BOOK["cells"]]
    assert len(set(names)) == len(names) and all(re.fullmatch(r"[a-z_]{1,64}", name) for name in names)
    for cell in BOOK["cells"]:
        assert cell["source"] == "".join(cell["source"]).splitlines(keepends=True) and cell["source"][-1].strip()


def test_the_file_holds_no_results() -> None:
    code = [cell for cell in BOOK["cells"] if cell["cell_type"] == "code"]
    assert len(code) > 5 and all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert all(set(cell) == {"cell_type", "id", "metadata", "source"} for cell in BOOK["cells"] if cell not in code)  # no attachments
    assert [cell["id"] for cell in BOOK["cells"] if cell["metadata"]] == []
    assert re.findall(r"image/|base64|data:|<img", TEXT) == [] and max(map(len, TEXT.splitlines())) < 200


def test_the_ladder_shows_each_condition_with_its_pixels(tour: Tour) -> None:
    (figure,) = tour.figures["ladder"]
    conditions, photograph = tour.variables["conditions"], tour.variables["photographs"][0]
    assert len(figure.axes) == len(conditions) >= 4
    for panel, condition in zip(figure.axes, conditions):
        degraded = soli.degradations.parse(condition, reference_side=tour.variables["reference_side"])(photograph)
        assert panel.get_xlabel() == f"{condition}\n{degraded.shape[1]} x {degraded.shape[0]} pixels"
        assert np.array_equal(panel.images[0].get_array(), degraded)


def test_soli_trains_on_from_the_captioner(tour: Tour) -> None:
    runs = [tour.variables[name] for name in ("baseline_run", "par_run")]
    assert all((run / name).is_file() for run in runs for name in ("best.safetensors", "last.safetensors", "metrics.jsonl"))
    baseline, par = map(read_config, runs)
    assert list(baseline["variant"]["phases"]) == ["caption"] and list(par["variant"]["phases"]) == ["joint"]
    assert par["init_from"] == str(runs[0]) and par["degradation"]["conditions"] == tour.variables["conditions"]
    before, after = (captioner.state_dict() for captioner in tour.variables["captioners"].values())
    moved = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert {"encoder", "decoder"} <= moved


def test_embeddings_are_compared_at_each_condition(tour: Tour) -> None:
    conditions, number = tour.variables["conditions"], len(tour.variables["photographs"])
    (figure,) = tour.figures["drift_chart"]
    heights, told = [], []
    for views in tour.variables["embeddings"].values():
        assert list(views) == conditions
        shapes = {tuple(vectors.shape) for vectors in views.values()}
        assert len(shapes) == 1 and shapes.pop()[0] == number
        other = torch.pdist(views["original"]).mean()
        moved = [torch.linalg.vector_norm(views[name] - views["original"], dim=1).mean() for name in conditions[1:]]
        heights += [(distance / other).item() for distance in moved]
        told += [other.item(), (other / max(moved)).item()]
    assert list(map(float, re.findall(r"\d+\.\d+", tour.printed["embeddings"]))) == pytest.approx(told, abs=0.006)
    assert min(heights) > 0
    assert [bar.get_height() for bar in figure.axes[0].patches] == pytest.approx(heights, rel=1e-4)
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == conditions[1:]


def test_captions_stand_beside_the_references(tour: Tour) -> None:
    printed, conditions = tour.printed["captions"], tour.variables["conditions"]
    for captions in tour.variables["captions"].values():
        assert list(captions) == conditions
        for said in captions.values():
            assert len(said) == len(tour.variables["photographs"]) and all(isinstance(caption, str) and caption.strip() for caption in said)
            assert all(caption in printed for caption in said[:2])
    assert all(caption in printed for photograph in tour.variables["references"][:2] for caption in photograph[:3])
    assert len(tour.figures["captions"]) == 2


def test_scores_are_drawn_for_both_captioners(tour: Tour) -> None:
    (figure,) = tour.figures["scores"]
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    for name, captions in tour.variables["captions"].items():
        scores = [soli.evaluation.score_captions(said, tour.variables["references"], ["CIDEr"])["CIDEr"] for said in captions.values()]
        assert list(lines[name]) == pytest.approx(scores)


def test_attention_is_drawn_for_every_word(tour: Tour) -> None:
    captioners, photograph = tour.variables["captioners"], tour.variables["photographs"][0]
    cases = [(condition, name) for condition in ("original", "R0.1S50") for name in captioners]
    for figure, (condition, name) in zip(tour.figures["attention"], cases, strict=True):
        first, *panels = [panel for panel in figure.axes if panel.images]
        (maps,) = attention_maps(captioners[name], [photograph], condition)
        assert np.array_equal(first.images[0].get_array(), maps.image)
        assert tuple(panel.get_title() for panel in panels) == maps.words
        assert " ".join(maps.words) == tour.variables["captions"][name][condition][0]
        for panel, grid in zip(panels, maps.maps, strict=True):
            assert panel.images[1].get_alpha() == pytest.approx(0.85 * (1 - grid / grid.max()), abs=1e-5)


def test_the_last_commands_can_be_typed(tour: Tour) -> None:
    lines = [shlex.split(line) for line in tour.printed["next"].splitlines()]
    commands = [line[2].removeprefix("soli.") for line in lines]
    assert commands == ["evaluate", "evaluate", "caption", "train"] and all(line[1] == "-m" for line in lines)
    for command, line in zip(commands[:3], lines):
        config = soli.compose(line[3:], command)
        runs = config.runs if config.get("runs") else [config.run]
        assert all((Path(run) / "config.yaml").is_file() for run in runs)


def test_a_cell_can_be_run_again_and_trains_the_same(toy: Tour) -> None:
    first = toy.variables["baseline_run"]
    again = Tour(toy.folder, toy.environment, dict(toy.variables))
    again.run("captioner")
    second = again.variables["baseline_run"]
    assert second != first and (second / "best.safetensors").read_bytes() == (first / "best.safetensors").read_bytes()
