"""What can be decided in the made-up project: ten kinds of facts, each for eight components.

A fact has one value, which nothing else of the project holds and which cannot be worked out from
the component's name. Numbers and names are drawn from hundreds or more; the two kinds that have a
short list of known options draw from ten.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

COMPONENTS = (
    "berth", "crane", "customs", "manifest", "tariff", "pilotage", "weighbridge", "reefer",
    "yard", "gatehouse", "tally", "bunker", "mooring", "dredge", "escort", "ballast",
)  # fmt: skip
_WORDS = (
    "amber", "birch", "cobalt", "drift", "ember", "fathom", "garnet", "heron", "indigo", "juniper",
    "kestrel", "lichen", "marble", "nettle", "onyx", "pebble", "quartz", "russet", "saffron",
    "thistle", "umber", "velvet", "willow", "zephyr", "acorn", "bramble", "cinder", "dapple",
    "fennel", "gossamer", "hazel", "isinglass", "jasper", "larch", "mallow", "nutmeg", "osprey",
    "plover", "quill", "rowan", "sorrel", "tansy", "vetch", "wren", "yarrow", "alder", "barley",
    "clover", "dunlin", "elder",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fact. Texts take `{c}` the component, `{v}` the value, `{w}` a rejected value.

    Attributes:
        role: who decides it.
        asked: what the later task needs, in words.
        returns: what the later task's function gives back.
        purpose: why the later task needs it.
        told: a title that names the value.
        plain: a title that does not.
        reason: the first part of the rationale.
        instead: a sentence on what was rejected.
        text: the proposal itself.
        options: the known choices; empty where the value is drawn from very many.
    """

    name: str
    role: str
    asked: str
    returns: str
    purpose: str
    told: str
    plain: str
    reason: str
    instead: str
    text: str
    options: tuple[str, ...] = ()


KINDS = (
    Kind(
        "port", "DEVOPS",
        "the port that the {c} service listens on", "an int",
        "The smoke test of the deployment has to reach the service.",
        "The {c} service listens on {v}", "A fixed port for the {c} service",
        "Ports given out by the host changed with every restart and the firewall rules went stale.",
        "We looked at {w} too, which the metrics agent already holds on two hosts.",
        "The port is set where the container is described, `deploy/{c}/service.env`:\n\n"
        "```sh\nSERVICE_NAME={c}\nLISTEN_PORT={v}\nLISTEN_HOST=127.0.0.1\n```",
    ),
    Kind(
        "bucket_variable", "DEVOPS",
        "the name of the environment variable that tells the {c} service its bucket", "a str",
        "The start-up check refuses to start without that variable.",
        "{v} names the bucket of {c}", "Where the {c} service learns its bucket",
        "The bucket differs between staging and production and must not be baked into the image.",
        "The older name {w} is gone from the charts.",
        "The chart sets it and `{c}/settings.py` reads it once, at start-up:\n\n"
        '```python\nBUCKET = os.environ["{v}"]  # no default: fail early\n```',
    ),
    Kind(
        "retention_days", "DATA",
        "for how many days {c} records are kept", "an int",
        "The clean-up job has to know which rows it may drop.",
        "Keep {c} records for {v} days", "How long {c} records are kept",
        "Port authorities ask for old records, but the disk of the archive host is small.",
        "A term of {w} days was asked for first; the auditors found it pointless.",
        "The job in `jobs/expire_{c}.sql` drops a partition once it is past its term:\n\n"
        "```sql\nDELETE FROM {c}_archive\n"
        " WHERE closed_at < now() - interval '{v} days';\n```",
    ),
    Kind(
        "table", "DATA",
        "the name of the table that {c} events are written to", "a str",
        "The nightly export reads that table.",
        "{c} events go to the table {v}", "One table for the events of {c}",
        "Events were spread over three tables with different keys, so no report agreed.",
        "The name {w} was dropped, since a view has it already.",
        "One append-only table, by the migration `create_{c}.sql`:\n\n"
        "```sql\nCREATE TABLE {v} (\n  id bigint PRIMARY KEY,\n"
        "  at timestamptz NOT NULL,\n  body jsonb NOT NULL\n);\n```",
    ),
    Kind(
        "trace_header", "ARCHITECT",
        "the name of the HTTP header in which {c} hands on the trace id", "a str",
        "The client library sets that header on each call.",
        "{c} hands the trace id on as {v}", "How {c} hands on the trace id",
        "Calls could not be followed beyond the proxy, which strips headers it does not know.",
        "The header {w} was refused by the proxy's allow list.",
        "The middleware in `{c}/middleware.py` copies it from the request that came in:\n\n"
        '```python\nresponse.headers["{v}"] = request.state.trace_id\n```',
    ),
    Kind(
        "subject", "ARCHITECT",
        "the subject on which {c} publishes its changes", "a str",
        "The dashboard subscribes to it.",
        "{c} publishes its changes on {v}", "One subject for the changes of {c}",
        "Consumers polled the database every few seconds, which kept it busy at night.",
        "The subject {w} is bound to a stream with another owner.",
        "Producers and consumers share the constant in `{c}/events.py`:\n\n"
        '```python\nCHANGES = "{v}"\nawait bus.publish(CHANGES, body, headers=trace())\n```',
    ),
    Kind(
        "compression", "DEV",
        "the name of the compression in which {c} archives are written", "a str",
        "The restore command has to open those archives.",
        "{c} archives are written with {v}", "How {c} archives are compressed",
        "Archives were written plain and filled the volume within a week; "
        "we measured on real data.",
        "On the same data {w} was slower for hardly less space.",
        "`{c}/archive.py` opens the writer with the level that the measurement favoured:\n\n"
        '```python\nwith open_archive(path, codec="{v}", level=6) as archive:\n'
        "    archive.write_all(rows)\n```",
        ("zstd", "lz4", "snappy", "gzip", "brotli", "xz", "bzip2", "deflate", "lzma", "zlib"),
    ),
    Kind(
        "http_client", "DEV",
        "the name of the HTTP client library that the {c} service uses", "a str",
        "The dependency audit compares it with the lock file.",
        "The {c} service calls others with {v}", "The HTTP client of the {c} service",
        "Two clients were in use side by side, with different timeouts and proxies.",
        "We tried {w} for a week; its pool leaked under load.",
        "One client for the process, made in `{c}/client.py` and closed at the end:\n\n"
        "```python\nimport {v}\n\nclient = make_client({v}, timeout_s=20)\n```",
        ("httpx", "aiohttp", "httpcore", "urllib3", "niquests", "pycurl", "treq", "httplib2",
         "tornado", "asks"),
    ),
    Kind(
        "slow_marker", "QA",
        "the name of the pytest marker that slow {c} tests carry", "a str",
        "The quick stage of the pipeline leaves those tests out.",
        "Slow {c} tests carry the marker {v}", "A marker for the slow tests of {c}",
        "The quick stage took eleven minutes, most of it in a handful of tests.",
        "The word {w} was taken by a plugin.",
        "Registered in `{c}/pyproject.toml`, and used on whatever takes over two seconds:\n\n"
        "```python\n@pytest.mark.{v}\ndef test_{c}_under_load(): ...\n```",
    ),
    Kind(
        "reject_code", "QA",
        "the error code that a rejected {c} request carries", "a str",
        "The end-to-end test compares it with the answer.",
        "Rejected {c} requests carry {v}", "An error code for rejected {c} requests",
        "Clients matched on the wording of messages and broke with each rewording.",
        "The code {w} means a lack of rights elsewhere.",
        "The code goes into the body beside the message, see `{c}/errors.py`:\n\n"
        '```python\nraise Rejected(code="{v}", status=422)\n```',
    ),
)  # fmt: skip
SUBJECTS_PER_KIND = 8
_DRAWN = SUBJECTS_PER_KIND + 2  # the last two are rejected ones


