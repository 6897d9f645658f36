"""Workers as actors of a Ray cluster: one that `RAY_ADDRESS` names, else one that lives as long as the command."""

from __future__ import annotations

import importlib.util
import os
import secrets
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue
from typing import Any

import rmtbench
from rmtbench.errors import UserError, first_line
from rmtbench.options import flag
from rmtbench.options.engine import Engine
from rmtbench.runs.engines.base import Check, Checked, DrawTask, Ended, Failed, Lost, Message, Ready
from rmtbench.runs.engines.room import Node, Shares, shares_of
from rmtbench.runs.engines.worker import Worker

ADDRESS = "RAY_ADDRESS"
"""Environment variable with the address of a cluster, such as ``auto`` or ``10.0.0.1:6379``: Ray's own."""

INHERITED = ("HF_HUB_OFFLINE", "RMTBENCH_CACHE", "TOKENIZERS_PARALLELISM")
"""Environment variables that workers get from the command. None holds a key."""

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else a warning
    "RAY_worker_niceness": "0",  # else whatever runs beside them takes the processor from the workers
}
"""Ray's own environment variables where the user has not set them."""

OBJECT_STORE_BYTES = 500_000_000
"""Shared memory of a cluster of our own: draws are texts."""

LONGEST_FOLDER = 20
"""Bytes of the folder of temporary files; the rest of 107 are the names that Ray and we give."""

CONNECT_SECONDS = 10.0

STARTS = 3
"""Workers in a row that may end before they are ready."""

Say = Callable[[str], None]


def check_ray() -> None:
    """Refuse to go on without Ray, or without the cluster that is named; imports nothing.

    Raises:
        UserError: Ray is not installed, the address is that of a client, or nothing listens there.
    """
    if importlib.util.find_spec("ray") is None:
        raise UserError("Ray is not installed", where=f"{flag.engine} ray", remedy="pip install 'rmtbench[ray]'")
    address = os.environ.get(ADDRESS, "")
    if address.startswith("ray://"):
        raise UserError(
            "Ray's client cannot do this",
            where=f"{ADDRESS}={address}",
            remedy="give the command on a node of the cluster, with HOST:PORT or auto",
        )
    host, colon, port = address.rpartition(":")
    if not (colon and port.isdecimal()):
        return
    try:  # Ray itself tries for minutes
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str, error: BaseException) -> UserError:
    where = f"{ADDRESS}={address}" if address else f"{flag.engine} ray"
    remedy = f"check {ADDRESS}, RAY_AUTH_MODE=token if it asks for one, and that it has this version of Ray and Python"
    return UserError(f"no Ray cluster here ({first_line(error)})", where=where, remedy=remedy)


@contextmanager
def ray_pool(asked: Engine, device: str, say: Say) -> Iterator[RayPool]:
    """Give the workers of a cluster while the block lasts.

    Args:
        asked: How many workers, and what each one shall have.
        device: The torch device that answers.
        say: Gets one line about the cluster.

    Raises:
        UserError: The cluster cannot be reached, or has no room for the workers.
    """
    with _cluster():
        import ray

        found = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        nodes = [Node(each["CPU"], each.get("GPU", 0)) for each in found if each.get("CPU")]  # a head may lend none
        shares = shares_of(nodes, asked, device)
        where = os.environ.get(ADDRESS, "this machine")
        say(f"ray {ray.__version__}, {where}: workers: {shares.workers}; each has {shares.each}")
        pool = RayPool(shares)
        try:
            yield pool
        finally:
            pool.close()


@contextmanager
def _cluster() -> Iterator[None]:
    """Be connected to a cluster while the block lasts. Ray reports nothing to its makers, and prints nothing here."""
    own = not os.environ.get(ADDRESS)
    for name, value in {**SETTINGS, **(_secret() if own else {})}.items():  # before Ray is imported, which reads them
        os.environ.setdefault(name, value)
    import ray
    from ray._private import worker

    # `log_to_driver` leaves what Ray says of dead workers, on stdout; its own debugger silences it by this.
    worker._worker_logs_enabled = False  # noqa: SLF001
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "CRITICAL"}
    before = signal.getsignal(signal.SIGTERM)  # Ray sets its own, which exits without a word
    with ExitStack() as stack:
        if own:
            folder = tempfile.TemporaryDirectory(prefix="rmtbench-ray-", dir=_short(), ignore_cleanup_errors=True)
            stack.enter_context(folder)
            settings |= {
                "address": "local",
                "include_dashboard": False,
                "object_store_memory": OBJECT_STORE_BYTES,
                "_temp_dir": folder.name,
            }
        else:
            settings |= {"address": os.environ[ADDRESS]}
        stack.callback(ray.shutdown)
        try:
            ray.init(**settings)
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            raise _unreachable(os.environ.get(ADDRESS, ""), error) from error
        finally:
            signal.signal(signal.SIGTERM, before)
        yield


