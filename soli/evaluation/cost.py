"""What a captioner costs, beside what it gains: parameters, operations, time and memory for a caption, and what its training took."""

from __future__ import annotations

import contextlib
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from soli.degradations import parse
from soli.json_text import parse_json, read_object
from soli.model import Captioner, evaluating


@torch.inference_mode()
def measure_cost(model: Captioner, photographs: Sequence[Tensor], precision: str = "fp32", **options: Any) -> dict[str, Any]:
    """Costs of captioning one photograph after another; uint8 photographs (3, H, W), `options` those of GenerationOptions.

    `parameters` of encoder, decoder and projector; `encoder_flops` and `decoder_flops` of a caption, on average: products of matrices and
    convolutions, a multiplication and an addition counting as two, all beams counted, nothing else; `milliseconds` from the photograph in
    memory to its words (median, and lower and upper quartile); `peak_bytes`: of the device's memory on CUDA while captioning, else the most
    that the whole process has had. The first photograph warms up and is not timed, unless it is the only one.
    """
    original = parse("original", model.mode, model.reference_side)

    def caption(number: int) -> None:
        with torch.autocast(model.device.type, torch.bfloat16, enabled=precision == "bf16"):
            features = model.encoder(model.render([photographs[number]], [original]))
            model.describe(features, first=number, **options)

    with evaluating(model):
        if model.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(model.device)
        seconds = [_timed(caption, number, model.device) for number in range(len(photographs))][1:] or [_timed(caption, 0, model.device)]
        peak = torch.cuda.max_memory_allocated(model.device) if model.device.type == "cuda" else _peak_of_process()
        inputs = [model.render([photograph], [original]) for photograph in photographs]
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as encoding:  # fused attention is not counted on every device
            features = [model.encoder(image) for image in inputs]
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as decoding:
            for number, of_image in enumerate(features):
                model.describe(of_image, first=number, **options)
    low, _, high = quantiles(seconds, n=4) if len(seconds) > 1 else seconds * 3
    return {
        "parameters": _count(model),
        "encoder_parameters": _count(model.encoder),
        "decoder_parameters": _count(model.decoder),
        "encoder_flops": encoding.get_total_flops() / len(photographs),
        "decoder_flops": decoding.get_total_flops() / len(photographs),
        "milliseconds": 1000 * median(seconds),
        "milliseconds_quartiles": [1000 * low, 1000 * high],
        "peak_bytes": peak,
        "device": _device_name(model.device),
        "threads": torch.get_num_threads(),
        "precision": precision,
    }


def training_cost(log: Path, data: Path) -> dict[str, Any]:
    """What a run's metrics.jsonl and data.json tell of its training: `training_steps`, `training_photographs` (with repetitions, each
    counted once however many views it had), `training_seconds` of the steps, validation left out. Empty when there is no finished epoch.
    """
    try:
        per_epoch = read_object(data)["splits"]["train"]["photographs"]
        lines = [parse_json(line) for line in log.read_text(encoding="utf-8").splitlines()]
        epochs = [line for line in lines if line["kind"] == "epoch"]
        seconds = sum(per_epoch / line["images_per_second"] for line in epochs)
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError):
        return {}
    if not epochs:
        return {}
    return {
        "training_steps": max(line["step"] for line in epochs),
        "training_photographs": per_epoch * len(epochs),
        "training_seconds": seconds,
    }


def _timed(caption: Any, number: int, device: torch.device) -> float:
    started = time.perf_counter()
    caption(number)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _peak_of_process() -> int | None:
    """Bytes; None where the system does not say. It counts in kilobytes, macOS in bytes."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return cpu_name()


def cpu_name() -> str:
    """As Linux has it, else the kind of machine."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
