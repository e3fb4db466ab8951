"""Phases as data: what trains, what is frozen, and what is refused."""

import math

import pytest
import torch
from torch import nn

from soli.interfaces import SoliError
from soli.training.schedule import check_phases, learning_rate, parameter_groups, with_epochs
from soli.training.settings import OptimizerSettings, Phase


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
        self.decoder = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))


def phase(**changes):
    return Phase(**{"epochs": 1, "train": {"decoder": 1.0}, "losses": {"caption": 1.0}, **changes})


def test_what_is_not_named_is_frozen_and_in_eval_mode():
    model = Model().train()
    groups = parameter_groups(model, phase(), OptimizerSettings())
    assert [group["name"] for group in groups] == ["decoder"]
    assert not any(parameter.requires_grad for parameter in model.encoder.parameters())
    assert all(parameter.requires_grad for parameter in model.decoder.parameters())
    assert not any(part.training for part in model.encoder.modules()) and model.decoder[1].training


def test_frozen_statistics_stay_to_the_bit():
    model = Model()
    parameter_groups(model, phase(), OptimizerSettings())
    before = {name: value.clone() for name, value in model.encoder.state_dict().items()}
    model.encoder(torch.randn(8, 3, 9, 9))
    assert all(torch.equal(value, before[name]) for name, value in model.encoder.state_dict().items())


def test_a_factor_of_zero_means_absent():
    groups = parameter_groups(Model(), phase(train={"encoder": 0.0, "decoder": 1.0}), OptimizerSettings())
    assert [group["name"] for group in groups] == ["decoder"]


def test_a_parameter_under_two_names_belongs_to_the_more_specific_one():
    model = Model()
    groups = {
        group["name"]: group for group in parameter_groups(model, phase(train={"encoder": 1.0, "encoder.0": 0.1}), OptimizerSettings())
    }
    assert {id(parameter) for parameter in groups["encoder.0"]["params"]} == {id(parameter) for parameter in model.encoder[0].parameters()}
    assert groups["encoder.0"]["factor"] == 0.1 and len(groups["encoder"]["params"]) == 2


def test_a_part_of_a_named_module_can_be_frozen():
    model = Model()
    (group,) = parameter_groups(model, phase(train={"encoder": 1.0, "encoder.1": 0.0}), OptimizerSettings())
    assert {id(parameter) for parameter in group["params"]} == {id(parameter) for parameter in model.encoder[0].parameters()}
    assert not model.encoder[1].training and not model.encoder[1].weight.requires_grad and model.encoder[2].training


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ({}, "no phases"),
        ({"caption": phase(train={"decodr": 1.0})}, r"decodr.*decoder"),
        ({"caption": phase(losses={"captoin": 1.0})}, r"captoin.*caption"),
        ({"caption": phase(losses={"caption": 0.0})}, r"losses has no entry above 0"),
        ({"caption": phase(train={"encoder": 0.0})}, r"train has no entry above 0"),
        ({"caption": phase(losses={"caption": -1.0})}, r"at least 0"),
        ({"caption": phase(losses={"caption": math.nan})}, r"finite"),
        ({"caption": phase(epochs=0)}, r"epochs=0"),
        ({"caption": phase(views={"clean": []})}, r"views\.clean is empty"),
        ({"caption": phase(views={"clean": {"original": 0.0}})}, r"views\.clean is empty"),
        ({"caption": phase(views={"clean": {"original": -1.0}})}, r"weight -1\.0 of original"),
        ({"caption": phase(views={})}, r"views has 0 views"),
        ({"caption": phase(views={name: ["original"] for name in "abc"})}, r"views has 3 views"),
        ({"caption": phase(losses={"contrastive": 1.0})}, r"compares two views"),
        ({"caption": phase(caption_views=["degraded"])}, r"caption_views names degraded; the views are clean"),
        ({"caption": phase(caption_views=[])}, r"caption_views names nothing"),
    ],
)
def test_impossible_phases_are_refused_by_name(phases, message):
    with pytest.raises(SoliError, match=message):
        check_phases(phases, Model())


def test_training_only_what_may_not_train_is_an_error():
    model = Model()
    model.encoder.finetuned_parts = lambda: []
    with pytest.raises(SoliError, match="finetune_from"):
        parameter_groups(model, phase(train={"encoder": 1.0}), OptimizerSettings())


def test_the_learning_rate_warms_up_and_falls_along_a_cosine():
    settings = OptimizerSettings(lr=2.0, warmup_steps=4)
    rates = [learning_rate(settings, step, 24) for step in range(24)]
    assert rates[:4] == [0.5, 1.0, 1.5, 2.0] and rates[4] == 2.0
    assert math.isclose(rates[14], 1.0) and 0 < rates[23] < 0.05 and rates[4:] == sorted(rates[4:], reverse=True)
    assert learning_rate(OptimizerSettings(lr=2.0, schedule="constant"), 20, 24) == 2.0


def test_phases_that_name_no_epochs_share_what_the_others_leave():
    def epochs(total, **named):
        return {name: part.epochs for name, part in with_epochs({name: phase(epochs=own) for name, own in named.items()}, total).items()}

    assert epochs(5, first=None, second=None) == {"first": 3, "second": 2}
    assert epochs(5, warm=1, rest=None) == {"warm": 1, "rest": 4}
    assert epochs(5, all=7) == {"all": 7}
    with pytest.raises(SoliError, match=r"epochs=2 leaves 1 for the phases b, c.*epochs=3 or more"):
        epochs(2, a=1, b=None, c=None)
