"""The program of one answer: our imports, the answer's own cell, and what it uses from the student's other cells.

A student's notebook is one long program, and answers use functions of earlier ones. Each question is graded in a
process of its own, so this finds the cells that define the names which an answer uses, theirs in turn, and puts them in
order.
"""

from __future__ import annotations

import ast
import builtins
import functools
import symtable
from collections.abc import Sequence

from m2m.assignments.answers import Cell, without_magics


@functools.lru_cache(maxsize=1024)
def names_of(source: str) -> tuple[frozenset[str], frozenset[str]]:
    """Names that a cell defines at its top level, and those that it reads there or as globals; empty if it is no Python."""
    try:
        tree = ast.parse(without_magics(source))
        read = _read(symtable.symtable(without_magics(source), "a cell", "exec"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset(), frozenset()
    defined: set[str] = set()
    for statement in tree.body:
        defined |= _defined(statement)
    return frozenset(defined), frozenset(read)


def _read(table: symtable.SymbolTable) -> set[str]:
    """Not the local names of functions: another cell may have such a name, and is not needed for that."""
    top = table.get_type() == "module"
    own = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced() and (top or symbol.is_global())}
    return own.union(*map(_read, table.get_children()))


def _defined(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).split(".")[0] for alias in statement.names}
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def needed(own: Cell, cells: list[Cell], given: set[str]) -> list[Cell]:
    """`own` and the cells among `cells` that it needs, in the order of the notebook.

    Args:
        own: the answer.
        cells: the student's code cells in order.
        given: names that our imports define; no cell of the student's is needed for them.
    """
    known = {id(cell): names_of(cell.source) for cell in cells}
    known.setdefault(id(own), names_of(own.source))
    place = {id(cell): k for k, cell in enumerate(cells)}
    chosen, open_cells = {id(own): own}, [own]
    while open_cells:
        cell = open_cells.pop()
        defined, read = known[id(cell)]
        for name in read - defined - given - set(dir(builtins)):
            giver = _last_definition(name, cells, known, before=place.get(id(cell), len(cells)))
            if giver is not None and id(giver) not in chosen:
                chosen[id(giver)] = giver
                open_cells.append(giver)
    others = sorted((cell for cell in chosen.values() if cell is not own), key=lambda cell: place[id(cell)])
    return [*others, own]


def assembled(own: Cell, cells: list[Cell], given: Sequence[str]) -> list[list[str]]:
    """The program of an answer as [label, source] pairs: our own cells `given`, the cells that it needs, the answer."""
    defined = set().union(*(names_of(source)[0] for source in given))
    program = [["given", source] for source in given]
    return program + [[cell.question or "another cell", cell.source] for cell in needed(own, cells, defined)]


def _last_definition(name: str, cells: list[Cell], known: dict, before: int) -> Cell | None:
    """The last cell before a place that defines the name, else the first one after it."""
    givers = [k for k, cell in enumerate(cells) if name in known[id(cell)][0]]
    earlier = [k for k in givers if k < before]
    return cells[earlier[-1]] if earlier else cells[givers[0]] if givers else None


def imports_of(sources: list[str]) -> str:
    """The import statements of cells: what a fork server can execute ahead of time."""
    found = []
    for source in sources:
        found += [
            ast.unparse(node)
            for node in ast.parse(without_magics(source)).body
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]
    return "\n".join(found)
