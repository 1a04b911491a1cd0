"""The requests and replies between the playground and the program that started it: one JSON object a line, as data.

Knows the messages, not their handling. Requests name themselves by `request` and carry an `id` that their replies
repeat; replies name themselves by `reply`. Both are built by keyword alone, and know their own name. Imports no torch: the app
speaks this too.
"""

import json
from dataclasses import asdict, dataclass
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from ..recipe import Search

MOST_CHARACTERS = 2_000_000
"""What is read of a source: enough for any file a person wrote."""
MOST_METHODS = 2000
"""Methods that one reply lists."""
MOST_CODE = 4000
"""Characters of a method's code that a reply repeats."""
PLAIN = "fp32"
"""The method that leaves a model as its folder has it; the others are in `core.spec.quantizers`."""


@dataclass(frozen=True)
class Variant:
    """A model, as its folder has it or quantized in memory."""

    model: str
    """Folder or hub name."""
    method: str = PLAIN


@dataclass(frozen=True, kw_only=True)
class Read:
    """Find the methods of a Ruby source; a newer source replaces a waiting one."""

    request: Literal["read"] = "read"
    id: int
    source: str
    """Its first characters, at most `MOST_CHARACTERS`: more would not be read."""
    cut: int = 0
    """Characters that it lacks at its end."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """Load a model, so that it is there when it is needed."""

    request: Literal["load"] = "load"
    id: int
    model: str
    """Folder or hub name."""
    method: str = PLAIN


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """Find out which quantization methods work on this device; it takes some seconds and is remembered."""

    request: Literal["abilities"] = "abilities"
    id: int


@dataclass(frozen=True, kw_only=True)
class Comment:
    """Comment one method of the last source with several models; a newer request breaks an older one off between two models."""

    request: Literal["comment"] = "comment"
    id: int
    reading: int
    """Id of the `Read` that found the method."""
    method: int
    """Its place in that list, from 0."""
    models: list[Variant]
    beam: int = 10
    max_length: int = 64
    """Most tokens of a comment, the end included."""
    n_best: int = 1
    """Alternatives wanted; the beam holds no more."""

    @property
    def search(self) -> Search:
        """The settings of the search."""
        return Search(self.beam, self.max_length, min(self.n_best, self.beam))


Request = Read | Load | Abilities | Comment


@dataclass(frozen=True, kw_only=True)
class Ready:
    """The process listens. Its libraries are not loaded yet."""

    reply: Literal["ready"] = "ready"
    pid: int
    threads: int


@dataclass(frozen=True)
class ListedMethod:
    """One method of a source."""

    qualified: str
    line: int
    """Of its `def`, from 1."""
    code: str
    """Its first characters, at most `MOST_CODE`."""
    own: str
    """The first paragraph of the comment above it; empty where there is none."""


@dataclass(frozen=True, kw_only=True)
class MethodsFound:
    """The methods of a source."""

    reply: Literal["methods"] = "methods"
    id: int
    methods: list[ListedMethod]
    """The first ones, at most `MOST_METHODS`."""
    total: int
    warnings: list[str]
    """What could not be read, the first of it."""
    unread: int
    """Characters at the end of the source that were left out."""


@dataclass(frozen=True, kw_only=True)
class Loading:
    """A model is being loaded."""

    reply: Literal["loading"] = "loading"
    id: int
    model: str
    stage: Literal["libraries", "weights", "quantizing"]
    method: str = PLAIN


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model is there."""

    reply: Literal["loaded"] = "loaded"
    id: int
    model: str
    seconds: float
    parameters: int
    """Before it was quantized."""
    size_bytes: int = 0
    """Its weights in memory; 0 where that is not told."""
    method: str = PLAIN
    device: str = ""
    """Where it computes, in words."""
    warning: str = ""
    """Why it computes on the CPU although there is a GPU; "" where it does not."""


@dataclass(frozen=True, kw_only=True)
class Able:
    """Which quantization methods work on this device."""

    reply: Literal["able"] = "able"
    id: int
    problems: dict[str, str]
    """Method -> why it does not work here; empty where it does."""


@dataclass(frozen=True, kw_only=True)
class Writing:
    """A model has begun to write."""

    reply: Literal["writing"] = "writing"
    id: int
    model: str
    method: str = PLAIN


@dataclass(frozen=True)
class Line:
    """One way to comment the method."""

    text: str
    score: float
    """Sum of the log-probabilities of its tokens, in nats."""
    tokens: int
    finished: bool


@dataclass(frozen=True, kw_only=True)
class Commented:
    """A model has written."""

    reply: Literal["commented"] = "commented"
    id: int
    model: str
    lines: list[Line]
    """The alternatives, the best first."""
    seconds: float
    tokens_per_second: float
    """Of the best one."""
    bleu: float | None
    """Smoothed BLEU-4 against the method's own comment, 0 to 100; None where it has none."""
    name_bleu: float | None
    """The floor of that score: what the method's name split into words gets."""
    method: str = PLAIN
    finetuned: bool = True
    """Whether the model's decoder has learned to write comments."""


@dataclass(frozen=True, kw_only=True)
class ModelFailed:
    """A model could not be loaded, or could not write; the others go on."""

    reply: Literal["failed"] = "failed"
    id: int
    model: str
    problem: str
    fix: str
    method: str = PLAIN


@dataclass(frozen=True, kw_only=True)
class Done:
    """A request is finished; `superseded` where a newer one interrupted it."""

    reply: Literal["done"] = "done"
    id: int
    superseded: bool = False


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A request that could not be understood; id −1 where it had none."""

    reply: Literal["refused"] = "refused"
    id: int
    problem: str


Reply = Ready | MethodsFound | Loading | Loaded | Able | Writing | Commented | ModelFailed | Done | Refused

_requests: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="request")])
_replies: TypeAdapter[Reply] = TypeAdapter(Annotated[Reply, Field(discriminator="reply")])


def to_line(what: Request | Reply) -> bytes:
    """The line of a request or reply, its end included; half surrogate pairs survive as escapes."""
    return json.dumps(asdict(what)).encode() + b"\n"


def read_request(line: bytes) -> Request | Refused:
    """Understands a line that was sent to the playground, or says why it cannot be understood."""
    raw: object = None
    try:
        raw = json.loads(line)
        return _requests.validate_python(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        problem = f"{where}: {first['msg']}" if where else first["msg"]
    except (ValueError, RecursionError) as error:
        problem = f"not JSON ({error})"
    given = raw.get("id") if isinstance(raw, dict) else None
    return Refused(id=given if type(given) is int else -1, problem=problem[:300])


def read_reply(line: bytes) -> Reply | None:
    """Understands a line that the playground wrote; None where it is none of its replies."""
    try:
        return _replies.validate_python(json.loads(line))
    except (ValueError, RecursionError):
        return None
