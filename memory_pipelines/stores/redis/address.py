"""Where a Redis is: `MEMORY_REDIS_URL` taken apart and checked, before anything connects.

    redis://[user[:password]@]host[:port][/db]                                   one server; `rediss://` with TLS
    unix:///path[?db=0]                                                          one server on this machine
    redis+sentinel://[user[:password]@]host[:port][,host[:port]…]/service[?db=0] whichever server its Sentinels call the master
    redis+cluster://[user[:password]@]host[:port][,host[:port]…]                 a cluster, found through any of these nodes

User and password are Redis' own; Sentinels with a password get it as `sentinel_user` and `sentinel_password`. What TLS trusts is in
`ssl_ca_certs` or the setting for certificates. To add a form: a branch in `parse`. Must stay out: connecting (`connection.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NoReturn
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from memory_pipelines.domain.errors import ConfigurationError

Topology = Literal["standalone", "sentinel", "cluster"]
SCHEMES: dict[str, tuple[Topology, bool]] = {
    "redis": ("standalone", False), "rediss": ("standalone", True), "unix": ("standalone", False),
    "redis+sentinel": ("sentinel", False), "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False), "rediss+cluster": ("cluster", True),
}  # fmt: skip
_PORTS: dict[Topology, int] = {"standalone": 6379, "sentinel": 26379, "cluster": 6379}
_TLS = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs"})
_FORMS = "redis://, rediss://, unix://, redis+sentinel://, rediss+sentinel://, redis+cluster:// or rediss+cluster://"


@dataclass(frozen=True, slots=True)
class Address:
    """A Redis, as its URL names it. Its `repr` and `places` hold no secret."""

    topology: Topology
    hosts: tuple[tuple[str, int], ...] = ()
    path: str | None = None
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    db: int = 0
    service: str | None = None
    sentinel_user: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)
    tls: bool = False
    tls_options: tuple[tuple[str, str], ...] = ()

    @property
    def places(self) -> str:
        """Where it is, for messages."""
        if self.path is not None:
            return self.path
        named = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return f"{named}/{self.service}" if self.service else named


def parse(url: str, *, certificates: Path | None = None) -> Address:
    """Take an address apart.

    Args:
        certificates: file of the certificates to trust; only with a scheme that encrypts.

    Raises:
        ConfigurationError: `config_invalid`, with what is wrong and never the URL itself: it may hold a password.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        _wrong("is no address")
    if parts.scheme not in SCHEMES:
        _wrong(f"has the unknown scheme {parts.scheme!r}: use {_FORMS}" if "://" in url else f"is no address: it starts with {_FORMS}")
    topology, tls = SCHEMES[parts.scheme]
    if parts.fragment:
        _wrong("holds a #; in a password it is written %23")
    options = _options(parts, topology, tls)
    if certificates is not None:
        if not tls:
            raise ConfigurationError("config_invalid", "MEMORY_REDIS_CERTIFICATES needs a MEMORY_REDIS_URL that starts with rediss.")
        if not certificates.is_file():
            raise ConfigurationError("config_invalid", "MEMORY_REDIS_CERTIFICATES names no file.")
        options["ssl_ca_certs"] = str(certificates)
    account, at, places = parts.netloc.rpartition("@")
    user, _, password = account.partition(":")
    path = unquote(parts.path)
    named = path.strip("/")
    if parts.scheme == "unix":
        if places or not named:
            _wrong("names no socket: write unix:///path, with three slashes")
    elif topology == "sentinel" and (not named or "/" in named):
        _wrong("names no service: after the Sentinels comes /service, the name that they watch the master under")
    db = options.pop("db", named if topology == "standalone" and parts.scheme != "unix" else "") or "0"
    if not db.isascii() or not db.isdigit():
        _wrong("has a database that is no number")
    if topology == "cluster" and (named or int(db)):
        _wrong("names a database: a cluster has only one")
    return Address(
        topology,
        () if parts.scheme == "unix" else tuple(_host(place, topology) for place in _places(places, topology)),
        path if parts.scheme == "unix" else None,
        unquote(user) or None if at else None,
        unquote(password) or None if at else None,
        int(db),
        named if topology == "sentinel" else None,
        options.pop("sentinel_user", None),
        options.pop("sentinel_password", None),
        tls,
        tuple(options.items()),
    )


def _options(parts: SplitResult, topology: Topology, tls: bool) -> dict[str, str]:
    known = {"db"} | ({"sentinel_user", "sentinel_password"} if topology == "sentinel" else set()) | (_TLS if tls else set())
    try:
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        _wrong("has options that are not of the form ?name=value&name=value")
    if unknown := sorted(set(options) - known):
        _wrong(f"has options that this form does not know ({', '.join(unknown)}); it knows {', '.join(sorted(known))}")
    if options.get("ssl_cert_reqs", "required") not in {"required", "optional", "none"}:
        _wrong("has an ssl_cert_reqs that is none of required, optional, none")
    for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        if name in options and not Path(options[name]).is_file():
            _wrong(f"names a file in {name} that is not there")
    return options


def _places(places: str, topology: Topology) -> list[str]:
    found = places.split(",")
    if topology == "standalone" and len(found) > 1:
        _wrong("names several hosts: that is for redis+sentinel:// and redis+cluster://")
    return found


def _host(place: str, topology: Topology) -> tuple[str, int]:
    """One `host[:port]`; an address with colons stands in brackets."""
    try:
        one = urlsplit(f"//{place}")
        host, port = one.hostname, one.port
        if not host or place.endswith(":") or port == 0:
            raise ValueError
        host.encode("idna")
    except ValueError:  # UnicodeError is one
        _wrong("names a host or port that cannot be one: write host or host:port, with commas between several")
    return host, port or _PORTS[topology]


def _wrong(what: str) -> NoReturn:
    raise ConfigurationError("config_invalid", f"MEMORY_REDIS_URL {what}. docs/operating.md has a table of addresses.") from None
