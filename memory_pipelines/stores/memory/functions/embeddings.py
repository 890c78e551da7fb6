"""Embeddings: generations, storing, the nearest. Every search is exact: there is no index to fold vectors into, only its bookkeeping."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from memory_pipelines.ports import Vectors
from memory_pipelines.stores.memory.functions.base import Payload, as_uuid, drop_embeddings, drop_passages, refuse, settled
from memory_pipelines.stores.memory.rows import Embedding, Entity, Generation, Memory, Passage
from memory_pipelines.stores.memory.tables import Tables


def memory_generation_v1(tables: Tables, p: Payload) -> Any:
    """The active generation for a model, made on first use. A different model is refused: vectors of two models do not compare."""
    active = generation(tables) or tables.generations.put(1, Generation(1, p["model"], p["dimensions"]))
    if (active.model, active.dimensions) != (p["model"], p["dimensions"]):
        refuse(
            409, "generation_conflict",
            f"This record is embedded with {active.model} ({active.dimensions} dimensions); the configured embedder is {p['model']}"
            f" ({p['dimensions']}). Set MEMORY_EMBEDDER back.",
        )  # fmt: skip
    return {"generation": active.id}


def generation(tables: Tables) -> Generation | None:
    """The active generation; None before anything was embedded."""
    return next(iter(tables.generations), None)


def memory_store_embeddings_v1(tables: Tables, p: Payload) -> Any:
    """Store vectors, which come as text, and settle the debt, in one transaction."""
    return memory_store_vectors_v1(tables, p, [json.loads(vector) for vector in p["vectors"]])


def memory_store_vectors_v1(tables: Tables, p: Payload, vectors: Vectors) -> Any:
    """Store vectors and settle the debt, in one transaction. A result made from an older version is refused; what is forgotten
    or unknown loses its vectors."""
    import numpy as np

    rows: list[Payload] = p["rows"]
    expected = tables.generations.get(p["generation"])
    if rows and sum(row.get("vectors") or 0 for row in rows) != len(vectors):
        refuse(400, "vectors_invalid", "There are not as many vectors as the rows say.")
    wrong = [len(vector) for vector in vectors if expected is not None and len(vector) != expected.dimensions]
    if wrong and expected is not None:
        refuse(
            400, "dimension_mismatch", "A vector has the wrong number of dimensions for the active generation.",
            dimensions=wrong[0], expected=expected.dimensions,
        )  # fmt: skip
    paid = first = 0
    for row in rows:
        own, first = vectors[first : first + (row.get("vectors") or 0)], first + (row.get("vectors") or 0)
        subject = _subject(tables, row)
        if subject is None:
            drop_embeddings(tables, row["kind"], row["id"])
            drop_passages(tables, row["id"])
        elif _version(subject) == row["version"]:
            if isinstance(subject, Memory) and isinstance(row.get("passages"), list):  # they were cut again
                for n, text in enumerate(row["passages"]):
                    tables.passages.put((subject.id, n), Passage(subject.id, n, subject.version, subject.namespace, text))
                drop_passages(tables, subject.id, len(row["passages"]))
            drop_embeddings(tables, row["kind"], subject.id)
            for n, vector in enumerate(own):
                fresh = Embedding(
                    row["kind"], subject.id, n, p["generation"], row["version"], subject.namespace, np.array(vector, dtype=np.float32)
                )
                tables.embeddings.put((fresh.kind, fresh.id, n, fresh.generation), fresh)
        else:
            continue
        debt = tables.ledger.get(("embeddings", row["kind"], row["id"]))
        if debt is not None and debt.owed_number is not None and debt.owed_number == row["number"]:
            tables.ledger.put(debt.key, settled(debt, revision=row["version"], version=row["version"]))
            paid += 1
    return {"stored": paid, "superseded": len(rows) - paid}


def _subject(tables: Tables, row: Payload) -> Memory | Entity | None:
    """The live memory or entity that a row is about."""
    id_ = as_uuid(row["id"])
    found = {"memory": tables.memories, "entity": tables.entities}[row["kind"]].get(id_)  # type: ignore[attr-defined]  # one of two
    return None if found is None or found.deleted_at is not None else found


def _version(row: Memory | Entity) -> int:
    return row.version if isinstance(row, Memory) else row.revision


def fold(tables: Tables, limit: int) -> int:
    """Count one page of the tail as moved into the vector index. Returns how many."""
    waiting = [row for row in tables.embeddings if not row.indexed][:limit]
    for row in waiting:
        tables.embeddings.put((row.kind, row.id, row.passage, row.generation), replace(row, indexed=True))
    return len(waiting)


def nearest(tables: Tables, kind: str, namespace: str, vector: str) -> list[Embedding]:
    """The embeddings of a namespace, nearest first by cosine distance; none before anything was embedded.

    Raises:
        InvalidInput: `dimension_mismatch`
    """
    import numpy as np

    active = generation(tables)
    if active is None:
        return []
    asked = np.array(json.loads(vector), dtype=np.float32)
    if len(asked) != active.dimensions:
        refuse(
            400, "dimension_mismatch", "The question's vector has the wrong number of dimensions for the active generation.",
            dimensions=len(asked), expected=active.dimensions,
        )  # fmt: skip
    rows = tables.embeddings.having("namespace", (kind, namespace, active.id))
    if not rows:
        return []
    stored = np.stack([row.v for row in rows])
    near = stored @ asked / np.maximum(np.linalg.norm(stored, axis=1) * np.linalg.norm(asked), np.finfo(np.float32).tiny)
    return [rows[n] for n in np.argsort(-near, kind="stable")]


def nearest_entities(tables: Tables, namespace: str, vector: str) -> list[Entity]:
    """The five live entities whose names are nearest."""
    rows = (tables.entities.get(row.id) for row in nearest(tables, "entity", namespace, vector))
    return [row for row in rows if row is not None and row.deleted_at is None][:5]
