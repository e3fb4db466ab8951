"""Every Python example of README.md and the other documents is executed, those of a document one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from tests.documents.parsing import documents, python_examples
from tests.documents.running import Workplace

EXAMPLES = {document: examples for document, text in documents().items() if (examples := python_examples(document, text))}
# A run that captions and matches: examples ask runs/toy for both.
RUN = "python -m soli.train experiment=toy variant=par_matching variant.phases.joint.losses.contrastive=0.1 run_dir=runs/toy"


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    workplace = Workplace(tmp_path_factory.mktemp("workplace"), [])
    answer = workplace.run(RUN)
    assert answer.code == 0, answer.said
    return workplace


def prepared() -> dict[str, Any]:
    """What examples leave to their reader, by the names that they use."""
    return {
        "image": np.zeros((60, 80, 3), dtype=np.uint8),  # (H, W, 3)
        "images": torch.rand(2, 3, 60, 80),  # (B, 3, H, W) in [0, 1]
        "clean": torch.rand(4, 8),  # (N, E)
        "degraded": torch.rand(4, 8),
        "different": torch.tensor([0, 1, 0, 1]),
        "photographs": torch.rand(1000, 4),  # (N, E), as many as there are in a fold
        "captions": torch.rand(2000, 4),  # (M, E)
        "image_of_caption": torch.arange(1000).repeat_interleave(2),  # (M,)
        "similarity": torch.rand(1000, 2000),  # (N, M)
    }


def test_there_are_examples() -> None:
    assert "README.md" in EXAMPLES


@pytest.mark.parametrize("document", EXAMPLES)
def test_the_examples_of_a_document_can_be_executed(workplace: Workplace, document: str) -> None:
    names: Mapping[str, Any] = prepared()
    with workplace.inside():
        for example in EXAMPLES[document]:
            lines = "\n" * (example.line - 1) + example.text  # a traceback tells the line of the document
            exec(compile(lines, document, "exec"), names)
