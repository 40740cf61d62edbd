"""Between the protocol's types and ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from lsprotocol import types
from pygls.protocol import JsonRPCNotification, default_converter

from fimble.text import Position
from lsp_server.documents import Range
from lsp_server.notebooks import Cell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cattrs import Converter

    from lsp_server.offers import Item

ACCEPTED_COMMAND = "fimble.accepted"


def position_of(position: types.Position) -> Position:
    """Return a position of the client's."""
    return Position(position.line, position.character)


def range_of(span: types.Range) -> Range:
    """Return a range of the client's."""
    return Range(position_of(span.start), position_of(span.end))


def change_of(change: types.TextDocumentContentChangeEvent) -> tuple[Range | None, str]:
    """Return what a change replaces, None for everything, and what comes in its place."""
    is_part = isinstance(change, types.TextDocumentContentChangePartial)
    return range_of(change.range) if is_part else None, change.text


def cell_of(cell: types.NotebookCell) -> Cell:
    """Return a cell of a notebook."""
    return Cell(cell.document, is_code=cell.kind == types.NotebookCellKind.Code)


def _replaced(item: Item) -> types.Range:
    return types.Range(types.Position(*item.start), types.Position(*item.end))


def _accept(item: Item) -> types.Command:
    return types.Command(title="Accept", command=ACCEPTED_COMMAND, arguments=[item.completion_id])


def inline_item(item: Item) -> types.InlineCompletionItem:
    """Return an item of ghost text."""
    return types.InlineCompletionItem(
        insert_text=item.insert_text, range=_replaced(item), command=_accept(item)
    )


def popup_item(item: Item) -> types.CompletionItem:
    """Return an entry of the popup."""
    shown = item.insert_text.strip().splitlines()[0]
    return types.CompletionItem(
        label=shown,
        kind=types.CompletionItemKind.Text,
        detail="Fimble",
        filter_text=item.insert_text,
        insert_text_format=types.InsertTextFormat.PlainText,
        text_edit=types.TextEdit(range=_replaced(item), new_text=item.insert_text),
        command=_accept(item),
    )


def completion_id_in(params: object) -> str | None:
    """Return the name of the completion in a notification about an item of ours."""
    command = object_of(object_of(object_of(params).get("item")).get("command"))
    arguments = command.get("arguments")
    is_ours = command.get("command") == ACCEPTED_COMMAND and isinstance(arguments, list)
    named = arguments[0] if is_ours and arguments else None
    return named if isinstance(named, str) else None


def object_of(value: object) -> Mapping[str, object]:
    """Return a JSON object as it is, and an empty one for anything else."""
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}


def converter() -> Converter:
    """Return pygls's converter; notifications it does not know keep their JSON."""
    converter = default_converter()
    converter.register_structure_hook(
        JsonRPCNotification,
        lambda message, _: JsonRPCNotification(
            method=message["method"], jsonrpc=message["jsonrpc"], params=message.get("params")
        ),
    )
    return converter
