"""Context packs as messages, and back; a round trip changes nothing.

A pack that is too large for an answer, or holds what a message cannot, is a reference to a blob.
"""

from __future__ import annotations

from fleet_adapters.grpc._by_reference import fetched, kept
from fleet_adapters.grpc._deliberations import ANSWER_BYTES
from fleet_adapters.grpc._open_parts import Names
from fleet_adapters.grpc.proto.fleet.context.v1 import context_pb2
from fleet_adapters.grpc.proto.fleet.domain.v1 import pack_pb2
from fleet_core.domain.context import ContextPack, ItemKind, LedgerEntry
from fleet_core.errors import DecodeError
from fleet_core.ports.blob_store import BlobStore

_KINDS = Names(ItemKind, pack_pb2.ItemKind, "ITEM_KIND")


async def write_made(
    pack: ContextPack, made: context_pb2.MadePack, blobs: BlobStore, among: int = 1
) -> None:
    """Write a pack into an answer that holds `among` of them; what is made elsewhere is copied."""
    try:
        _write_pack(pack, made.pack)
        fits = made.ByteSize() <= ANSWER_BYTES // among
    except ValueError:  # half a character, or a number beyond 64 bits
        fits = False
    if not fits:
        made.pack_ref = await kept(pack, blobs)


async def made_of(message: context_pb2.MadePack, blobs: BlobStore, at: str) -> ContextPack:
    """The pack in an answer.

    Raises:
        DecodeError: there is none, or its blob is not in our store.
    """
    form = message.WhichOneof("form")
    if form == "pack":
        return pack_of(message.pack, f"{at}.pack")
    if form is None:
        raise DecodeError("is missing", field=at)
    return await fetched(ContextPack, message.pack_ref, blobs, f"{at}.pack_ref")


def _write_pack(pack: ContextPack, message: pack_pb2.ContextPack) -> None:
    message.story = pack.story
    message.task_id = pack.task_id
    message.role = pack.role
    message.text = pack.text
    message.revision = pack.revision
    message.budget = pack.budget
    message.tokens = pack.tokens
    message.counted_by = pack.counted_by
    add = message.ledger.add
    for entry in pack.ledger:  # field by field: half the time of making one from all of them
        made = add()
        made.item = entry.item
        made.kind = _KINDS[entry.kind]
        made.tokens = entry.tokens
        made.included = entry.included
        made.reason = entry.reason
        made.offset = entry.offset
        made.length = entry.length


def pack_of(message: pack_pb2.ContextPack, at: str) -> ContextPack:
    """The pack in a message."""
    return ContextPack(
        message.story,
        message.task_id,
        message.role,
        message.text,
        message.revision,
        message.budget,
        message.tokens,
        message.counted_by,
        tuple(
            LedgerEntry(
                entry.item,
                _KINDS.read(entry.kind, f"{at}.ledger[{index}].kind"),
                entry.tokens,
                entry.included,
                entry.reason,
                entry.offset,
                entry.length,
            )
            for index, entry in enumerate(message.ledger)
        ),
    )
