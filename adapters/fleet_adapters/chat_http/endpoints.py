"""Several servers of one model: the least busy is asked, one that failed is left alone a while."""

from __future__ import annotations

from collections.abc import Sequence

from yarl import URL

from fleet_core.errors import ProfileError

_FIRST_REST_S = 0.5
_LONGEST_REST_S = 30.0


class Endpoint:
    """One base URL, and how it fares."""

    __slots__ = (
        "base",
        "chat",
        "failures",
        "models",
        "outstanding",
        "proxy",
        "rests_until",
        "root",
    )

    def __init__(self, base: str, proxy: str | None = None) -> None:
        base = base.rstrip("/")
        self.base = base
        self.chat = URL(f"{base}/chat/completions")
        self.models = URL(f"{base}/models")
        self.root = base.removesuffix("/v1")
        self.proxy = proxy
        self.outstanding = 0
        self.failures = 0
        self.rests_until = 0.0


class Endpoints:
    """Chooses among endpoints. Times are in seconds of the event loop's clock."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self.all = tuple(endpoints)
        self._turn = 0

    def pick(self, now: float) -> Endpoint:
        """The endpoint to ask: of those awake the least busy, in turn where equally busy.

        Where all rest, the one that rested longest: its turn comes first.
        """
        if len(self.all) == 1:
            return self.all[0]
        self._turn = (self._turn + 1) % len(self.all)
        in_turn = self.all[self._turn :] + self.all[: self._turn]
        awake = [e for e in in_turn if e.rests_until <= now]
        if awake:
            return min(awake, key=lambda e: e.outstanding)
        return min(in_turn, key=lambda e: e.rests_until)

    def any_awake(self, now: float) -> bool:
        """Whether a call need not wait for a server that failed."""
        return len(self.all) > 1 and any(e.rests_until <= now for e in self.all)

    def failed(self, endpoint: Endpoint, now: float, *, at_least_s: float = 0.0) -> None:
        """Leave it alone, longer with each failure in a row."""
        rest = min(_LONGEST_REST_S, _FIRST_REST_S * 2 ** min(endpoint.failures, 10))
        endpoint.failures += 1
        endpoint.rests_until = now + max(rest, at_least_s)

    def served(self, endpoint: Endpoint) -> None:
        """It answered."""
        endpoint.failures = 0
        endpoint.rests_until = 0.0


def split_urls(text: str, *, source: str) -> tuple[str, ...]:
    """The base URLs of a setting, separated by commas.

    Raises:
        ProfileError: there is none, or one is not an http(s) URL with a host.
    """
    urls = tuple(part.strip() for part in text.split(",") if part.strip())
    if not urls:
        raise ProfileError(
            "is empty",
            "give the server's address up to and with /v1, e.g. http://127.0.0.1:8000/v1",
            source=source,
            field="base_url",
        )
    for url in urls:
        try:
            parsed = URL(url)
            good = parsed.scheme in ("http", "https") and bool(parsed.host)
        except ValueError:
            good = False
        if not good or parsed.query_string or parsed.fragment:
            raise ProfileError(
                f"{url[:120]!r} is not the base URL of a server",
                "write it like http://127.0.0.1:8000/v1",
                source=source,
                field="base_url",
            )
    return urls
