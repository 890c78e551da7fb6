"""The nouns of the platform, as plain frozen data, a file for each subject.

Lives here: what goes into the record and what comes back. To add a field, add it here, in the SQL function that
returns it and in its test. Must stay out: I/O, drivers, validation of raw input (that is `validation.py`).
Times are timezone-aware `datetime`s in UTC; ids of memories are UUID strings in lower case.
"""

from memory_pipelines.domain.models.audit import (
    Explanation,
    Finding,
    Verdict,
)
from memory_pipelines.domain.models.entities import (
    Entity,
    EntityAlias,
    EntityPage,
    EntitySummary,
    MergeResult,
    NamedMention,
    Related,
    RelatedBy,
    RelatedEntity,
)
from memory_pipelines.domain.models.memories import (
    EntityMention,
    ForgetResult,
    HistoryEntry,
    Links,
    Memory,
    MemoryInput,
    MemoryPage,
    Namespace,
    RelationMention,
    SaveResult,
    SearchHit,
)
from memory_pipelines.domain.models.sync import (
    Claim,
    DrainResult,
    Lease,
    Owed,
    ProjectionState,
    Status,
    SyncState,
)
from memory_pipelines.domain.models.terms import (
    PROJECTIONS,
    Origin,
    Outcome,
    Projection,
    Ref,
    SubjectKind,
    Wait,
    as_json,
)
from memory_pipelines.domain.models.transfer import (
    ImportResult,
    LineError,
)

__all__ = [
    "PROJECTIONS",
    "Claim",
    "DrainResult",
    "Entity",
    "EntityAlias",
    "EntityMention",
    "EntityPage",
    "EntitySummary",
    "Explanation",
    "Finding",
    "ForgetResult",
    "HistoryEntry",
    "ImportResult",
    "Lease",
    "LineError",
    "Links",
    "Memory",
    "MemoryInput",
    "MemoryPage",
    "MergeResult",
    "NamedMention",
    "Namespace",
    "Origin",
    "Outcome",
    "Owed",
    "Projection",
    "ProjectionState",
    "Ref",
    "Related",
    "RelatedBy",
    "RelatedEntity",
    "RelationMention",
    "SaveResult",
    "SearchHit",
    "Status",
    "SubjectKind",
    "SyncState",
    "Verdict",
    "Wait",
    "as_json",
]
