"""The ViT encoder against transformers' own models, and what it refuses."""

import json

import pytest
import torch
import transformers

from soli.encoders import ViTEncoder
from soli.interfaces import SoliError

SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48, "patch_size": 8}
MODELS = {
    "vit": (transformers.ViTConfig, transformers.ViTModel, {"add_pooling_layer": False}),
    "deit": (transformers.DeiTConfig, transformers.DeiTModel, {"add_pooling_layer": False}),
    "clip_vision_model": (transformers.CLIPVisionConfig, transformers.CLIPVisionModel, {}),
}
CLASS_TOKENS = {"vit": 1, "deit": 2, "clip_vision_model": 1}


def encoder(family="vit", **changes):
    return ViTEncoder(**{"architecture": {"model_type": family, **SIZES}, "input_size": 32, **changes}).eval()


@pytest.fixture(params=MODELS)
def saved(request, tmp_path):
    """A family, its model with random weights and layer norms of an odd epsilon, and the folder it was saved to."""
    make_config, make_model, options = MODELS[request.param]
    model = make_model(make_config(**SIZES, image_size=32, layer_norm_eps=3e-3), **options).eval()
    model.save_pretrained(tmp_path)
    return request.param, model, str(tmp_path)


@torch.no_grad()
def test_features_equal_those_of_transformers(saved):
    family, model, folder = saved
    ours = encoder(family, weights=folder, mean=[0.1, 0.2, 0.3], std=[0.5, 0.6, 0.7])
    images = torch.rand(2, 3, 32, 32)
    normalised = (images - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)) / torch.tensor([0.5, 0.6, 0.7]).view(3, 1, 1)
    expected = model(normalised).last_hidden_state
    torch.testing.assert_close(ours(images), expected, atol=1e-6, rtol=1e-6)
    patches = encoder(family, weights=folder, mean=[0.1, 0.2, 0.3], std=[0.5, 0.6, 0.7], class_token=False)(images)
    torch.testing.assert_close(patches, expected[:, CLASS_TOKENS[family] :], atol=1e-6, rtol=1e-6)
    assert patches.shape[1] == 16


@torch.no_grad()
def test_other_input_sizes_interpolate_the_positions_as_transformers_does(saved):
    family, model, folder = saved
    half = {"mean": [0.5] * 3, "std": [0.5] * 3}
    larger = encoder(family, weights=folder, input_size=48, **half)
    for images, ours in ((torch.rand(2, 3, 48, 48), larger), (torch.rand(1, 3, 24, 40), encoder(family, weights=folder, **half))):
        expected = model((images - 0.5) / 0.5, interpolate_pos_encoding=True).last_hidden_state
        torch.testing.assert_close(ours(images), expected, atol=1e-5, rtol=1e-5)


