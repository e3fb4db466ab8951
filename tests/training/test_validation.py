"""What a validation reports, and when it warns."""

import pytest
import torch

from soli.evaluation.ladder import Rung
from soli.training.health import caption_warning, collapse_warning, stop_unless_finite
from soli.training.validation import validation_scores


def rung(condition, scale=1.0, captions=None):
    torch.manual_seed(1)
    return Rung(condition, captions or [f"caption {index}" for index in range(8)], [(9, 9)] * 8, scale * torch.randn(8, 5))


SCORES = [{"CIDEr": 0.8, "BLEU-4": 0.2}, {"CIDEr": 0.4, "BLEU-4": 0.1}]


def test_scores_are_averaged_over_the_selected_conditions_and_reported_at_each():
    rungs = [rung("original"), rung("R0.1S1", 2.0)]
    both = validation_scores(rungs, SCORES, ["original", "R0.10S1"], None)  # a condition may be spelt otherwise
    assert both["CIDEr"] == pytest.approx(0.6) and both["CIDEr/original"] == 0.8 and both["CIDEr/R0.1S1"] == 0.4
    assert validation_scores(rungs, SCORES, ["original"], None)["CIDEr"] == 0.8
    assert both["distance_to_copy/R0.1S1"] == pytest.approx(rungs[0].embeddings.norm(dim=1).mean().item(), rel=1e-5)
    assert both["distance_ratio"] == pytest.approx(both["distance_to_others"] / both["distance_to_copy/R0.1S1"])


def test_a_single_condition_has_no_ratio():
    scores = validation_scores([rung("original")], SCORES[:1], ["original"], None)
    assert scores["CIDEr"] == 0.8 and "distance_ratio" not in scores and not any("/" in name for name in scores)


def test_it_warns_of_a_collapse_and_of_one_caption_for_everything(capsys):
    dull = ["a dog runs"] * 6 + ["a cat", "two cats"]
    validation_scores([rung("original", 0.01, dull), rung("R0.1S1", 0.01)], SCORES, ["original"], distance_at_start=3.0)
    said = capsys.readouterr().out
    assert "the embeddings collapse" in said and "6 of 8 captions are the same sentence: 'a dog runs'" in said
    validation_scores([rung("original"), rung("R0.1S1")], SCORES, ["original"], distance_at_start=3.0)
    assert capsys.readouterr().out == ""


def test_a_collapse_is_a_tenth_of_the_distance_at_the_start():
    assert collapse_warning(0.99, 10.0) and collapse_warning(1.01, 10.0) is None
    assert caption_warning(["a", "a", "b", "c"]) is None and caption_warning(["a", "a", "a", "c"])
    assert caption_warning(["a", "a", "a"]) is None  # too few to tell


def test_a_long_sentence_is_told_by_its_beginning():
    told = caption_warning(["a " * 30] * 4)
    assert "4 of 4 captions are the same sentence: 'a a a a a a a a a a a a a a a a a a a a ...'. The model" in told


def test_a_scaled_step_may_have_an_infinite_gradient_norm_and_nothing_else(tmp_path):
    figures = {"loss": 1.0, "gradient_norm": float("inf")}
    stop_unless_finite(figures, 3, tmp_path / "last", scaled=True)
    with pytest.raises(ValueError, match="gradient norm is inf at step 3"):
        stop_unless_finite(figures, 3, tmp_path / "last")
    with pytest.raises(ValueError, match="contrastive is nan at step 3"):
        stop_unless_finite({"contrastive": float("nan")}, 3, tmp_path / "last", scaled=True)
