"""Encoders: shapes, torchvision as the oracle, what is frozen, and weights that do not fit."""

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from soli.encoders import ResNetEncoder, TinyEncoder
from soli.interfaces import SoliError


@pytest.mark.parametrize(("stages", "width", "side"), [(1, 64, 16), (2, 128, 8), (3, 256, 4), (4, 512, 2)])
def test_a_resnet_gives_the_grid_of_its_last_stage(stages, width, side):
    encoder = ResNetEncoder("resnet18", None, stages=stages)
    assert encoder.feature_dim == width
    assert encoder(torch.rand(2, 3, 64, 64)).shape == (2, side * side, width)


def test_bottleneck_networks_publish_their_width():
    encoder = ResNetEncoder("resnet50", None, stages=2)
    assert encoder.feature_dim == 512 and encoder(torch.rand(1, 3, 48, 80)).shape == (1, 6 * 10, 512)


@torch.no_grad()
def test_features_equal_torchvisions(tmp_path):
    network = torchvision.models.resnet18(weights=None).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    encoder = ResNetEncoder("resnet18", str(tmp_path / "weights.safetensors"), stages=4).eval()
    images = torch.rand(2, 3, 96, 64)
    mean, std = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    network.avgpool, network.fc = nn.Identity(), nn.Identity()
    expected = network((images - mean) / std).view(2, 512, -1).transpose(1, 2)
    torch.testing.assert_close(encoder(images), expected, atol=1e-4, rtol=1e-4)


def test_frozen_batch_norm_stays_to_the_bit_in_training(tmp_path):
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), tmp_path / "weights.pth")
    encoder = ResNetEncoder("resnet18", str(tmp_path / "weights.pth"), stages=2, finetune_from=1).train()
    before = {name: value.clone() for name, value in encoder.state_dict().items() if "bn" in name or "downsample.1" in name}
    optimizer = torch.optim.SGD(encoder.parameters(), lr=0.1)
    encoder(torch.rand(4, 3, 64, 64)).sum().backward()
    optimizer.step()
    after = encoder.state_dict()
    assert before and all(torch.equal(after[name], value) for name, value in before.items())


def test_fine_tuning_from_a_stage_on():
    parts = ResNetEncoder("resnet18", None, stages=4, finetune_from=3).finetuned_parts()
    encoder = ResNetEncoder("resnet18", None, stages=4, finetune_from=0)
    assert len(parts) == 2 and encoder.finetuned_parts() == [encoder]
    assert ResNetEncoder("resnet18", None, finetune_from=None).finetuned_parts() == []


def test_the_real_weights_load_and_tell_photographs_apart(weights_root, native_root):
    from soli.datasets import read_photograph

    encoder = ResNetEncoder("resnet18", str(weights_root / "resnet18-imagenet-stem-to-layer3-bnfolded.pth"), stages=3).eval()
    images = [
        torch.from_numpy(read_photograph(path)).permute(2, 0, 1).float()[None] / 255 for path in sorted(native_root.glob("*.jpg"))[:6]
    ]
    with torch.no_grad():
        embeddings = torch.stack([encoder(image).mean(1)[0] for image in images])
        repeated = encoder(images[0]).mean(1)[0]
    distances = torch.cdist(embeddings, embeddings)
    assert torch.equal(repeated, embeddings[0]) and distances[distances > 0].min() > 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet19"}, "resnet18"),
        ({"weights": "nowhere.pth"}, "nowhere.pth"),
        ({"weights": None, "stages": 5}, "stages=5"),
        ({"weights": None, "stages": 2, "finetune_from": 3}, "finetune_from=3"),
    ],
)
def test_what_does_not_exist_is_named(arguments, message):
    with pytest.raises(SoliError, match=message):
        ResNetEncoder(**arguments)


def test_weights_of_another_architecture_say_which_keys(tmp_path):
    torch.save(torchvision.models.resnet50(weights=None).state_dict(), tmp_path / "fifty.pth")
    with pytest.raises(SoliError, match=r"(?s)fifty\.pth.*resnet18.*layer1"):
        ResNetEncoder("resnet18", str(tmp_path / "fifty.pth"))


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "proof"), "w"))

    torch.save({"conv1.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(SoliError, match=r"evil\.pth"):
        ResNetEncoder("resnet18", str(tmp_path / "evil.pth"))
    assert not (tmp_path / "proof").exists()


def test_damaged_weights_are_named(tmp_path):
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04 not really")
    (tmp_path / "cut.safetensors").write_bytes(b"\x00" * 20)
    for name in ("cut.pth", "cut.safetensors"):
        with pytest.raises(SoliError, match=name):
            ResNetEncoder("resnet18", str(tmp_path / name))


def test_the_tiny_encoder_does_not_mix_images():
    encoder, images = TinyEncoder(feature_dim=32), torch.rand(4, 3, 64, 96)
    together = encoder(images)
    assert together.shape == (4, 4 * 6, 32)
    torch.testing.assert_close(together[2:3], encoder(images[2:3]), atol=1e-5, rtol=1e-4)