def test_the_weights_say_all_that_a_run_folder_must_record(saved):
    family, _, folder = saved
    with open(f"{folder}/preprocessor_config.json", "w") as file:
        json.dump({"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}, file)
    settings = {"architecture": {"model_type": family, **SIZES}, "weights": folder, "mean": None, "std": None}
    completed = ViTEncoder.complete(settings)
    assert (
        completed["architecture"]["layer_norm_eps"] == 3e-3 and completed["mean"] == [0.1, 0.2, 0.3] and completed["std"] == [0.4, 0.5, 0.6]
    )
    again = encoder(family, architecture=completed["architecture"])
    assert next(m for m in again.modules() if isinstance(m, torch.nn.LayerNorm)).eps == 3e-3
    assert completed["weights"] == folder and ViTEncoder.complete(completed) == completed


def test_each_family_has_its_own_statistics():
    assert encoder().mean.flatten().tolist() == [0.5, 0.5, 0.5]
    assert encoder("deit").mean[0, 0, 0, 0].item() == pytest.approx(0.485)
    assert encoder("clip_vision_model").std[0, 0, 0, 0].item() == pytest.approx(0.26862954)


@pytest.mark.parametrize("family", MODELS)
def test_fine_tuning_from_a_layer_on(family):
    ours = encoder(family, finetune_from=3)
    names = {id(parameter): name for name, parameter in ours.named_parameters()}
    found = {names[id(parameter)] for part in ours.finetuned_parts() for parameter in part.parameters()}
    assert found and not any("embeddings" in name or ".0." in name or ".1." in name for name in found)
    everything = {id(parameter) for part in encoder(family, finetune_from=0).finetuned_parts() for parameter in part.parameters()}
    unused = 2 if family == "clip_vision_model" else 0  # its last norm is for the class token alone
    assert len(everything) == len(names) - unused
    assert encoder(family, finetune_from=None).finetuned_parts() == []


@pytest.mark.parametrize("family", MODELS)
def test_every_part_that_may_train_gets_a_gradient(family):
    ours = encoder(family, finetune_from=0)
    ours(torch.rand(2, 3, 32, 32)).square().sum().backward()
    assert all(parameter.grad is not None for part in ours.finetuned_parts() for parameter in part.parameters())


def test_gradient_checkpointing_changes_no_gradient():
    plain = encoder().train()
    frugal = encoder(gradient_checkpointing=True).train()
    frugal.load_state_dict(plain.state_dict())
    images = torch.rand(2, 3, 32, 32)
    saved = []
    for model in (plain, frugal):
        with torch.autograd.graph.saved_tensors_hooks(lambda tensor: saved.append(tensor.numel()) or tensor, lambda tensor: tensor):
            model(images).square().sum().backward()
        saved.append(-1)
    cut = saved.index(-1)
    assert sum(saved[cut + 1 : -1]) < sum(saved[:cut]) / 2
    for one, other in zip(plain.parameters(), frugal.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_vit_tiny_of_imagenet_loads(weights_root):
    sizes = {"hidden_size": 192, "num_hidden_layers": 12, "num_attention_heads": 3, "intermediate_size": 768, "patch_size": 16}
    folder = str(weights_root / "vit-tiny-imagenet")
    ours = ViTEncoder({"model_type": "vit", **sizes}, folder).eval()
    oracle = transformers.ViTModel.from_pretrained(folder, add_pooling_layer=False).eval()
    images = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), oracle((images - 0.5) / 0.5).last_hidden_state)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": {"model_type": "swin", **SIZES}}, "model_type=swin is not known; choose one of vit, deit, clip_vision_model"),
        ({"architecture": {"model_type": "vit"}}, "has no hidden_size, num_hidden_layers"),
        (
            {"architecture": {"model_type": "vit", **SIZES, "num_hidden_layers": True}},
            "encoder.architecture.num_hidden_layers=True must be a whole number from 1 to 1000",
        ),
        ({"architecture": {"model_type": "vit", **SIZES, "hidden_size": 0}}, "encoder.architecture.hidden_size=0 must be a whole number"),
        ({"finetune_from": 4}, "finetune_from=4 must be 0 .* to 3"),
        ({"input_size": 7}, "input_size=7 does not consist of whole patches of 8 pixels: give 8."),
        ({"weights": "/no/such/folder"}, "/no/such/folder does not exist.*Give encoder.weights a local folder"),
    ],
)
def test_what_does_not_fit_is_named(changes, message):
    with pytest.raises(SoliError, match=message):
        encoder(**changes)


def test_weights_of_another_architecture_are_refused(saved, tmp_path):
    family, _, folder = saved
    with pytest.raises(SoliError, match="num_hidden_layers 3 there, 2 here"):
        encoder(family, weights=folder, architecture={"model_type": family, **SIZES, "num_hidden_layers": 2})
    other = "deit" if family == "vit" else "vit"
    with pytest.raises(SoliError, match=f"model_type {family} there, {other} here"):
        encoder(other, weights=folder)


def test_damaged_folders_are_named(tmp_path):
    with pytest.raises(SoliError, match="has no readable config.json"):
        encoder(weights=str(tmp_path))
    transformers.ViTModel(transformers.ViTConfig(**SIZES, image_size=32)).save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(SoliError, match=f"{tmp_path} cannot be loaded"):
        encoder(weights=str(tmp_path))
    transformers.GPT2Config().save_pretrained(tmp_path)
    with pytest.raises(SoliError, match="is a gpt2; allowed are vit, deit, clip_vision_model"):
        encoder(weights=str(tmp_path))


def test_pickled_weights_are_not_read(tmp_path):
    model = transformers.ViTModel(transformers.ViTConfig(**SIZES, image_size=32))
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(SoliError, match="cannot be loaded: .*safetensors"):
        encoder(weights=str(tmp_path))
