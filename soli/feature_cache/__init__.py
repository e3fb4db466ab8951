"""Features of a frozen encoder, kept on disk: each photograph is decoded, degraded and encoded once per condition."""

from soli.feature_cache.cache import FeatureCache
from soli.feature_cache.disk import make_folder
from soli.feature_cache.origin import encoder_digest

__all__ = ["FeatureCache", "encoder_digest", "make_folder"]
