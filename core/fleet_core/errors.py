"""Every error that crosses a port.

FleetError
├── InputError               what a person or another program handed in is wrong
│   ├── PlanError            a plan file or a `planning.plan.approved` payload
│   ├── ProfileError         a profile, a setting, an unknown adapter
│   └── DecodeError          a stored or received document does not have its shape
├── NotFound                 no such deliberation, plan, council, model, event
├── AlreadyExists            what was to be made is there
├── Conflict                 a compare-and-set lost; reduce again          (retryable)
├── Unavailable              a server, file or process does not answer     (retryable)
├── StoreError               a store refuses: full, read-only, corrupt, other schema version
├── PluginError              a plugin does not load, or breaks its contract
├── LeaseExceeded            a job's slice does not cover the call
├── CheckRefused             a check cannot be run safely here (no sandbox)
└── ModelError
    ├── ModelUnavailable     unreachable, timed out or 5xx                 (retryable)
    ├── RateLimited          429; carries `retry_after_ms`                 (retryable)
    ├── StreamCut            the stream ended before the answer did        (retryable)
    ├── ModelRefused         4xx: wrong key, unknown model, bad request
    ├── EmptyAnswer          the model answered with nothing
    └── MalformedAnswer      a structured answer is not the JSON that was asked for

`retryable` says whether the same call, made again unchanged, may succeed.
"""

from __future__ import annotations

from typing import ClassVar


class FleetError(Exception):
    """Root of the tree.

    Args:
        message: one sentence for a person; names the file or component and the field.
        hint: the way out, as an imperative sentence; may be empty.
    """

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class InputError(FleetError):
    """Something handed in is wrong; `field` is a dotted path, `source` a file or address."""

    code = "input"

    def __init__(self, message: str, hint: str = "", *, source: str = "", field: str = "") -> None:
        super().__init__(message, hint)
        self.source = source
        self.field = field

    def __str__(self) -> str:
        where = ": ".join(part for part in (self.source, self.field) if part)
        text = super().__str__()
        return f"{where}: {text}" if where else text


class PlanError(InputError):
    """A plan is refused."""

    code = "plan"


class ProfileError(InputError):
    """A profile, a setting or an adapter's name is refused."""

    code = "profile"


class DecodeError(InputError):
    """A document does not have the shape it should have."""

    code = "decode"


class NotFound(FleetError):
    """The thing that was asked for does not exist."""

    code = "not_found"


class AlreadyExists(FleetError):
    """What was to be made is there already, and stays as it was."""

    code = "already_exists"


class Conflict(FleetError):
    """A compare-and-set found another version; `key` names the document."""

    code = "conflict"
    retryable = True

    def __init__(self, message: str, hint: str = "", *, key: str = "") -> None:
        super().__init__(message, hint)
        self.key = key


class Unavailable(FleetError):
    """A component does not answer now."""

    code = "unavailable"
    retryable = True


class StoreError(FleetError):
    """A store answers, and refuses."""

    code = "store"


class PluginError(FleetError):
    """A plugin is missing, broken, of another API version, or registered twice."""

    code = "plugin"


class LeaseExceeded(FleetError):
    """The slice that travels in the job does not cover the call."""

    code = "lease_exceeded"


class CheckRefused(FleetError):
    """A check cannot be run safely; its evidence is `not run`."""

    code = "check_refused"


class ModelError(FleetError):
    """A model call failed.

    `prompt_tokens`, `answer_tokens` and `attempts` are what its attempts used; tokens are an
    estimate where the server did not say.
    """

    code = "model"
    prompt_tokens: int = 0
    answer_tokens: int = 0
    attempts: int = 0


class ModelUnavailable(ModelError):
    """The model's server is unreachable, timed out or failed."""

    code = "model_unavailable"
    retryable = True


class RateLimited(ModelError):
    """The model's server asks to wait; `retry_after_ms` is 0 where it did not say how long."""

    code = "rate_limited"
    retryable = True

    def __init__(self, message: str, hint: str = "", *, retry_after_ms: int = 0) -> None:
        super().__init__(message, hint)
        self.retry_after_ms = retry_after_ms


class StreamCut(ModelError):
    """The answer's stream ended without its end mark."""

    code = "stream_cut"
    retryable = True


class ModelRefused(ModelError):
    """The model's server will not serve this request, however often it is made."""

    code = "model_refused"


class EmptyAnswer(ModelError):
    """The model answered with no text."""

    code = "empty_answer"


class MalformedAnswer(ModelError):
    """A structured answer is not JSON, or not of the schema that was asked for."""

    code = "malformed_answer"
