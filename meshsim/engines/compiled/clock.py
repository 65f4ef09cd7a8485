"""What happens by the clock and is rare is left to Python: the autoscalers are those of the reference engine."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from meshsim.engines.autoscaler import Autoscaling
from meshsim.engines.compiled import state as at

if TYPE_CHECKING:
    from meshsim.engines.compiled.memory import Memory


class ServicePods:
    """(first pod, pods that get requests) of each service, as the loop knows them."""

    def __init__(self, memory: Memory) -> None:
        self.rows = memory.arrays["SERVICES"].view(np.int32)

    def __getitem__(self, service: int) -> tuple[int, int]:
        return int(self.rows[service, at.FIRST_POD]), int(self.rows[service, at.POD_COUNT])

    def __setitem__(self, service: int, pods: tuple[int, int]) -> None:
        self.rows[service, at.POD_COUNT] = pods[1]


class Clock:
    """Stands for the simulation, and for its list of events, before ``Autoscaling``."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.plan = memory.plan
        self.recorder = SimpleNamespace(cpu=memory.arrays["CPU"], tags=len(memory.plan.tags))
        self.service_pods: Any = ServicePods(memory)
        self.env = self
        self.due: dict[int, deque[Any]] = {}
        """Events by their place in the order of an instant; those of one place come in the order of their time."""
        self.now = 0
        self.autoscaling = Autoscaling(self)  # type: ignore[arg-type]

    @property
    def history(self) -> list[tuple[int, int, int]]:
        """See ``Autoscaling.history``."""
        return self.autoscaling.history

    def schedule(self, event: Any, priority: int, delay: int) -> None:
        """An event of Autoscaling is put into the loop's list."""
        self.due.setdefault(priority, deque()).append(event)
        self.memory.put(self.now + delay, priority, 0, 0)

    def go_on(self) -> None:
        """The loop does, when it is entered again."""

    def happen(self, number: int) -> None:
        """The event of that number is due now."""
        self.now = self.memory[at.NOW]
        event = self.due[number << 20].popleft()
        event.callbacks[0](event)
