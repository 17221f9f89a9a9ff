"""The text form of filters, for people: section = "games" AND installed_size_kib < 1000.

After https://google.aip.dev/160, with three of its surprises left out: AND binds tighter than OR, as in SQL; strings are
always quoted; conditions are always joined by a word. docs/filters.md describes the language for its users.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, UnexpectedToken, v_args

from vecgate_backends.errors import FilterSyntaxError, FilterTypeError, InvalidArgumentError
from vecgate_backends.filters import And, Compare, Eq, Exists, Filter, In, Not, Or, Order, Scalar
from vecgate_backends.records import Timestamp
from vecgate_backends.rfc3339 import parse_timestamp, timestamp_text

MAX_CHARACTERS = 16_384
"""Longest text taken, so that parsing never holds up the event loop; longer filters have the typed form."""
MAX_NESTING = 100
"""Most parentheses and NOTs inside one another, so that nothing that walks the tree can exhaust the stack."""

_GRAMMAR = r"""
?start: disjunction
?disjunction: conjunction
            | conjunction (_OR conjunction)+       -> any_of
?conjunction: term
            | term (_AND term)+                    -> all_of
?term: condition
     | _NOT term                                   -> negated
     | "(" disjunction ")"                         -> nested
?condition: field ("=" | ":") value                -> equal
          | field "!=" value                       -> unequal
          | field ORDER value                      -> compared
          | field _IN "(" value ("," value)* ")"   -> one_of
          | field ":" "*"                          -> present
          | _EXISTS "(" field ")"                  -> present
?field: NAME                                       -> name
      | STRING                                     -> string
?value: STRING                                     -> string
      | INTEGER                                    -> integer
      | FLOAT                                      -> double
      | TRUE                                       -> boolean
      | FALSE                                      -> boolean
      | _TIMESTAMP "(" STRING ")"                  -> timestamp

