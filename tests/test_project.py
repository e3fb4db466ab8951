"""The project's own files: what a wheel and a source archive carry, pinned versions, the README's map, text only."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import distributions, packages_distributions
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from soli.datasets.archives import unpack
from soli.version import __version__
from tests.documents.parsing import FENCE, documents

REPOSITORY = Path(__file__).parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DISTRIBUTIONS = {distribution.name for distribution in distributions()}  # to look for pip itself changes what setuptools does later
LARGEST_FILE = 200_000  # bytes; larger things belong beside the code, not in it


def tracked_files() -> list[Path]:
    """The files that git knows or would add, relative to the repository."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        answer = subprocess.run(listing, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [Path(name) for name in answer.stdout.split("\0") if name and (REPOSITORY / name).is_file()]


def library_files() -> set[str]:
    return {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "soli").rglob("*.py")}


def build(kind: str, folder: Path, project: Path = REPOSITORY) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(folder)]
    answer = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    (archive,) = folder.iterdir()
    return archive


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tmp_path_factory.mktemp("wheel"))


def test_wheel_carries_the_library_and_the_configs(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    configs = {f"soli/{path.relative_to(REPOSITORY).as_posix()}" for path in (REPOSITORY / "configs").rglob("*.yaml")}
    assert "soli/configs/train.yaml" in configs
    about = f"soli-{__version__}.dist-info"
    about_files = {f"{about}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    assert names == library_files() | configs | about_files


def test_console_scripts_lead_to_functions() -> None:
    assert set(PROJECT["scripts"]) == {"soli-train", "soli-evaluate", "soli-caption", "soli-export"}
    for target in PROJECT["scripts"].values():
        module, function = target.split(":")
        tree = ast.parse((REPOSITORY / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))
        assigned = [node.targets[0].id for node in tree.body if isinstance(node, ast.Assign)]
        assert function in assigned and callable(getattr(importlib.import_module(module), function))


@pytest.fixture(scope="module")
def source_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", tmp_path_factory.mktemp("sdist"))


def test_source_archive_carries_every_tracked_file(source_archive: Path) -> None:
    tracked = {path.as_posix() for path in tracked_files()}
    with tarfile.open(source_archive) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert tracked - names == set()
    assert names - tracked == {"PKG-INFO"}


@pytest.mark.skipif("pip" not in DISTRIBUTIONS, reason="this environment has no pip")
def test_what_is_installed_from_the_source_archive_runs_with_its_own_configs(source_archive: Path, wheel: Path, tmp_path: Path) -> None:
    unpack(source_archive, tmp_path / "source")
    built = build("wheel", tmp_path / "wheel", tmp_path / "source" / source_archive.name.removesuffix(".tar.gz"))
    assert built.name == wheel.name and set(zipfile.ZipFile(built).namelist()) == set(zipfile.ZipFile(wheel).namelist())
    target = tmp_path / "target"
    options = ["--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check", "--quiet", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(built)], check=True, stdin=subprocess.DEVNULL)
    assert {path.name for path in (target / "bin").iterdir()} >= {"soli-train", "soli-evaluate", "soli-caption", "soli-export"}
    (target / "soli" / "configs" / "encoder" / "only_installed.yaml").write_text("{}\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(target)}  # before the checkout, which is installed too
    help_command = [sys.executable, "-m", "soli.train", "--help"]
    answer = subprocess.run(help_command, cwd=tmp_path, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert answer.returncode == 0 and " only_installed," in answer.stdout, answer.stderr


def test_the_version_stands_in_one_place(wheel: Path) -> None:
    assert PROJECT["dynamic"] == ["version"] and "version" not in PROJECT and f"-{__version__}-" in wheel.name
    stated = re.compile(r"^\s*_*version_*\s*[:=]\s*[\"']?\d", flags=re.MULTILINE)
    files = [path for path in tracked_files() if path.suffix in (".py", ".toml", ".cff", ".cfg") and path.parts[0] != "tests"]
    assert [path.as_posix() for path in files if stated.search((REPOSITORY / path).read_text(encoding="utf-8"))] == ["soli/version.py"]


def test_the_citation_names_the_paper_and_the_licence() -> None:
    citation = OmegaConf.to_container(OmegaConf.load(REPOSITORY / "CITATION.cff"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)  # what the format asks for
    (paper,) = citation["references"]
    assert {"type", "title", "authors"} <= set(paper) and paper["url"].endswith("/2512.08873")
    assert [author["family-names"] for author in paper["authors"]] == ["Tan", "Mokraoui", "Kwan", "Ng", "Hum"]
    assert "arXiv 2512.08873" in (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert citation["license"] == PROJECT["license"] and citation["keywords"] == PROJECT["keywords"]


def pins(name: str) -> dict[str, str]:
    """The versions in a file of constraints."""
    lines = (REPOSITORY / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def direct_dependencies() -> dict[str, list[Requirement]]:
    """What pyproject.toml asks for, in all its extras, by name."""
    extras = [requirement for group in PROJECT["optional-dependencies"].values() for requirement in group]
    found: dict[str, list[Requirement]] = {}
    for text in [*PROJECT["dependencies"], *extras]:
        found.setdefault(canonicalize_name(Requirement(text).name), []).append(Requirement(text))
    return found


def test_every_direct_dependency_is_pinned_and_nothing_else() -> None:
    tested, requirements = pins("constraints.txt"), direct_dependencies()
    assert set(tested) == set(requirements)
    assert [name for name, pin in tested.items() if not all(one.specifier.contains(pin) for one in requirements[name])] == []


def test_the_oldest_versions_are_the_lower_bounds() -> None:
    bounds = {name: {str(one.specifier) for one in required} for name, required in direct_dependencies().items()}
    assert {name: {f">={version}"} for name, version in pins("constraints-oldest.txt").items()} == bounds


def test_every_direct_dependency_is_listed_with_its_licence() -> None:
    section = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Dependencies")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `([\w-]+)`[^|]*\| ([^|]+) \|", section, flags=re.MULTILINE))
    assert set(rows) == set(direct_dependencies())
    assert [name for name, licence in rows.items() if not licence.strip()] == []


def test_every_imported_package_is_a_dependency() -> None:
    modules = set()
    for name in library_files():
        for node in ast.walk(ast.parse((REPOSITORY / name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module.split(".")[0])
    owners = packages_distributions()
    extras = [text for extra, texts in PROJECT["optional-dependencies"].items() if extra != "test" for text in texts]
    declared = {canonicalize_name(Requirement(text).name) for text in [*PROJECT["dependencies"], *extras]}
    foreign = modules - set(sys.stdlib_module_names) - {"soli"}
    assert "torch" in foreign
    assert [module for module in foreign if not declared & {canonicalize_name(owner) for owner in owners.get(module, [])}] == []


def test_only_small_text_files_are_tracked() -> None:
    contents = {path: (REPOSITORY / path).read_bytes() for path in tracked_files()}
    assert [path for path, content in contents.items() if len(content) > LARGEST_FILE] == []
    assert [path for path, content in contents.items() if b"\0" in content] == []
    for content in contents.values():
        content.decode("utf-8")


def test_readme_has_a_line_for_every_file_of_the_library() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    modules = sorted(name for name in library_files() if not name.endswith("__init__.py"))
    folders = sorted({f"{Path(name).parent.name}/" for name in library_files() if name.endswith("__init__.py")})
    missing = [name for name in modules if not re.search(rf"(?<!\w){re.escape(Path(name).name)}\b", readme)]
    assert missing == [], "the README's map lacks these files"
    assert [folder for folder in folders if folder not in readme] == [], "the README's map lacks these folders"


def test_readme_names_no_file_that_is_gone() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", readme, flags=re.MULTILINE | re.DOTALL)
    maps = [block for block in blocks if re.search(r"^soli/", block, flags=re.MULTILINE)]
    assert maps, "the README has no code block that starts a line with soli/"
    existing = {Path(name).name for name in library_files()} | {path.name for path in tracked_files()}
    assert [name for block in maps for name in re.findall(r"[\w-]+\.py\b", block) if name not in existing] == []


def headings(text: str) -> set[str]:
    """The anchors that GitHub makes of the headings of a document."""
    titles = re.findall(r"^#+ +(.+?) *$", FENCE.sub("", text), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def dead_links(document: str, text: str) -> list[str]:
    """The relative links of a document that lead to no file, or to no heading of it."""
    dead = []
    for link in re.findall(r"\]\((?!\w+:)([^)\s]+)\)", FENCE.sub("", text)):
        name, _, anchor = link.partition("#")
        target = (REPOSITORY / document).parent / name
        if not target.exists() or (anchor and anchor not in headings(target.read_text(encoding="utf-8") if name else text)):
            dead.append(link)
    return dead


def test_links_between_documents_lead_to_files_and_headings() -> None:
    assert {document: dead for document, text in documents().items() if (dead := dead_links(document, text))} == {}


def test_dead_links_are_found() -> None:
    text = "# A title\n[a](#a-title) [b](../README.md#the-files) [c](https://example.org/c) [d](#b) [e](../README.md#file) ![f](f.svg)"
    assert dead_links("docs/some.md", text) == ["#b", "../README.md#file", "f.svg"]


def test_documents_have_no_places_left_to_fill_in() -> None:
    assert [place for text in documents().values() for place in re.findall(r"@[A-Z]+@", text)] == []
