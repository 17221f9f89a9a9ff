"""What the tests are about: the groups in which results are told."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

FEATURES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "writing and deleting": ("TestUpsert", "TestUpdateMetadata", "TestDelete"),
        "searching": ("TestSearch",),
        "scores": ("TestScores",),
        "recall": ("TestRecall", "TestAgreement"),
        "filters": ("TestFilters", "TestRandomFilters"),
        "reading back": ("TestGet", "TestCount", "TestList"),
        "field statistics": ("TestFieldStats",),
        "namespaces": ("TestNamespaces",),
        "encoding stamps": ("TestEncodingStamps",),
        "collections, reopening": ("TestCollections", "TestIndexUpdates", "TestBackend"),
        "consistency tokens": ("TestTokens",),
        "refusals": ("TestRefusals",),
        "calls at once": ("TestConcurrency",),
        "random histories": ("TestHistories",),
    }
)
"""Feature → the classes of the suite that test it; TestSuite is about the adoption, not about a backend."""


def feature_of(name: str) -> str:
    """Return the feature that a test class belongs to."""
    return next(feature for feature, classes in FEATURES.items() if name in classes)
