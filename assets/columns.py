"""What the tables of the record hold, as Dagster shows it with an asset: name, columns and their meaning.

A test compares each with the database. To add a table, add it to `TABLES`. Must stay out: columns that only our own comparison needs
(`INTERNAL`).
"""

import dagster as dg

# Places and digests that an audit compares by, and hashes of what a tombstone no longer says.
INTERNAL = {"bucket", "leaf", "digest", "key_hash", "name_hash", "content_hash"}

Columns = dict[str, tuple[str, str]]

_MEMORIES: Columns = {
    "id": ("uuid", "Made by the caller's side, before the first attempt."),
    "namespace": ("text", "Whose it is; never changes."),
    "key": ("text", "The caller's own name for it, unique in its namespace."),
    "thread": ("text", "The conversation it comes from."),
    "text": ("text", "What is remembered; gone from a tombstone."),
    "metadata": ("jsonb", "The caller's own."),
    "source": ("text", "Where it comes from."),
    "given": ("jsonb", "Entities and relations that the caller gave with it."),
    "operation": ("text", "What the last write was."),
    "version": ("integer", "Counts what callers write."),
    "revision": ("integer", "Counts whatever a projection must show."),
    "created_at": ("timestamp with time zone", "When it was first said."),
    "created_given": ("boolean", "Whether the caller gave that time."),
    "updated_at": ("timestamp with time zone", "When it was last written."),
    "expires_at": ("timestamp with time zone", "When it is hidden, and soon after forgotten."),
    "deleted_at": ("timestamp with time zone", "When it was forgotten: the row is a tombstone then."),
}
_ENTITIES: Columns = {
    "id": ("uuid", "The same in the graph."),
    "namespace": ("text", "Whose it is."),
    "name": ("text", "As it is shown; gone from a tombstone."),
    "type": ("text", "Person, place, organisation, date or thing, or the caller's own."),
    "name_key": ("text", "The name as it is compared."),
    "revision": ("integer", "Counts whatever a projection must show."),
    "created_at": ("timestamp with time zone", "When it was first mentioned."),
    "deleted_at": ("timestamp with time zone", "When its last mention went: the row is a tombstone then."),
    "updated_at": ("timestamp with time zone", "When it last changed."),
    "aliases": ("text[]", "Other names for it."),
    "summary": ("text", "What a person wrote about it."),
    "curated": ("text[]", "Fields that a person has set, which extraction leaves alone."),
}
_EMBEDDINGS: Columns = {
    "kind": ("text", "`memory` or `entity`."),
    "id": ("uuid", "The memory, or the entity."),
    "passage": ("smallint", "Which passage of the memory; 0 for an entity."),
    "generation": ("smallint", "Which model made it."),
    "version": ("integer", "Of the memory, or revision of the entity, it was made from."),
    "namespace": ("text", "Whose it is."),
    "indexed": ("boolean", "Whether it is in the HNSW index; else it is scanned exactly, and maintenance folds it in."),
    "v": ("vector", "The vector."),
}
TABLES = {"memories": _MEMORIES, "entities": _ENTITIES, "embeddings": _EMBEDDINGS}


def table(name: str) -> dict[str, object]:
    """The metadata of an asset that is a table of the record."""
    columns = [dg.TableColumn(column, type=kind, description=words) for column, (kind, words) in TABLES[name].items()]
    return {"dagster/table_name": f"memory.{name}", "dagster/column_schema": dg.TableSchema(columns=columns)}
