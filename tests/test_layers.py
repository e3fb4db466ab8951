"""The rules that keep the library readable, checked on the syntax trees of soli/: layers, names, and what no file may do."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SOLI = Path(__file__).parents[1] / "soli"

# Imports go down this list, or stay within a layer; families import no other family. A part is a file or a folder of soli/.
COMMANDS = {"soli", "train", "evaluate", "caption", "export", "configuration", "runs", "provenance", "jobs"}
VERBS = {"training", "evaluation"}
COMPOSITION = {"model", "generation", "generation_options", "embedding", "matching", "feature_cache", "bridge"}
FAMILIES = {"datasets", "degradations", "encoders", "decoders", "text_encoders", "losses", "negatives"}
WORDS = {"interfaces", "vocabulary", "byte_pairs", "glove", "hub", "tokenization", "json_text", "printing", "spelling", "disks", "version"}
LAYERS = (COMMANDS, VERBS, COMPOSITION, FAMILIES, WORDS)

VAGUE_MODULES = {"base", "common", "core", "helper", "helpers", "misc", "tools", "util", "utils"}
VAGUE_VARIABLES = {"args", "cfg", "opt", "opts"}


@dataclass(frozen=True)
class Source:
    """A file of soli/ by its path relative to soli/, parsed."""

    path: str
    tree: ast.Module

    @property
    def part(self) -> str:
        return "soli" if self.path == "__init__.py" else self.path.split("/")[0].removesuffix(".py")


def layer(part: str) -> int:
    """Where a part stands in LAYERS, 0 at the top."""
    places = [place for place, parts in enumerate(LAYERS) if part in parts]
    assert places, f"soli/{part} is in no layer: enter it in LAYERS of {Path(__file__).name}"
    return places[0]


def imported(tree: ast.Module) -> Iterator[str]:
    """Full names of the modules that a file imports, inside functions too; `from soli import x` counts as soli.x where x is a part."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            if module == "soli":
                yield from (f"soli.{alias.name}" if any(alias.name in parts for parts in LAYERS) else "soli" for alias in node.names)
            else:
                yield module


def imported_parts(source: Source) -> Iterator[str]:
    """The other parts of soli that a file imports."""
    for module in imported(source.tree):
        root, _, rest = module.partition(".")
        part = rest.split(".")[0] or "soli"
        if root == "soli" and part != source.part:
            yield part


def imports_go_down(source: Source) -> Iterator[str]:
    here = layer(source.part)
    for part in imported_parts(source):
        if layer(part) < here:
            yield f"imports soli.{part}, which is a layer above"
        elif source.part in FAMILIES and part in FAMILIES:
            yield f"imports soli.{part}: families do not know each other"


def imports_are_absolute(source: Source) -> Iterator[str]:
    yield from (f"imports {module}: write it from soli on" for module in imported(source.tree) if module.startswith("."))


def hydra_stays_in_the_commands(source: Source) -> Iterator[str]:
    for module in imported(source.tree):
        if module.split(".")[0] in {"hydra", "omegaconf"} and source.part not in COMMANDS:
            yield f"imports {module}: take plain values instead"


def starts_with_what_it_is(source: Source) -> Iterator[str]:
    if not ast.get_docstring(source.tree):
        yield "has no docstring that says what it is"


def has_a_telling_name(source: Source) -> Iterator[str]:
    yield from (f"is called {name}" for name in source.path.removesuffix(".py").split("/") if name in VAGUE_MODULES)


def variables_have_telling_names(source: Source) -> Iterator[str]:
    nodes = [] if source.part in COMMANDS else list(ast.walk(source.tree))
    parameters = [node for node in nodes if isinstance(node, ast.arguments)]  # *args and **kwargs are not asked
    names = {parameter.arg for node in parameters for parameter in (*node.posonlyargs, *node.args, *node.kwonlyargs)}
    names |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    yield from (f"has a variable called {name}" for name in sorted(names & VAGUE_VARIABLES))


def does_nothing_when_imported(source: Source) -> Iterator[str]:
    definitions = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    for statement in source.tree.body:
        text = ast.unparse(statement)
        is_docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        is_guard = isinstance(statement, ast.If) and ast.unparse(statement.test) in ("TYPE_CHECKING", "__name__ == '__main__'")
        if not (isinstance(statement, definitions) or is_docstring or is_guard):
            yield f"line {statement.lineno} runs at import: {text[:60]}"


