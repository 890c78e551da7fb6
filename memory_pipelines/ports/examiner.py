"""What `doctor` asks of each engine."""

from __future__ import annotations

from typing import Protocol

from memory_pipelines.domain.diagnosis import Examination


class Examiner(Protocol):
    """Looks at one engine for `doctor`, and changes nothing: it neither starts, creates nor migrates."""

    def examine(self) -> Examination:
        """What is found. An engine that does not answer is a finding, not an exception."""
        ...
