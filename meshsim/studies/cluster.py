"""The same tasks on the workers of a Dask cluster: Dask distributes, retries and survives lost workers.

Workers compute and send back; whoever called keeps. So the workers need meshsim of the same version, and no common
file system.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from meshsim.scenario.base import MeshsimError
from meshsim.studies.pool import Progress, Stop, Work
from meshsim.studies.version import model_version

T = TypeVar("T")
R = TypeVar("R")

CONNECT_S = 10
AHEAD = 4
"""Tasks a thread of the cluster that are handed over before their turn, so that no worker waits for this process."""
POLL_S = 0.2
ENOUGH_FILES = 65_536


def run_on_dask(
    work: Work[T, R],
    tasks: Sequence[T],
    scheduler: str,
    *,
    admit: Callable[[int], bool],
    on_result: Callable[[int, R], None],
    on_progress: Progress | None = None,
    should_stop: Stop | None = None,
) -> bool:
    """Like ``pool.run_all``, on the cluster at ``scheduler`` (tcp://host:8786). False if stopped.

    A worker that is lost loses nothing: Dask gives its tasks to others. MeshsimError if no scheduler answers, if a
    worker has another version of the model, or if one task has cost the cluster several workers.
    """
    client = _connect(scheduler)
    try:
        with client:
            return _run(client, work, tasks, admit, on_result, on_progress, should_stop)
    except OSError as error:
        raise MeshsimError(f"scheduler: {scheduler} received; the connection broke ({error})") from None


def _connect(scheduler: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise MeshsimError("backend: dask received; it needs `pip install 'meshsim[dask]'`") from None
    try:
        client = Client(scheduler, timeout=CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, TimeoutError, ValueError) as error:
        why = " ".join(str(error).split())[:200]
        raise MeshsimError(f"scheduler: {scheduler} received; no Dask scheduler answers there ({why})") from None
    return client


def _refuse_other_models(client: Any) -> int:
    """Threads of the cluster. MeshsimError if there are none, or if a worker would compute other numbers."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    if not workers:
        raise MeshsimError(f"scheduler: {client.scheduler.address} has no workers; start some (dask worker ADDRESS)")
    for address, model in client.run(_model_there, on_error="return").items():
        if model != model_version():
            told = f"{type(model).__name__}: {model}" if isinstance(model, Exception) else model
            raise MeshsimError(f"worker {address} has model {told}, and this is {model_version()}; install the same")
    return sum(int(worker["nthreads"]) for worker in workers.values())


def _most_open_files() -> int:
    """As many as this process may have, after asking for as many as it may ask for."""
    try:
        import resource
    except ImportError:  # Windows, where claims are not locked
        return 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < min(hard, ENOUGH_FILES):
        soft = min(hard, ENOUGH_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


def _model_there() -> str:
    return model_version()


def _never() -> bool:
    return False


def _call(work: Work[T, R], index: int, task: T) -> tuple[int, R | None]:
    return index, work(task, lambda done, total: None, _never)


def _run(
    client: Any,
    work: Work[T, R],
    tasks: Sequence[T],
    admit: Callable[[int], bool],
    on_result: Callable[[int, R], None],
    on_progress: Progress | None,
    should_stop: Stop | None,
) -> bool:
    threads = _refuse_other_models(client)
    ahead = min(AHEAD * threads, _most_open_files() // 2)  # each claim is an open file
    waiting = iter(range(len(tasks)))
    finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
    under_way: set[Any] = set()
    done = skipped = 0

    def hand_over() -> None:
        """Keep the cluster busy, and no more claimed than that takes."""
        nonlocal skipped
        while len(under_way) < ahead and (index := next(waiting, None)) is not None:
            if admit(index):
                future = client.submit(_call, work, index, tasks[index], pure=False)
                under_way.add(future)
                future.add_done_callback(finished.put)
            else:
                skipped += 1

    try:
        hand_over()
        while under_way:
            if should_stop is not None and should_stop():
                return False
            try:
                future = finished.get(timeout=POLL_S)
            except queue.Empty:
                continue
            index, result = _result(future)
            under_way.discard(future)
            if result is not None:
                on_result(index, result)
                done += 1
            hand_over()
            if on_progress is not None:
                on_progress(done + skipped, len(tasks), f"{done} of {len(tasks)} runs done on {threads} threads")
    except KeyboardInterrupt:
        return False
    finally:
        client.cancel(list(under_way))
    return True


def _result(future: Any) -> Any:
    from distributed import CancelledError, KilledWorker

    try:
        return future.result()
    except KilledWorker as error:
        raise MeshsimError(f"a point has ended several workers of the cluster, one after the other ({error})") from None
    except CancelledError:
        raise MeshsimError("the Dask scheduler has gone; what was finished is kept") from None
