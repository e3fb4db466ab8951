"""The bare step of SOLI-par: forward pass, losses, backward pass and optimiser, on inputs that are ready."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

import torch
from loop_watch import Clock, allocated
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode
from training_loop import Training

from soli.losses import AttentionLoss, CaptionLoss
from soli.training.parts import Part
from soli.training.siamese import Anchor
from soli.training.views import randomness

ROUNDS = 3
NUM_KERNELS = 15


class BareStep:
    """The step of a training's only phase with the modules that the loop trains, under autocast to bf16 as it has it."""

    def __init__(self, training: Training):
        self.training, self.model = training, training.model
        (phase,) = training.recipe.phases.values()
        self.weights = {loss: weight for loss, weight in phase.losses.items() if weight > 0}
        before = allocated(self.model.device)
        self.anchor = Anchor(training.model)
        self.held = allocated(self.model.device) - before  # bytes that the loop would do without
        self.before: dict[str, Tensor] = {}

    def remember(self) -> None:
        """The weights with which the loop begins."""
        self.before = {name: value.clone() for name, value in self.model.state_dict().items()}

    def repeat(self, part: Part) -> dict[str, float]:
        """Loss and norm of gradients of the loop's first step, from the weights and the dropout that it had; the model stays as it is."""
        stepped = {name: value.clone() for name, value in self.model.state_dict().items()}
        gradients = [weight.grad for weight in self.model.parameters()]
        self.model.load_state_dict(self.before)
        torch.manual_seed(randomness(self.training.recipe.seed, "step", 0, 0, 0).getrandbits(63))
        loss = self.backward(part)
        norm = torch.nn.utils.get_total_norm([weight.grad for weight in self.model.parameters() if weight.grad is not None])
        self.model.load_state_dict(stepped)
        for weight, gradient in zip(self.model.parameters(), gradients, strict=True):
            weight.grad = gradient
        self.before = {}
        return {"loss": loss.item(), "gradient_norm": norm.item()}

    def backward(self, part: Part) -> Tensor:
        """The loss (Eq. 8), its gradients in their places."""
        self.model.zero_grad(set_to_none=True)
        loss = self.loss(part)
        loss.backward()
        return loss.detach()

    def loss(self, part: Part) -> Tensor:
        with torch.autocast(self.model.device.type, torch.bfloat16):
            output = self.model(part.inputs, part.read, attend="attention" in self.weights)
            anchor = self.anchor(part.anchor_inputs)
        pad_id = self.model.tokenizer.pad_id
        terms = {
            "caption": CaptionLoss(pad_id)(output.logits.float(), part.targets),
            "contrastive": self.contrast(anchor.float(), output.embeddings[len(anchor) :].float(), part),
        }
        if "attention" in self.weights:
            terms["attention"] = AttentionLoss()(output.attention.float(), part.targets != pad_id)
        return sum(weight * terms[name] for name, weight in self.weights.items())

    def contrast(self, anchor: Tensor, other: Tensor, part: Part) -> Tensor:
        keys = torch.tensor(part.keys).to(anchor.device, non_blocking=True)
        siamese = self.training.siamese
        return siamese(anchor, other, *siamese.pairs(anchor, other, keys, [], keys))

    def seconds(self, parts: Sequence[Part], number: int) -> float:
        """Of a step, the median of rounds of so many without a pause, after a round that warms up."""
        optimizer, clock = self.training.optimizer(), Clock(self.model.device)
        marks = []
        for _ in range(ROUNDS + 1):
            marks.append(clock.mark())
            for place in range(number):
                self.backward(parts[place % len(parts)])
                optimizer.step()
        marks.append(clock.mark())
        self._wait()
        return median(clock.between(*pair) for pair in pairwise(marks[1:])) / number

    def seconds_of_host(self, part: Part) -> float:
        """That handing over the forward and the backward pass takes, the device having nothing else to do: a bound for its idleness."""
        times = []
        for _ in range(ROUNDS):
            self._wait()
            started = time.perf_counter()
            self.backward(part)
            times.append(time.perf_counter() - started)
        return median(times)

    def longest_kernels(self, part: Part) -> list[dict[str, object]]:
        """What takes the device longest in a forward and backward pass."""
        on_cuda = self.model.device.type == "cuda"
        with profile(activities=[ProfilerActivity.CUDA if on_cuda else ProfilerActivity.CPU]) as profiler:
            self.backward(part)
            self._wait()
        field = "self_device_time_total" if on_cuda else "self_cpu_time_total"
        ranked = sorted(profiler.key_averages(), key=lambda entry: -getattr(entry, field))[:NUM_KERNELS]
        return [{"name": entry.key[:100], "calls": entry.count, "milliseconds": getattr(entry, field) / 1000} for entry in ranked]

    def _wait(self) -> None:
        if self.model.device.type == "cuda":
            torch.cuda.synchronize(self.model.device)

    def operations(self, part: Part) -> float:
        """Of products and convolutions in a step, a multiplication and an addition counting as two; fused attention is taken apart."""
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            self.backward(part)
        self.model.zero_grad(set_to_none=True)
        return float(counter.get_total_flops())