@dataclass(frozen=True, slots=True)
class Fact:
    """What was decided for a component.

    Attributes:
        value: what the later task has to know.
        rejected: a value of the same kind that the decision names too; empty for none.
    """

    kind: Kind
    component: str
    value: str
    rejected: str


def facts(rng: random.Random) -> list[Fact]:
    """All facts, shuffled; no value is used twice."""
    made: list[Fact] = []
    pairs = [(a, b) for a in _WORDS for b in _WORDS if a != b]
    rng.shuffle(pairs)
    for number, kind in enumerate(KINDS):
        values = _values(kind, rng, pairs[number * _DRAWN : (number + 1) * _DRAWN])
        components = rng.sample(COMPONENTS, SUBJECTS_PER_KIND)
        spare = values[SUBJECTS_PER_KIND:] + [""] * SUBJECTS_PER_KIND
        made += [Fact(kind, *one) for one in zip(components, values, spare, strict=False)]
    rng.shuffle(made)
    return made


def by_kind(made: list[Fact]) -> Mapping[str, frozenset[str]]:
    """Every value that the project holds, rejected ones too, by the name of its kind."""
    return {
        kind.name: frozenset(
            value for f in made if f.kind is kind for value in (f.value, f.rejected) if value
        )
        for kind in KINDS
    }


def _values(kind: Kind, rng: random.Random, pairs: list[tuple[str, str]]) -> list[str]:
    if kind.options:
        return rng.sample(kind.options, _DRAWN)
    if kind.name == "port":
        return [str(n) for n in rng.sample(range(2100, 9900), _DRAWN)]
    if kind.name == "retention_days":
        return [str(n) for n in rng.sample(range(130, 400), _DRAWN)]
    if kind.name == "reject_code":
        numbers = rng.sample(range(41, 100), _DRAWN)
        return [f"H{a[0].upper()}-{n}" for (a, _), n in zip(pairs, numbers, strict=True)]
    shape = _SHAPES[kind.name]
    return [shape.format(a, b, a.upper(), b.upper(), a.title(), b.title()) for a, b in pairs]


_SHAPES = {
    "bucket_variable": "{2}_{3}",
    "table": "{0}_{1}",
    "trace_header": "X-{4}-{5}",
    "subject": "{0}.{1}",
    "slow_marker": "{0}{1}",
}
