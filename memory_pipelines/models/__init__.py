"""Models behind the ports `Embedder` and `Extractor`.

Lives here: one folder per port, one file per provider, and `factory.py`, which chooses by setting. To add a provider,
write a class that satisfies the Protocol, add a branch to the factory and a line to `tests/contract/test_models.py`.
Must stay out: stores, services, and anything that reads the environment.
"""

from memory_pipelines.models.factory import open_embedder, open_extractor

__all__ = ["open_embedder", "open_extractor"]