def keeps_no_global_state(source: Source) -> Iterator[str]:
    yield from (f"line {node.lineno} has a global statement" for node in ast.walk(source.tree) if isinstance(node, ast.Global))


def unpickles_nothing(source: Source) -> Iterator[str]:
    """Neither by itself, nor by what torch, numpy and transformers do with a path that they are given."""
    yield from (f"imports {module}" for module in imported(source.tree) if module.split(".")[0].lstrip("_") in UNPICKLERS)
    for call in (node for node in ast.walk(source.tree) if isinstance(node, ast.Call)):
        function, keywords = ast.unparse(call.func), list(map(ast.unparse, call.keywords))
        place, name = f"line {call.lineno} calls {function}", function.rpartition(".")[2]
        if function == "torch.load" and "weights_only=True" not in keywords:
            yield f"{place} without weights_only=True"
        if name in ("load_state_dict_from_url", "get_state_dict", "load_serialized") or function in ("torch.hub.load", "hub.load"):
            yield f"{place}, which unpickles what it downloads"
        if any(keyword.startswith("allow_pickle=") and keyword != "allow_pickle=False" for keyword in keywords):
            yield f"{place} with allow_pickle"
        if name == "from_pretrained" and (not call.args or ast.unparse(call.args[0]) != "None"):
            yield f"{place} on a folder: give it a config and tensors that soli has read"


def runs_no_text(source: Source) -> Iterator[str]:
    """No text, of a file or a user, is run as a program."""
    for call in (node for node in ast.walk(source.tree) if isinstance(node, ast.Call)):
        function, keywords = ast.unparse(call.func), list(map(ast.unparse, call.keywords))
        name = function.rpartition(".")[2]
        if function in ("eval", "exec", "compile", "__import__", "os.system", "os.popen") or function.startswith("os.exec"):
            yield f"line {call.lineno} calls {function}"
        if function.split(".")[0] == "yaml" and (name.endswith("load") or name.endswith("load_all")) and not name.startswith("safe_"):
            yield f"line {call.lineno} calls {function}: yaml.safe_load makes no objects"
        for keyword in ("shell", "trust_remote_code"):
            if any(given.startswith(f"{keyword}=") and given != f"{keyword}=False" for given in keywords):
                yield f"line {call.lineno} calls {function} with {keyword}"


def leaves_the_device_to_the_caller(source: Source) -> Iterator[str]:
    for call in (node for node in ast.walk(source.tree) if isinstance(node, ast.Call)):
        if isinstance(call.func, ast.Attribute) and call.func.attr == "cuda":
            yield f"line {call.lineno} calls .cuda(): use .to(device)"


