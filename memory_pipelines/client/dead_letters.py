"""See, retry and drop what is parked."""

from __future__ import annotations

from memory_pipelines.client.door import Door
from memory_pipelines.domain.dead_letters import DeadLetter, DeadLetterPage, Released
from memory_pipelines.services import dead_letters as service


class DeadLetters(Door):
    """The part of `MemoryClient` for what failed for a reason of its own."""

    def dead_letters(self, *, projection: str | None = None, limit: int = 50, cursor: str | None = None) -> DeadLetterPage:
        """What is parked: rows, the longest owed first, then entries of the stream that could not be read.

        Args:
            projection: only what is parked for this one.
            limit: letters a page, 1 to 1000.
            cursor: of the page before.

        Raises:
            InvalidInput: `projection_unknown`, `limit_invalid`, `cursor_invalid`
        """
        return service.page(self._platform, projection=projection, limit=limit, cursor=cursor)

    def dead_letter(self, name: str) -> tuple[DeadLetter, ...]:
        """The dead letter of this name, or all of a subject's by its id.

        Raises:
            NotFound: `dead_letter_unknown`
            InvalidInput: `dead_letter_invalid`
        """
        return service.show(self._platform, name)

    def retry_dead(self, *names: str, projection: str | None = None, all_of_them: bool = False, accept_empty: bool = False) -> Released:
        """Release dead letters: rows are owed as before and drained again, entries that can be read by now are published again.

        Args:
            names: as `dead_letters` gives them; those that were dropped too.
            projection: instead of names, all of this projection that nobody dropped.
            all_of_them: instead of names, all that nobody dropped.
            accept_empty: let an extraction that finds nothing replace what the same text gave before.

        Raises:
            InvalidInput: `dead_letter_invalid`, `projection_unknown`
        """
        return service.retry(self._platform, names, projection=projection, all_of_them=all_of_them, accept_empty=accept_empty)

    def drop_dead(self, *names: str) -> Released:
        """Give dead letters up knowingly. A row stays parked through every repair and each audit names it as `given_up`, until its
        subject changes, or it is retried or rebuilt. An entry is deleted: what it may have named is owed in the ledger.

        Raises:
            InvalidInput: `dead_letter_invalid`
        """
        return service.drop(self._platform, names)
