#!/usr/bin/env python3
"""Secrets of docker-compose.yml: makes them, and refuses to start with placeholders. Needs Python 3.11 and nothing else.

    python3 deploy/keys.py make                       writes .env from .env.example, or puts into .env what it still lacks
    python3 deploy/keys.py make --renew JWT_SECRET    makes that one anew, with the tokens that it signs
    python3 deploy/keys.py check --file .env          exit code 1, with a reason each, when a secret cannot be used
    python3 deploy/keys.py check                      the same for the environment; every container of ours does this before it starts

A secret is shown by nothing here, not even a wrong one. Must stay out: anything that has to be installed, and other settings.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import sys
import time
from collections.abc import Mapping
from pathlib import Path

PLACEHOLDER = "REPLACE_ME"
PASSWORDS = (
    "POSTGRES_PASSWORD",
    "AUTHENTICATOR_PASSWORD",
    "MEMORY_SERVICE_PASSWORD",
    "DAGSTER_PASSWORD",
    "REDIS_PASSWORD",
    "GRAPH_PASSWORD",
)
SIGNING = "JWT_SECRET"
TOKENS = {"SERVICE_KEY": "service_role", "ANON_KEY": "anon"}  # and the Postgres role that each becomes
NAMES = (*PASSWORDS, SIGNING, *TOKENS)
LEAST_CHARS = {SIGNING: 32}  # PostgREST takes no shorter one; 16 for the others
GRAPHS = ("memgraph", "neo4j")
YEARS = 5
ROOT = Path(__file__).resolve().parents[1]
_LINE = re.compile(r"^([A-Z][A-Z0-9_]*)=(.*)$")
_URL_SAFE = re.compile(r"[A-Za-z0-9_-]+")


def main() -> int:
    """Parse the command line, make or check."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    maker = commands.add_parser("make", help="write .env, or complete it")
    maker.add_argument("--file", type=Path, default=ROOT / ".env", help="file to write; default: .env of this checkout")
    maker.add_argument("--renew", nargs="+", choices=NAMES, default=[], metavar="NAME", help="make these anew although they are set")
    checker = commands.add_parser("check", help="refuse what cannot be used")
    checker.add_argument("--file", type=Path, help="file to look at; default: the environment")
    options = parser.parse_args()
    if options.command == "make":
        return make(options.file, frozenset(options.renew))
    if options.file is not None and not options.file.exists():
        print(f"{options.file} is not there: python3 deploy/keys.py make", file=sys.stderr)
        return 1
    found = problems(os.environ if options.file is None else values(options.file.read_text("utf-8")), whole=options.file is not None)
    for problem in found:
        print(f"refused: {problem}", file=sys.stderr)
    if found:
        print("Make secrets with: python3 deploy/keys.py make", file=sys.stderr)
    return 1 if found else 0


def make(file: Path, renew: frozenset[str]) -> int:
    """Put a secret wherever there is none yet; what is set already stays, and so does every other line.

    Args:
        file: made from .env.example when it is not there.
        renew: names to make anew; a new JWT secret brings new tokens.
    """
    text = (file if file.exists() else ROOT / ".env.example").read_text("utf-8")
    present = values(text)
    due = {name for name in NAMES if name in renew or not _set(present.get(name))}
    if SIGNING in due:
        due |= TOKENS.keys()
    made = {name: secrets.token_urlsafe(48 if name == SIGNING else 24) for name in NAMES if name in due and name not in TOKENS}
    signing = made.get(SIGNING) or present.get(SIGNING, "")
    made |= {name: token(role, signing) for name, role in TOKENS.items() if name in due}
    _write(file, _with(text, made))
    print(
        f"{file}: made {', '.join(name for name in NAMES if name in made)}." if made else f"{file}: nothing to make, every secret is set."
    )
    return 0


def problems(found: Mapping[str, str], *, whole: bool) -> list[str]:
    """Why these values cannot be used, a sentence each, without the values.

    Args:
        found: variables with their values.
        whole: whether every secret has to be among them, as in a file; a container is given those that it needs.
    """
    said = [f"{name} is not set." for name in NAMES if (whole or name in found) and not found.get(name)]
    said += [f"{name} still holds the placeholder." for name, value in found.items() if PLACEHOLDER.lower() in value.lower()]
    real = {name: found[name] for name in NAMES if found.get(name) and PLACEHOLDER.lower() not in found[name].lower()}
    for name in (*PASSWORDS, SIGNING):
        least = LEAST_CHARS.get(name, 16)
        if name in real and len(real[name]) < least:
            said.append(f"{name} is shorter than {least} characters.")
        if name in real and not _URL_SAFE.fullmatch(real[name]):
            said.append(f"{name} holds something other than letters, digits, - and _, which means something else in a URL.")
    alike = [name for name in real if list(real.values()).count(real[name]) > 1]
    if alike:
        said.append(f"{', '.join(alike)} are the same: whoever learns one would have them all.")
    if SIGNING in real:
        said += [why for name, role in TOKENS.items() if name in real and (why := _fault(name, real[name], role, real[SIGNING]))]
    if (whole or "COMPOSE_PROFILES" in found) and len(set(GRAPHS) & set(found.get("COMPOSE_PROFILES", "").split(","))) != 1:
        said.append(f"COMPOSE_PROFILES must name one graph: {' or '.join(GRAPHS)}.")
    return said


def token(role: str, signing: str) -> str:
    """A JSON web token (RFC 7519, HS256) that PostgREST takes for `role`; good for five years."""
    now = int(time.time())
    claims = {"role": role, "iss": "memory-pipelines", "iat": now, "exp": now + YEARS * 365 * 86_400}
    body = ".".join(_url64(json.dumps(part, separators=(",", ":")).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return f"{body}.{_signature(body, signing)}"


def values(text: str) -> dict[str, str]:
    """The variables of an .env file; a value in quotes is taken without them."""
    lines = (_LINE.match(line.strip()) for line in text.splitlines())
    return {line[1]: line[2].strip().strip("\"'") for line in lines if line}


def _fault(name: str, value: str, role: str, signing: str) -> str | None:
    """What is wrong with a token, if anything is."""
    body, _, signature = value.rpartition(".")
    if not hmac.compare_digest(signature.encode(), _signature(body, signing).encode()):
        return f"{name} was not signed with this {SIGNING}: python3 deploy/keys.py make --renew {name}"
    payload = body.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    if claims.get("role") != role:
        return f"{name} is not a token of the role {role}."
    return f"{name} has expired: python3 deploy/keys.py make --renew {name}" if claims.get("exp", 0) < time.time() else None


def _set(value: str | None) -> bool:
    return bool(value) and PLACEHOLDER.lower() not in str(value).lower()


def _with(text: str, made: Mapping[str, str]) -> str:
    """The file with these values in their lines, or at its end where it has no such line."""
    lines = []
    left = dict(made)
    for line in text.splitlines():
        match = _LINE.match(line.strip())
        lines.append(f"{match[1]}={left.pop(match[1])}" if match and match[1] in left else line)
    return "\n".join([*lines, *(f"{name}={value}" for name, value in left.items())]) + "\n"


def _write(file: Path, text: str) -> None:
    """Whole or not at all, and from the first moment readable by its owner only."""
    partial = file.with_name(f"{file.name}.{os.getpid()}")
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(text)
    partial.replace(file)


def _signature(body: str, signing: str) -> str:
    return _url64(hmac.new(signing.encode(), body.encode(), hashlib.sha256).digest())


def _url64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


if __name__ == "__main__":
    sys.exit(main())
