"""What a Redis address is taken to mean, and how a wrong one is refused: before anything connects, and without its password."""

from __future__ import annotations

from pathlib import Path

import pytest

from memory_pipelines import Settings
from memory_pipelines.domain.errors import ConfigurationError
from memory_pipelines.services import status
from memory_pipelines.stores.redis.address import SCHEMES, Address, parse
from memory_pipelines.wiring import open_platform

SECRET = "p%40ss%3Aw%2Frd"

FORMS = {
    "redis://host": Address("standalone", (("host", 6379),)),
    "redis://host:1/2": Address("standalone", (("host", 1),), db=2),
    "redis://host?db=3": Address("standalone", (("host", 6379),), db=3),
    "redis://[::1]:7/": Address("standalone", (("::1", 7),)),
    f"redis://:{SECRET}@host": Address("standalone", (("host", 6379),), password="p@ss:w/rd"),
    f"redis://ada:{SECRET}@host": Address("standalone", (("host", 6379),), user="ada", password="p@ss:w/rd"),
    "rediss://host?ssl_cert_reqs=none": Address("standalone", (("host", 6379),), tls=True, tls_options=(("ssl_cert_reqs", "none"),)),
    "unix:///a%20b/redis.sock?db=1": Address("standalone", (), "/a b/redis.sock", db=1),
    "redis+sentinel://a,b:2/service?db=4&sentinel_user=eve&sentinel_password=x%26y": Address(
        "sentinel", (("a", 26379), ("b", 2)), db=4, service="service", sentinel_user="eve", sentinel_password="x&y"
    ),
    "rediss+sentinel://[::1]:1/service": Address("sentinel", (("::1", 1),), service="service", tls=True),
    f"redis+cluster://ada:{SECRET}@a,b:2,c": Address(
        "cluster", (("a", 6379), ("b", 2), ("c", 6379)), user="ada", password="p@ss:w/rd"
    ),
    "rediss+cluster://a/": Address("cluster", (("a", 6379),), tls=True),
}  # fmt: skip

WRONG = {
    "": "no address", "localhost:6379": "no address", "http://x": "unknown scheme", "redis://": "host or port",
    "redis://:1": "host or port",
    "redis://h:": "host or port", "redis://h:0": "host or port", "redis://h:65536": "host or port", "redis://h:six": "host or port",
    "redis://[::1": "no address", "redis://" + "x" * 64: "host or port", "redis://a,b": "several hosts", "redis://h/x": "no number",
    "redis://h/-1": "no number", "redis://h?socket_timeout=9": "does not know (socket_timeout)", "redis://h?x": "form",
    "redis://h?ssl_cert_reqs=none": "does not know", "rediss://h?ssl_cert_reqs=maybe": "ssl_cert_reqs",
    "rediss://h?ssl_ca_certs=/nowhere": "not there", "redis://u:p#1@h": "%23", "unix://": "three slashes",
    "unix://tmp/x.sock": "three slashes",
    "redis+sentinel://a": "no service", "redis+sentinel://a/": "no service", "redis+sentinel://a/b/c": "no service",
    "redis+sentinel://a,/s": "host or port", "redis+cluster://a/1": "only one", "redis+cluster://a?db=1": "only one",
    "redis+cluster://a,,b": "host or port", "rediss+unix:///x": "unknown scheme",
}  # fmt: skip


@pytest.mark.parametrize("url", FORMS)
def test_each_form_means_what_the_readme_says(url: str) -> None:
    assert parse(url) == FORMS[url]


@pytest.mark.parametrize("url", WRONG)
def test_a_wrong_address_says_what_is_wrong(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^MEMORY_REDIS_URL ") as error:
        parse(url)
    assert error.value.code == "config_invalid"
    assert WRONG[url] in error.value.message


@pytest.mark.parametrize("rest", ["h:six", "", "h/x", "a,b", "h?x=1", "h#", "[h", "h?db=x"])
@pytest.mark.parametrize("scheme", [*SCHEMES, "http", ""])
def test_no_message_and_no_repr_repeats_a_password(scheme: str, rest: str) -> None:
    try:
        told = repr(parse(f"{scheme}://ada:hunter2@{rest}?sentinel_password=hunter2"))
    except ConfigurationError as error:
        told = f"{error!r} {error.as_dict()} {error.__cause__!r} {error.__suppress_context__}"
        assert told.endswith("True")
    assert "hunter2" not in told


def test_a_file_of_certificates_needs_tls_and_must_be_there(tmp_path: Path) -> None:
    trusted = tmp_path / "ca.pem"
    trusted.touch()
    assert parse("rediss+cluster://a", certificates=trusted).tls_options == (("ssl_ca_certs", str(trusted)),)
    for url, file in (("redis://a", trusted), ("rediss://a", tmp_path / "none")):
        with pytest.raises(ConfigurationError, match="MEMORY_REDIS_CERTIFICATES"):
            parse(url, certificates=file)


def test_a_wrong_address_is_refused_before_anything_is_saved() -> None:
    with pytest.raises(ConfigurationError, match="no service"):
        open_platform(Settings(_env_file=None, redis_url="redis+sentinel://a"))


def test_what_status_shows_of_an_address_is_where_it_is_and_no_more() -> None:
    for url, shown in (("redis+sentinel://u:hunter2@a:1,b/s", "a:1,b"), ("redis://h:1/2", "h:1"), ("unix:///tmp/x.sock", "/tmp/x.sock")):
        settings = Settings(_env_file=None, redis_url=url)
        assert status._address(settings.redis_url) == shown
