"""How fast photographs are degraded and brought back to an encoder's input, against OpenCV image by image: one thread, 500 x 375 pixels.

python scripts/benchmark/degradations.py [--quick] [--output FILE]

Both ways begin with uint8 photographs in memory and end with one float batch (32, 3, 224, 224). The peer calls cv2.GaussianBlur where a
condition has a blur, cv2.resize once for each of its steps, and again to 224 pixels, all on uint8. (Before that ours is compared with the
same calls on floats, and PyTorch's antialiased resize to 224 pixels, which is what ours does there.) Prints JSON and a table: medians of
wall time and of CPU time.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from timing import race, read_arguments, report
from torch import Tensor
from torch.nn.functional import interpolate

from soli.degradations import PAPER_CONDITIONS, Blur, Degradation, Framing, Resize, parse, render
from soli.version import __version__

NUM_IMAGES, SIDE = 32, 224
TOLERANCE = 1e-4  # of pixels between 0 and 1: fifty steps in single precision add up


def main() -> None:
    given = read_arguments(__doc__, quick="two repeats instead of fifteen")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    photographs = draw_photographs(NUM_IMAGES)
    contests = {**{name: [name] for name in PAPER_CONDITIONS}, "the ten, mixed": PAPER_CONDITIONS}
    results = [measure(name, names, photographs, repeats=2 if given.quick else 15) for name, names in contests.items()]
    versions = {"soli": __version__, "torch": torch.__version__, "opencv": cv2.__version__}
    report(results, table(results), versions, given.output, threads=1)


def draw_photographs(number: int, height: int = 375, width: int = 500) -> list[np.ndarray]:
    """Smooth random pictures, uint8 (H, W, 3): what they show changes no time."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (number, 24, 32, 3), dtype=np.uint8)
    return [cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC) for picture in coarse]


def measure(name: str, conditions: Sequence[str], photographs: Sequence[np.ndarray], repeats: int) -> dict:
    """Times both ways in turn; photograph number i is degraded by condition number i, over and over."""
    degradations = [parse(conditions[number % len(conditions)]) for number in range(len(photographs))]
    tensors = [torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))) for image in photographs]
    frames = [Framing(SIDE, "squash").frame(*image.shape[1:]) for image in tensors]

    def ours() -> Tensor:
        return render(tensors, degradations, frames)

    differences = [difference(*each) for each in zip(ours(), photographs, degradations, strict=True)]
    assert max(differences) < TOLERANCE, f"{name}: differs by {max(differences)}"
    times = race(ours, lambda: by_opencv(photographs, degradations), repeats)
    speeds = {way: len(photographs) / clocks["wall"]["median"] for way, clocks in times["seconds"].items()}
    return {"name": name, "images": len(photographs), "images_per_second": speeds, **times}


def by_opencv(photographs: Sequence[np.ndarray], degradations: Sequence[Degradation]) -> Tensor:
    """One after the other into a float batch (N, 3, SIDE, SIDE)."""
    batch = torch.empty(len(photographs), 3, SIDE, SIDE)
    for view, photograph, degradation in zip(batch, photographs, degradations, strict=True):
        degraded = cv2.resize(degrade(photograph, degradation), (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
        torch.div(torch.from_numpy(degraded).permute(2, 0, 1), 255, out=view)
    return batch


def degrade(image: np.ndarray, degradation: Degradation) -> np.ndarray:
    """Algorithm 1 of the paper, a call of OpenCV for each step."""
    for operation in degradation.operations:
        if isinstance(operation, Blur):
            image = cv2.GaussianBlur(image, (15, 15), float(operation.sigma))
        elif isinstance(operation, Resize):
            sides, ratio = image.shape[:2], operation.ratio
            targets = [int(side * ratio) for side in sides]
            for step in range(1, operation.steps + 1):
                between = [max(target, round(side * float(ratio) ** (step / operation.steps))) for side, target in zip(sides, targets)]
                height, width = between if step < operation.steps else targets
                image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return image


def difference(view: Tensor, photograph: np.ndarray, degradation: Degradation) -> float:
    """The largest difference of a view (3, SIDE, SIDE) from the same steps in floating point."""
    degraded = torch.from_numpy(degrade(photograph.astype(np.float32) / 255, degradation)).permute(2, 0, 1)
    exact = interpolate(degraded.unsqueeze(0), size=(SIDE, SIDE), mode="bilinear", antialias=True)[0]
    return float((view - exact).abs().max())


def table(results: Sequence[dict]) -> str:
    lines = [f"{'':18}{'images/s':>10}{'OpenCV':>10}{'times as fast':>16}{'in CPU time':>13}"]
    for row in results:
        ours, peer = row["images_per_second"].values()
        lines.append(f"{row['name']:18}{ours:10.0f}{peer:10.0f}{row['speedup']['wall']:16.2f}{row['speedup']['cpu']:13.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
