"""ResNet encoders (He et al., arXiv 1512.03385) from torchvision, cut after a stage; the grid before pooling is the feature sequence."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from soli.hub import first_line, read_safetensors
from soli.interfaces import SoliError, check_value
from soli.spelling import nearest

WANTED = "Give a state dict: a .safetensors file, or one that torch.save has written."
NAMES = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ResNetEncoder(nn.Module):
    """(N, 3, H, W) in [0, 1], any H and W -> (N, L, D): D is 64, 128, 256, 512 after stages 1-4 (four times that from ResNet-50 on)."""

    def __init__(
        self,
        name: str = "resnet18",
        weights: str | None = "DEFAULT",
        stages: int = 4,
        finetune_from: int | None = 1,
        batch_norm: Literal["frozen", "trained"] = "frozen",
        input_size: int = 224,
        framing: Literal["crop", "squash"] = "crop",
    ):
        """`weights` is a torchvision name, a file of a state dict (.safetensors, or .pth read as weights only) or None for random ones.

        `finetune_from` is the first stage that may train (0: the stem too; None: nothing). Frozen batch norm keeps statistics and
        scales as they are, in training too; random weights have none worth keeping, so train theirs. Raises SoliError for unknown names and
        for weights of another architecture.
        """
        super().__init__()
        if name not in NAMES:
            raise SoliError(f"encoder.name={name} is not known{nearest(name, NAMES)}; choose one of {', '.join(NAMES)}.")
        if not 1 <= stages <= 4:
            raise SoliError(f"encoder.stages={stages} is not a stage of a ResNet: choose 1, 2, 3 or 4.")
        if finetune_from is not None and not 0 <= finetune_from <= stages:
            raise SoliError(
                f"encoder.finetune_from={finetune_from} must be 0 (the stem) to {stages} (the last stage kept), or null for none."
            )
        check_value("encoder.input_size", input_size, input_size >= 1, "at least 1")
        self.input_size, self.framing, self.finetune_from = input_size, framing, finetune_from
        network = _build(name, weights, stages, batch_norm)
        self.stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
        self.stages = nn.Sequential(*(getattr(network, f"layer{stage}") for stage in range(1, stages + 1)))
        last_block = self.stages[-1][-1]
        self.feature_dim = (last_block.conv3 if hasattr(last_block, "conv3") else last_block.conv2).out_channels
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        grid = self.stages(self.stem((images - self.mean) / self.std))  # (N, D, h, w)
        return grid.flatten(2).transpose(1, 2)  # (N, L, D)

    def finetuned_parts(self) -> list[nn.Module]:
        """The stages that may train, the stem among them when `finetune_from` is 0."""
        if self.finetune_from is None:
            return []
        return [self] if self.finetune_from == 0 else list(self.stages[self.finetune_from - 1 :])


def _build(name: str, weights: str | None, stages: int, batch_norm: str) -> nn.Module:
    """The torchvision network with its weights; layers after `stages` may be missing in a file, for they are thrown away."""
    import torchvision  # slow to import
    from torchvision.ops import FrozenBatchNorm2d

    norm_layer = FrozenBatchNorm2d if batch_norm == "frozen" else nn.BatchNorm2d
    constructor = getattr(torchvision.models, name)
    known = torchvision.models.get_model_weights(name).__members__
    if weights is None:
        return constructor(weights=None, norm_layer=norm_layer)
    network = constructor(weights=None, norm_layer=norm_layer)
    path = _downloaded(known[weights].url, weights) if weights in known else Path(weights)
    _load(network, path, name, stages, known)
    return network


def _downloaded(url: str, weights: str) -> Path:
    """torchvision's file, where torchvision itself keeps it; downloaded once. Its own way of reading it would unpickle any object."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), path.stem.rpartition("-")[2])  # resnet18-f37072fd: its SHA-256 begins so
        except (OSError, RuntimeError) as reason:
            raise SoliError(f"encoder.weights={weights} could not be downloaded ({reason}). Give a local file, or null.") from reason
    return path


def _load(network: nn.Module, path: Path, name: str, stages: int, known: dict) -> None:
    unused = ("fc.", *(f"layer{stage}." for stage in range(stages + 1, 5)))
    state = {key: value for key, value in _read_state(path, known).items() if not key.startswith(unused)}
    expected = {key: value for key, value in network.state_dict().items() if not key.startswith(unused)}
    missing = [key for key in expected if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in expected and not key.endswith("num_batches_tracked")]
    reshaped = [key for key in expected if key in state and state[key].shape != expected[key].shape]
    if missing or unexpected or reshaped:
        found = [
            f"{len(keys)} {what} ({keys[0]}, ...)"
            for what, keys in (("missing", missing), ("unknown", unexpected), ("of another shape", reshaped))
            if keys
        ]
        raise SoliError(
            f"{path} does not hold the weights of {name} up to stage {stages}: keys {', '.join(found)}. Choose the encoder they belong to, "
            "or with encoder.stages how many of its stages are used."
        )
    network.load_state_dict({key: value for key, value in state.items() if key in expected}, strict=False)


def _read_state(path: Path, known: dict) -> dict[str, Tensor]:
    if path.is_dir():
        raise SoliError(f"encoder.weights={path} is a folder, which only a ViT takes (encoder=vit_tiny): give a file for this encoder.")
    if not path.is_file():
        raise SoliError(f"encoder.weights={path} is neither a file nor a torchvision name; names for this network: {', '.join(known)}.")
    if path.suffix == ".safetensors":
        return read_safetensors(path, f"encoder.weights={path}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as reason:  # the readers raise many kinds, none of them the user's language
        raise SoliError(f"encoder.weights={path} cannot be read as a file of tensors ({first_line(reason)}). {WANTED}") from reason
    if not isinstance(state, dict) or not all(isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()):
        raise SoliError(f"encoder.weights={path} is not a state dict of tensors. {WANTED}")
    return state