_OR: /OR\b/
_AND: /AND\b/
_NOT: /NOT\b/
_IN: /IN\b/
TRUE: /true\b/
FALSE: /false\b/
_EXISTS.2: /exists(?=\s*\()/
_TIMESTAMP.2: /timestamp(?=\s*\()/
ORDER: /<=|>=|<|>/
NAME: /(?!(?:AND|OR|NOT|IN)\b)[A-Za-z_][A-Za-z0-9_]*/
STRING: /"[^"\\]*(?:\\.[^"\\]*)*"/s
INTEGER: /[+-]?[0-9]+(?![\w.])/
FLOAT: /[+-]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][+-]?[0-9]+)?(?![\w.])/

%ignore /\s+/
"""

_EXPECTATIONS: Mapping[str, str] = MappingProxyType(
    {
        "NAME": "a field",
        "EQUAL": "an operator (= != < <= > >= : IN)",
        "INTEGER": 'a value (a "quoted string", a number, true, false, timestamp("..."))',
        "_AND": "AND, OR or the end",
        "COMMA": 'a "," or ")"',
        "LPAR": 'a "("',
        "RPAR": 'a ")"',
        "STRING": 'a "quoted string"',
        "$END": "the end",
    }
)
"""What could have been read next, by a terminal that tells this place in the grammar apart; the first that fits is said."""

_ORDERS: Mapping[str, Order] = MappingProxyType({">": Order.GT, ">=": Order.GTE, "<": Order.LT, "<=": Order.LTE})
_ORDER_SIGNS: Mapping[Order, str] = MappingProxyType({order: sign for sign, order in _ORDERS.items()})
_BARE_NAME = re.compile(r"(?!(?:AND|OR|NOT|IN)\Z)[A-Za-z_][A-Za-z0-9_]*")
_WORD = re.compile(r"\w{1,40}|.", re.DOTALL)
_INT64_DIGITS = 19


@dataclass(frozen=True, slots=True)
class _Node:
    """A parsed part and how many parentheses and NOTs it has inside one another."""

    filter: Filter
    nesting: int = 0


_Part: TypeAlias = _Node | Scalar


@v_args(inline=True)
class _Builder(Transformer[Token, _Part]):
    """Builds filters from the bottom up while the parser reads, so that no deep tree is ever walked."""

    def any_of(self, *children: _Node) -> _Node:
        return _Node(Or(tuple(child.filter for child in children)), max(child.nesting for child in children))

    def all_of(self, *children: _Node) -> _Node:
        return _Node(And(tuple(child.filter for child in children)), max(child.nesting for child in children))

    def negated(self, child: _Node) -> _Node:
        return _Node(Not(child.filter), _deeper(child))

    def nested(self, child: _Node) -> _Node:
        return _Node(child.filter, _deeper(child))

    def equal(self, field: str, value: Scalar) -> _Node:
        return _Node(Eq(field, value))

    def unequal(self, field: str, value: Scalar) -> _Node:
        return _Node(Not(Eq(field, value)))

    def one_of(self, field: str, *values: Scalar) -> _Node:
        return _Node(In(field, values))

    def compared(self, field: str, sign: Token, operand: Scalar) -> _Node:
        if isinstance(operand, str | bool):
            kind = "string" if isinstance(operand, str) else "boolean"
            raise FilterTypeError(f"{_at(sign)}: {sign} takes a number or a timestamp, not a {kind}")
        return _Node(Compare(field, _ORDERS[sign], operand))

    def present(self, field: str) -> _Node:
        return _Node(Exists(field))

    def name(self, token: Token) -> str:
        return str(token)

    def string(self, token: Token) -> str:
        try:
            text = str(json.loads(token, strict=False))
            text.encode()
        except UnicodeEncodeError as lone:
            raise FilterSyntaxError(f"{_at(token)}: the string holds half of a surrogate pair") from lone
        except ValueError as wrong:
            raise FilterSyntaxError(
                f'{_at(token)}: a backslash in a string starts one of \\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX'
            ) from wrong
        return text

    def integer(self, token: Token) -> int:
        if len(token.lstrip("+-0")) > _INT64_DIGITS or not -(2**63) <= int(token) < 2**63:
            raise FilterSyntaxError(f"{_at(token)}: an integer has 64 bits; write a larger number as a float")
        return int(token)

    def double(self, token: Token) -> float:
        value = float(token)
        if math.isinf(value):
            raise FilterSyntaxError(f"{_at(token)}: the number is larger than a double can be")
        return value

    def boolean(self, word: Token) -> bool:
        return str(word) == "true"

    def timestamp(self, token: Token) -> Timestamp:
        try:
            return parse_timestamp(self.string(token))
        except ValueError as wrong:
            raise FilterSyntaxError(f"{_at(token)}: {wrong}") from wrong


_PARSER = Lark(_GRAMMAR, parser="lalr", lexer="contextual", transformer=_Builder())


def parse(text: str) -> Filter:
    """Read the text form of a filter.

    Raises:
        FilterSyntaxError: it is not of the grammar, too long or too deeply nested; the message says at which character.
        FilterTypeError: a range over a string or a boolean.
    """
    if len(text) > MAX_CHARACTERS:
        raise FilterSyntaxError(f"the filter has {len(text):,} characters; at most {MAX_CHARACTERS:,} are read")
    try:
        node = _PARSER.parse(text)
    except UnexpectedInput as unexpected:
        raise FilterSyntaxError(_explain(text, unexpected)) from unexpected
    if not isinstance(node, _Node):  # pragma: no cover  # the grammar's start is a condition or what is made of them
        raise TypeError(f"the grammar built {node!r}")
    return node.filter


def to_text(node: Filter) -> str:
    """Write a filter in the text form; parse() of it means the same.

    It is equal, too, but for what the text form has no words for: And and Or of one child, Exists(present=False).

    Raises:
        InvalidArgumentError: a float is not finite.
    """
    match node:
        case And(children):
            return " AND ".join(_operand_text(child) for child in children)
        case Or(children):
            return " OR ".join(_operand_text(child) for child in children)
        case Not(Eq(field, value)):
            return f"{_field_text(field)} != {_value_text(value)}"
        case Not(child):
            return f"NOT {_operand_text(child)}"
        case Eq(field, value):
            return f"{_field_text(field)} = {_value_text(value)}"
        case In(field, values):
            return f"{_field_text(field)} IN ({', '.join(_value_text(value) for value in values)})"
        case Compare(field, order, value):
            return f"{_field_text(field)} {_ORDER_SIGNS[order]} {_value_text(value)}"
        case Exists(field, present):
            return f"{'' if present else 'NOT '}exists({_field_text(field)})"


def _operand_text(node: Filter) -> str:
    return f"({to_text(node)})" if isinstance(node, And | Or) else to_text(node)


def _field_text(field: str) -> str:
    return field if _BARE_NAME.fullmatch(field) else json.dumps(field, ensure_ascii=False)


def _value_text(value: Scalar) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False)
        case Timestamp():
            return f'timestamp("{timestamp_text(value)}")'
        case float() if not math.isfinite(value):
            raise InvalidArgumentError(f"a filter cannot hold the number {value}")
        case _:
            return repr(value)


def _deeper(child: _Node) -> int:
    if child.nesting >= MAX_NESTING:
        raise FilterSyntaxError(f"the filter nests deeper than {MAX_NESTING} parentheses and NOTs")
    return child.nesting + 1


def _at(token: Token) -> str:
    return f"filter, character {(token.start_pos or 0) + 1}"


def _explain(text: str, unexpected: UnexpectedInput) -> str:
    """Say in one line what stands where something else was expected."""
    position, accepts = _stopped(text, unexpected)
    wanted = next(words for terminal, words in _EXPECTATIONS.items() if terminal in accepts)
    word = _WORD.match(text, position)
    if word is None:
        return f"filter, character {position + 1}: it ends where {wanted} is expected"
    found = word.group()
    quoted = json.dumps(found, ensure_ascii=False)
    return f"filter, character {position + 1}: found {quoted} where {wanted} is expected{_hint(found, accepts)}"


def _stopped(text: str, unexpected: UnexpectedInput) -> tuple[int, Collection[str]]:
    """Return where the parser stopped, counted from 0, and the terminals it would have gone on with."""
    match unexpected:
        case UnexpectedToken(token=Token(type="$END")):
            return len(text), unexpected.accepts
        case UnexpectedToken(token=token):
            return token.start_pos or 0, unexpected.accepts
        case UnexpectedCharacters():
            return unexpected.pos_in_stream, unexpected.allowed  # type: ignore[return-value]  # an int, which lark types as None
        case _:  # pragma: no cover  # the parser in use raises these two
            raise unexpected


def _hint(found: str, accepts: Collection[str]) -> str:
    if found in {"'", "“", "”"}:
        return '; strings take straight double quotes "'
    if found == '"':
        return "; the string has no end"
    if found.upper() in {"AND", "OR", "NOT", "IN"} and found != found.upper():
        return f"; write {found.upper()}"
    if "INTEGER" in accepts and found.isidentifier():
        return f'; quote a string: "{found}"'
    if "EQUAL" in accepts and found in {".", "-"}:
        return "; quote a field whose name has other characters than letters, digits and _"
    return ""
