"""Golden losses: twenty steps on drawn pictures give the losses that they gave when this file was written."""

import json
from pathlib import Path

import pytest
import torch

from soli.datasets import CaptionedImages, ToyDataset
from soli.decoders import AttentionLSTM
from soli.encoders import TinyEncoder
from soli.model import Captioner
from soli.training.loop import train
from soli.training.settings import LoaderSettings, LoggingSettings, OptimizerSettings, Phase, Recipe
from soli.vocabulary import Vocabulary

GOLDEN = Path(__file__).with_name("golden_losses.json")


def losses(folder, conditions):
    """A refactoring changes none of these; a change that means to is followed by `python tests/training/test_golden.py`."""
    toy = ToyDataset(num_train=40, num_val=4, num_test=4)
    vocabulary = Vocabulary.build(caption for example in toy.examples("train") for caption in example.captions)
    torch.manual_seed(0)
    model = Captioner(TinyEncoder(32, 32), AttentionLSTM(32, vocabulary.words, 16, 32, 16, dropout=0.3), vocabulary)
    phase = Phase(epochs=4, train={"encoder": 0.5, "decoder": 1.0}, losses={"caption": 1.0, "attention": 0.5}, views={"view": conditions})
    recipe = Recipe(
        phases={"caption": phase},
        loader=LoaderSettings(batch_size=8),
        logging=LoggingSettings(every_steps=1),
        optimizer=OptimizerSettings(lr=5e-3, warmup_steps=3),
    )
    train(model, CaptionedImages(toy, "train", vocabulary), recipe, folder, lambda _: {"CIDEr": 0.0})
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").open()]
    return [line["loss"] for line in lines if line["kind"] == "train"]


CASES = {"baseline": ["original"], "aug": ["original", "R0.5S1", "R0.2S50", "R1S1_GF500", "R0.5S1_JPEG30"]}


@pytest.mark.parametrize("name", CASES)
def test_losses_are_those_of_the_golden_run(name, tmp_path):
    found, golden = losses(tmp_path, CASES[name]), json.loads(GOLDEN.read_text())[name]
    assert len(found) == len(golden) == 20 and sum(golden[-5:]) < sum(golden[:5]) - 2
    assert found == pytest.approx(golden, abs=2e-3)  # other processors and versions round differently


if __name__ == "__main__":
    import tempfile

    made = {}
    for case, names in CASES.items():
        with tempfile.TemporaryDirectory() as scratch:
            made[case] = [round(value, 5) for value in losses(Path(scratch), names)]
    GOLDEN.write_text(json.dumps(made, indent=1) + "\n")
