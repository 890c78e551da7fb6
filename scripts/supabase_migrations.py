"""Writes our SQL in the layout that the Supabase CLI applies: `supabase/migrations/<timestamp>_<name>.sql`.

`make migrations` writes, `--check` only compares (a test does). The CLI applies a file once and for ever, so each has a timestamp
here that never changes: one for every migration, one for the functions of every release. A new migration, or the first change of a
function after a release, is a new line. Files of earlier releases are left as they are.
"""

from __future__ import annotations

import sys
from pathlib import Path

from memory_pipelines import __version__
from memory_pipelines.stores.postgres import migrate

FOLDER = Path(__file__).parents[1] / "supabase" / "migrations"
STAMPS = {
    "0001_record": "20261123000001",
    "0002_audit": "20261123000002",
    "0003_repair": "20261123000003",
    "0004_dead_letters": "20261123000004",
    "0005_leases_aliases": "20261123000005",
    "functions_0_1_0": "20261123000100",
}
_HEAD = """-- Made by `make migrations` from memory_pipelines/stores/postgres/sql: change it there.
-- Either the Supabase CLI applies these files, or `memory-pipelines migrate` does the same; both keep the same account of it.
set search_path = public, extensions;
set check_function_bodies = off;

"""
_TAIL = """
reset check_function_bodies;
reset search_path;
notify pgrst, 'reload schema';
"""


def rendered() -> dict[str, str]:
    """Name and text of every file of this release.

    Raises:
        KeyError: a migration or a release has no timestamp yet.
    """
    release = migrate.release()
    found = {}
    for name, text in release.migrations:
        account = (
            f"{migrate.MIGRATIONS_TABLE};\ninsert into memory.migrations (version, name) values ({int(name.split('_')[0])}, '{name}');\n"
        )
        found[f"{STAMPS[name]}_memory_{name}.sql"] = f"{_HEAD}{text}\n{account}{_TAIL}"
    name = f"functions_{__version__.replace('.', '_')}"
    account = (
        f"insert into memory.settings values ('functions', '{release.functions_digest}')"
        " on conflict (name) do update set value = excluded.value;\n"
    )
    functions = "\n".join(text for _, text in release.functions)
    found[f"{STAMPS[name]}_memory_{name}.sql"] = f"{_HEAD}{functions}\n{account}{_TAIL}"
    return found


def main() -> int:
    """Write, or with `--check` name what is not in step; 1 when something is not."""
    files = rendered()
    if "--check" in sys.argv[1:]:
        stale = [name for name, text in files.items() if not (FOLDER / name).exists() or (FOLDER / name).read_text("utf-8") != text]
        if stale:
            print(f"Not in step with the SQL: {', '.join(stale)}. Run `make migrations`.", file=sys.stderr)
        return 1 if stale else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (FOLDER / name).write_text(text, "utf-8")
    print(f"{len(files)} files in {FOLDER.parent.name}/{FOLDER.name}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
