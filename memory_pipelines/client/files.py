"""Import and export."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from memory_pipelines.client.door import Door
from memory_pipelines.domain.models import ImportResult
from memory_pipelines.services.transfer import transfer as transfer_service
from memory_pipelines.services.transfer.importer import OnError

if TYPE_CHECKING:
    import pandas


class Files(Door):
    """The part of `MemoryClient` that reads and writes files."""

    def import_file(
        self,
        path: str | Path,
        *,
        namespace: str | None = None,
        mapping: Mapping[str, str] | None = None,
        on_error: OnError = "stop",
        revive: bool = False,
    ) -> ImportResult:
        """Import a file of memories: JSON Lines, CSV or Parquet by its name. Importing it twice changes nothing.

        Args:
            namespace: where every line goes, whatever it says itself; a memory that the file has in another one becomes a copy.
            mapping: field of a memory to column of the file, as in `{"key": "id", "created_at": "date"}`.
            on_error: `stop` at the first bad line, with nothing of its batch written, or `skip` it. Both are told in `errors`.
            revive: let forgotten keys live again.

        Raises:
            InvalidInput: the file cannot be read, or no line has a mapped column.
        """
        return transfer_service.import_file(self._platform, path, namespace=namespace, mapping=mapping, on_error=on_error, revive=revive)

    def import_frame(
        self,
        frame: pandas.DataFrame,
        *,
        namespace: str | None = None,
        mapping: Mapping[str, str] | None = None,
        on_error: OnError = "stop",
        revive: bool = False,
    ) -> ImportResult:
        """Import the rows of a pandas DataFrame; everything else as `import_file`."""
        return transfer_service.import_frame(self._platform, frame, namespace=namespace, mapping=mapping, on_error=on_error, revive=revive)

    def export_file(self, path: str | Path, *, namespace: str | None = None) -> int:
        """Write every live memory, or those of one namespace, to a file that `import_file` reads back. Returns how many.

        Raises:
            NotFound: `namespace_unknown`
            InvalidInput: `file_unwritable`; `format_unknown`, the suffix says none.
        """
        return transfer_service.export_file(self._platform, path, namespace=namespace)
