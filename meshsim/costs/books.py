"""Several cost books read as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from meshsim.costs.book import Cost, CostBook
from meshsim.costs.rescale import Scale, rescaled, scales
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.suggest import choices


class MissingCost(MeshsimError):
    """A data plane needs an operation that no book prices."""


@dataclass(frozen=True)
class Costs:
    """The first book that knows an operation wins; entries win over families.

    Behind a measured book, the times of others are brought to its host. Order matters: put your own book first, what
    fills its gaps behind it.
    """

    books: Sequence[CostBook]

    def __post_init__(self) -> None:
        _ = self.table  # a family like nothing is refused here, not when an operation is looked up

    @cached_property
    def scales(self) -> list[Scale]:
        """How other books are brought to the host of the first one, if that was measured."""
        first = self.books[0]
        return [s for other in self.books[1:] if first.measured and not other.measured for s in scales(first, other)]

    @cached_property
    def table(self) -> dict[str, tuple[Cost, str]]:
        """Each operation with its cost in force and the name of the book that gave it."""
        table: dict[str, tuple[Cost, str]] = {}
        for book in self.books:
            factors = {scale.family: scale for scale in self.scales if scale.book == book.name}
            for entry in rescaled(book.entries, factors):
                table.setdefault(entry.operation, (entry, book.name))
        # A ratio to other operations holds on whatever host those were measured: families come last, unscaled.
        for book in self.books:
            for family in book.families:
                members = [found for base, _ in table.values() if (found := family.member(base)) is not None]
                if not members:
                    raise MeshsimError(
                        f"cost book {book.name}: family {family.operations} is like {family.like}, "
                        f"but no book prices {', '.join(f'{family.like}.{part}' for part in family.parts)}"
                    )
                for member in members:
                    table.setdefault(member.operation, (member, book.name))
        return table

    def __getitem__(self, operation: str) -> Cost:
        if operation not in self.table:
            raise MissingCost(
                f"no cost for operation {operation!r} in the books searched "
                f"({', '.join(book.name for book in self.books)}); {choices(operation, self.table, limit=6)}"
            )
        return self.table[operation][0]

    def __contains__(self, operation: str) -> bool:
        return operation in self.table

    def __iter__(self) -> Iterator[tuple[Cost, str]]:
        """Each entry in force, with the name of its book."""
        return iter(self.table.values())