def _secret() -> dict[str, str]:
    """Return what keeps others out of a cluster of our own. Ray would write such a token into the user's home."""
    return {} if "RAY_AUTH_MODE" in os.environ else {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def _short() -> str:
    """Return where the files of a cluster may lie: the names of its sockets take at most 107 bytes."""
    usual = tempfile.gettempdir()
    return usual if len(os.fsencode(usual)) <= LONGEST_FOLDER else "/tmp"  # noqa: S108 - a random name below it


class Actor:
    """A worker in a process of its own. All of its computing is done by one thread, whose threads are its share."""

    def __init__(self, place: Mapping[str, Any], environ: Mapping[str, str], threads: int) -> None:
        os.environ.update(environ)
        self._hands = ThreadPoolExecutor(1)
        self._worker = Worker(place)
        self._hands.submit(_use_threads, threads).result()

    def version(self) -> str:
        """Return the version of the package here."""
        return rmtbench.__version__

    def do(self, task: Check | DrawTask) -> Iterator[list[Message]]:
        """Do a task; yield what comes of it as soon as it is there, several messages at once if they came together."""
        told: SimpleQueue[Message] = SimpleQueue()
        self._hands.submit(self._worker.do, task, told.put)
        ended = False
        while not ended:
            messages = [told.get()]
            while not told.empty():
                messages.append(told.get())
            ended = isinstance(messages[-1], Checked | Ended | Failed)
            yield messages


def _use_threads(count: int) -> None:
    import torch

    torch.set_num_threads(count)


class RayPool:
    """See `rmtbench.runs.engines.base.Pool`.

    Args:
        shares: The workers, and what each one has.
    """

    def __init__(self, shares: Shares) -> None:
        import ray

        self._shares = shares
        place = {
            "name": "ray",
            "version": ray.__version__,
            "workers": shares.workers,
            "cpus": shares.cpus,
            "gpus": shares.gpus,
        }
        environ = {name: os.environ[name] for name in INHERITED if name in os.environ}
        actor = ray.remote(num_cpus=shares.cpus, num_gpus=shares.gpus, max_restarts=0)(Actor)
        self._make: Callable[[], Any] = lambda: actor.remote(place, environ, shares.threads)
        self._actors: dict[int, Any] = {}
        self._replies: dict[int, Any] = {}
        """By worker, what it will say: a reference before it is ready, then a generator of references."""
        self._starting: set[int] = set()
        self._failed_starts = 0
        self._numbers = 0
        for _ in range(shares.workers):
            self._start()

    def _start(self) -> None:
        number, self._numbers = self._numbers, self._numbers + 1
        self._actors[number] = self._make()
        self._replies[number] = self._actors[number].version.remote()
        self._starting.add(number)

    def begin(self, worker: int, task: Check | DrawTask) -> None:
        """Give a task to a worker that has none."""
        self._replies[worker] = self._actors[worker].do.options(num_returns="streaming").remote(task)

    def wait(self) -> Sequence[tuple[int, Message | Ready | Lost]]:
        """Wait until workers say something.

        Raises:
            UserError: Workers end before they are ready, or have another version of the package.
        """
        import ray

        waiting = list(self._replies.values())
        ready, _ = ray.wait(waiting, num_returns=len(waiting), timeout=0)
        if not ready:
            ready, _ = ray.wait(waiting, num_returns=1)
        said: list[tuple[int, Message | Ready | Lost]] = []
        for worker in [number for number, reply in self._replies.items() if any(reply is each for each in ready)]:
            said += [(worker, message) for message in self._heard(worker)]
        return said

    def _heard(self, worker: int) -> Sequence[Message | Ready | Lost]:
        """Return what a worker has said."""
        import ray

        reply = self._replies[worker]
        try:
            if worker in self._starting:
                _check_version(ray.get(reply))
                self._starting.remove(worker)
                self._failed_starts = 0
                del self._replies[worker]
                return [Ready()]
            messages: list[Message] = ray.get(next(reply))
        except ray.exceptions.RayError as error:
            return [self._lose(worker, error)]
        if isinstance(messages[-1], Checked | Ended | Failed):
            del self._replies[worker]
        return messages

    def _lose(self, worker: int, error: Exception) -> Lost:
        """Start another worker in place of one that is gone.

        Raises:
            UserError: Several in a row were lost before they were ready.
        """
        import ray

        why = first_line(error)
        ray.kill(self._actors.pop(worker))  # it may live on a node that cannot be reached any more
        del self._replies[worker]
        if worker in self._starting:
            self._starting.remove(worker)
            self._failed_starts += 1
            if self._failed_starts >= STARTS:
                remedy = "check that every node has rmtbench with this version of Python, and memory for a worker"
                raise UserError(f"no worker can be started ({why})", where=f"{flag.engine} ray", remedy=remedy)
        self._start()
        return Lost(why)

    def close(self) -> None:
        """End all workers."""
        import ray

        for actor in self._actors.values():
            ray.kill(actor)


def _check_version(there: str) -> None:
    if there != rmtbench.__version__:
        raise UserError(
            f"a node has rmtbench {there}, and this is {rmtbench.__version__}",
            where=f"{flag.engine} ray",
            remedy="install the same version on all nodes",
        )
