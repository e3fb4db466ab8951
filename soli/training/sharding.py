"""An encoder whose weights, gradients and optimizer state are divided among the processes (FSDP2: PyTorch's fully_shard).

A layer's weights are put together when it is its turn, and divided again after it. All processes must encode equally often, also to
validate, and all of them take part in a save. What else trains is on every process.
"""

from __future__ import annotations

import copy

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


def divide(encoder: nn.Module, device: torch.device) -> nn.Module:
    """A copy of the encoder on `device`, of which each process has its share. The encoder itself moves to the CPU's memory."""
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    copied = copy.deepcopy(encoder.to("cpu")).to(memory_format=torch.contiguous_format)  # channels last cannot be divided
    for layers in reversed([module for module in copied.modules() if isinstance(module, (nn.ModuleList, nn.Sequential))]):  # inner first
        for layer in layers:
            if any(not isinstance(parameter, DTensor) for parameter in layer.parameters()):
                fully_shard(layer, mesh=mesh)
    fully_shard(copied, mesh=mesh)
    for part in [module for module in copied.modules() if isinstance(module, FSDPModule)]:
        part.unshard()  # once outside of inference mode: what is first put together within it cannot be trained
        part.reshard()
    return copied


def reunite(encoder: nn.Module, divided: nn.Module, device: torch.device) -> nn.Module:
    """`encoder`, back on `device` with the weights of its divided copy."""
    encoder.load_state_dict({name: whole(tensor).cpu() for name, tensor in divided.state_dict().items()})
    return encoder.to(device)


def whole(tensor: Tensor) -> Tensor:
    """A tensor of which each process may have a share, put together: all of them call."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def placed(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, divided as `like` is: this process keeps its share."""
    if not isinstance(like, DTensor):
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def average_gradients(accelerator: Accelerator, model: nn.Module) -> None:
    """Of the weights that every process has, all at once: those of the divided ones are averaged as they are made."""
    gradients = [part.grad for part in model.parameters() if part.grad is not None and not isinstance(part, DTensor)]
    if not gradients:
        return
    averages = accelerator.reduce(torch.cat([gradient.flatten() for gradient in gradients]), "mean")
    for gradient, average in zip(gradients, averages.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(average.view_as(gradient))
