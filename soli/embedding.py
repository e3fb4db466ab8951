"""What the contrastive term compares: features averaged over the grid or place by place, projected, normalised, each if wanted."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

PROJECTORS = ("none", "linear", "mlp")


class Embedding(nn.Module):
    """Features (N, L, D) -> embeddings (N, E), or (N, L, E) with `pooling="none"`. SOLI (arXiv 2512.08873): mean, no projector, no norm."""

    def __init__(
        self,
        feature_dim: int,
        pooling: Literal["mean", "none"] = "mean",
        projector: Literal["none", "linear", "mlp"] = "none",
        dim: int = 128,
        normalize: bool = False,
    ):
        """`projector` maps each D-vector to `dim` numbers: "linear", or "mlp" with a hidden layer of width D. `normalize`: to length 1."""
        super().__init__()
        assert pooling in ("mean", "none") and projector in PROJECTORS
        self.pooling, self.normalize = pooling, normalize
        self.projection: nn.Module = nn.Identity()
        if projector == "linear":
            self.projection = nn.Linear(feature_dim, dim, bias=False)
        elif projector == "mlp":
            self.projection = nn.Sequential(nn.Linear(feature_dim, feature_dim), nn.ReLU(), nn.Linear(feature_dim, dim))

    def forward(self, features: Tensor) -> Tensor:
        embeddings = self.projection(features.mean(1) if self.pooling == "mean" else features)
        return functional.normalize(embeddings, dim=-1) if self.normalize else embeddings