UNPICKLERS = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "cloudpickle", "pickletools"}
Rule = Callable[[Source], Iterator[str]]
# Each rule with a file that breaks it, so that no rule can pass by seeing nothing.
BROKEN: tuple[tuple[Rule, str, str], ...] = (
    (imports_go_down, "losses/pair.py", "from soli.training.loop import train"),
    (imports_go_down, "model.py", "def build():\n    import soli.evaluation.ladder"),
    (imports_go_down, "decoders/gpt.py", "from soli.encoders import ResNetEncoder"),
    (imports_go_down, "vocabulary.py", "from soli import datasets"),
    (imports_go_down, "training/loop.py", "import soli"),
    (imports_are_absolute, "losses/pair.py", "from .caption import CaptionLoss"),
    (hydra_stays_in_the_commands, "training/loop.py", "from omegaconf import DictConfig"),
    (hydra_stays_in_the_commands, "model.py", "import hydra.utils"),
    (starts_with_what_it_is, "model.py", "import torch"),
    (has_a_telling_name, "training/utils.py", ""),
    (has_a_telling_name, "common/batch.py", ""),
    (variables_have_telling_names, "training/loop.py", "def train(model, cfg): pass"),
    (variables_have_telling_names, "training/loop.py", "opt = 1"),
    (does_nothing_when_imported, "model.py", "torch.manual_seed(0)"),
    (does_nothing_when_imported, "model.py", "try:\n    import cv2\nexcept ImportError:\n    cv2 = None"),
    (keeps_no_global_state, "model.py", "def count():\n    global calls"),
    (unpickles_nothing, "training/checkpoint.py", "import pickle"),
    (unpickles_nothing, "training/checkpoint.py", "torch.load(path, map_location='cpu')"),
    (unpickles_nothing, "training/checkpoint.py", "torch.load(path, weights_only=False)"),
    (unpickles_nothing, "training/checkpoint.py", "def read():\n    from pickle import load"),
    (unpickles_nothing, "training/checkpoint.py", "import _pickle"),
    (unpickles_nothing, "feature_cache/rows.py", "np.load(path, allow_pickle=True)"),
    (unpickles_nothing, "encoders/resnet.py", "torch.hub.load_state_dict_from_url(url, weights_only=True)"),
    (unpickles_nothing, "encoders/resnet.py", "known[weights].get_state_dict()"),
    (unpickles_nothing, "hub.py", "kind.from_pretrained(folder, use_safetensors=True)"),
    (unpickles_nothing, "hub.py", "kind.from_pretrained(pretrained_model_name_or_path=folder)"),
    (runs_no_text, "datasets/folder.py", "eval(text)"),
    (runs_no_text, "datasets/folder.py", "exec(text)"),
    (runs_no_text, "runs.py", "yaml.load(text, Loader=yaml.Loader)"),
    (runs_no_text, "runs.py", "yaml.unsafe_load(text)"),
    (runs_no_text, "evaluation/meteor.py", "subprocess.run(command, shell=True)"),
    (runs_no_text, "evaluation/meteor.py", "os.system(command)"),
    (runs_no_text, "hub.py", "kind.from_pretrained(None, trust_remote_code=True)"),
    (leaves_the_device_to_the_caller, "model.py", "model.cuda()"),
)
KEPT: tuple[tuple[Rule, str, str], ...] = (
    (imports_go_down, "training/loop.py", "import numpy\nfrom soli import degradations\nfrom soli.evaluation import CaptionScorer"),
    (imports_go_down, "losses/pair.py", "from soli.losses.caption import CaptionLoss\nfrom soli.interfaces import SoliError"),
    (hydra_stays_in_the_commands, "train.py", "from omegaconf import DictConfig"),
    (variables_have_telling_names, "model.py", "def forward(self, *args): pass"),
    (does_nothing_when_imported, "model.py", '"""What it is."""\nif TYPE_CHECKING:\n    import torch\nLIMIT: int = 3'),
    (unpickles_nothing, "training/checkpoint.py", "torch.load(path, weights_only=True)"),
    (unpickles_nothing, "feature_cache/rows.py", "np.load(path)\nnp.load(path, allow_pickle=False)"),
    (unpickles_nothing, "hub.py", "kind.from_pretrained(None, config=config, state_dict=tensors)"),
    (runs_no_text, "evaluation/meteor.py", "subprocess.run(command)\nre.compile(text)\nmodel.eval()\nyaml.safe_load(text)"),
    (leaves_the_device_to_the_caller, "runs.py", "torch.cuda.is_available()"),
)


def sources() -> list[Source]:
    return [Source(path.relative_to(SOLI).as_posix(), ast.parse(path.read_text(encoding="utf-8"))) for path in sorted(SOLI.rglob("*.py"))]


def identify(value: object) -> str | None:
    return value.__name__ if callable(value) else None


@pytest.mark.parametrize("rule", (unpickles_nothing, runs_no_text), ids=identify)
def test_the_scripts_keep_the_rules_about_what_others_wrote(rule: Rule) -> None:
    scripts = sorted((SOLI.parent / "scripts").rglob("*.py"))
    assert scripts
    offences = [f"{path} {offence}" for path in scripts for offence in rule(Source(path.name, ast.parse(path.read_text(encoding="utf-8"))))]
    assert offences == []


@pytest.mark.parametrize("rule", dict.fromkeys(rule for rule, _, _ in BROKEN), ids=identify)
def test_soli_keeps_the_rule(rule: Rule) -> None:
    assert [f"soli/{source.path} {offence}" for source in sources() for offence in rule(source)] == []


@pytest.mark.parametrize(("rule", "path", "text"), BROKEN, ids=identify)
def test_a_broken_rule_is_seen(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Source(path, ast.parse(text))))


@pytest.mark.parametrize(("rule", "path", "text"), KEPT, ids=identify)
def test_a_kept_rule_is_no_offence(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Source(path, ast.parse(text)))) == []


def test_parts_do_not_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for source in sources():
        graph.setdefault(source.part, set()).update(imported_parts(source))
    assert {"train", "training", "model", "interfaces"} <= set(TopologicalSorter(graph).static_order())  # raises CycleError
