"""The lines of one process, in trio: one tick for all of them, a task for each line's life.

A line that cannot start, whose device the kernel takes away or that fails by a fault of ours is restarted
alone, after a pause that doubles up to a minute. Lines may be added, changed and ended while the others
have calls. Lines whose files give the same UDP port share its socket.
"""

from __future__ import annotations

import gc
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import trio

import iax
import iax.socket
from cusemodem.config import ModemConfig
from cusemodem.cuse.errors import DeviceError
from cusemodem.cuse.port import Port
from cusemodem.cuse.store import Store
from cusemodem.device_node import Device, open_device
from cusemodem.line import Line, LineOptions
from cusemodem.line_sockets import LineSocket, LineSockets
from cusemodem.lines import Lines
from cusemodem.modem_engine import new_engine
from cusemodem.pbx import peer_config, server_names
from cusemodem.served_line import Hooks, LineState, Served
from cusemodem.tick import BLOCK_S, TickClock

IDLE_TICK_S = 0.1
"""With no call on any line the tick wakes five times less often and then does five blocks at once: a ring
is noticed within 100 ms, and an idle modem costs next to nothing."""

LONGEST_PAUSE_S = 1.0
"""With nothing to do at all the tick comes as often as this, as a sign of life."""

LATE_TICK_S = 0.04
"""Lateness beyond this may have cost audio, at our jitter buffer or the far end's: worth a log line."""

FAREWELL_S = 1.0
"""How long hanging up and releasing the registration of a line may take at its end."""

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 60.0
STEADY_S = 60.0
"""A line that worked for so long begins with the shortest pause again."""

INTERNAL_FAULT = "an internal fault, see the log"

_log = logging.getLogger("cusemodem.run")


def _log_fault(error: Exception, name: str) -> None:
    _log.error("internal fault", exc_info=error, extra={"line": name})


class _LineFaultError(Exception):
    """The line raised what it should not."""


class Worker:
    """At most `capacity` lines. `run` serves until `stop`; the other methods are for the same trio thread."""

    def __init__(
        self,
        configs: list[ModemConfig],
        hooks: Hooks | None = None,
        capacity: int = 0,
        store: Store | None = None,
    ) -> None:
        """With a `store` the lines' devices outlive this process, unless it ends for good."""
        self.served: dict[str, Served] = {}
        self.started = trio.Event()
        """Every line of the beginning has been tried once."""
        self._hooks = hooks or Hooks()
        self._first = configs
        self._store = store
        nowhere = iax.Endpoint(random.SystemRandom())
        self.lines = Lines(nowhere, max(capacity, len(configs), 1))
        self.lines.on_failure = self._line_failed
        self.clock = TickClock(0.0)
        self._sockets = LineSockets(self._watch_in_background, self.lines.bank_size, len(configs))
        self._nursery: trio.Nursery | None = None
        self._hurry = 0
        self._ticking: trio.Nursery | None = None
        self._news, self._pausing, self._step_done = trio.Event(), trio.Event(), trio.Event()
        self._stopping = trio.Event()

    # ------------------------------------------------------------------ what the process around it does

    async def run(self) -> None:
        """Serve the lines until `stop` was called and they have ended."""
        async with trio.open_nursery() as self._ticking:
            self._ticking.start_soon(self._tick)
            async with trio.open_nursery() as self._nursery:
                for config in self._first:
                    self.add(config)
                for served in list(self.served.values()):
                    await served.tried.wait()
                gc.collect()
                gc.freeze()  # what start-up made lives for ever: collections scan little, the tick is steady
                self.started.set()
                await self._stopping.wait()
            self._ticking.cancel_scope.cancel()

    def add(self, config: ModemConfig) -> None:
        """Start a line. Raises IndexError when there is no room for it."""
        if self._nursery is None or self.room <= 0:
            raise IndexError(f"no room for {config.name}")
        served = self.served[config.name] = Served(config)
        self._nursery.start_soon(self._keep, served)

    @property
    def room(self) -> int:
        """How many more lines there may be."""
        return self.lines.bank_size - len(self.served)

    def retire(self, name: str) -> None:
        """End a line as soon as it is on-hook."""
        self.served[name].replacement = None
        self.served[name].retiring.set()

    def replace(self, config: ModemConfig) -> None:
        """Restart a line with another configuration as soon as it is on-hook."""
        served = self.served[config.name]
        served.replacement = config
        is_same = config.device_path == served.config.device_path
        served.keep = is_same and config.keep and config.adapter != "pty"
        served.retiring.set()

    def stop(self, *, keep: bool = False) -> None:
        """Hang up, deregister and end every line, within about `FAREWELL_S`; with `keep` a successor will go
        on with its device."""
        for served in self.served.values():
            served.replacement, served.urgent, served.keep = None, True, keep
            served.retiring.set()
        self._stopping.set()

    # ------------------------------------------------------------------ one line's life

    async def _keep(self, served: Served) -> None:
        pause_s = FIRST_RETRY_S
        while True:
            began = trio.current_time()
            try:
                await self._serve(served)
                served.reason = ""
            except (DeviceError, iax.socket.SocketError) as error:
                served.reason = str(error)
            except _LineFaultError:
                served.reason = INTERNAL_FAULT
            except Exception as error:  # the others' calls are not to end with this line
                _log_fault(error, served.config.name)
                served.reason = INTERNAL_FAULT
            if served.retiring.is_set():
                if served.replacement is None:
                    break
                served.config, served.replacement = served.replacement, None
                served.retiring, served.keep, pause_s = trio.Event(), False, FIRST_RETRY_S
                continue
            served.state = LineState.FAILED
            if trio.current_time() - began > STEADY_S:
                pause_s = FIRST_RETRY_S
            self._hooks.on_failure(served, pause_s)
            served.tried.set()
            with trio.move_on_after(pause_s):
                await served.retiring.wait()
            pause_s = min(2 * pause_s, LONGEST_RETRY_S)
            served.n_restarts += 1
        served.state = LineState.ENDED
        served.tried.set()
        if self.served.get(served.config.name) is served:
            del self.served[served.config.name]

    async def _serve(self, served: Served) -> None:
        """Open everything, be ready, and close everything at the end."""
        config = served.config
        served.state, served.failed = LineState.STARTING, trio.Event()
        names = server_names(config)
        peer = peer_config(config, await names.look_up())
        shared = await self._sockets.acquire(config)
        line: Line | None = None
        try:
            shared.endpoint.add_peer(peer)
            port = served.port = Port()
            options = LineOptions(
                config.cidnumber,
                config.cidname,
                config.formats,
                on_report=lambda report: self._hooks.on_report(served, report),
                tap=self._hooks.new_tap(config),
                causes=dict(config.causes),
                busy_when_closed=config.busy_when_closed,
                dsp_debug=config.dspdebug,
            )
            engine = new_engine(served, self._hooks.state)
            line = self.lines.add(config.name, port, engine, peer, options, endpoint=shared.endpoint)

            def on_activity() -> None:
                try:
                    line.service_port(trio.current_time())
                except Exception as error:
                    self.lines.remove(line)
                    self._line_failed(line, error)
                shared.socket.flush(shared.core)
                if not line.idle:
                    self._news.set()

            async with open_device(config, port, on_activity, self._store) as device:
                served.line, served.device = line, device
                if config.refresh_s:
                    served.registration = shared.endpoint.register(peer, trio.current_time())
                served.state, served.reason = LineState.READY, ""
                self._hooks.on_ready(served)
                served.tried.set()
                try:
                    await self._until_over(served, line, partial(names.follow, shared.endpoint, peer))
                    device.keep = served.keep
                finally:
                    served.device = None
                    with trio.CancelScope(shield=True):
                        await self._farewell(served, line, shared)
        finally:
            served.line = served.registration = None
            if line is not None:
                self.lines.remove(line)
            shared.endpoint.remove_peer(peer)
            self._sockets.release(shared)

    async def _until_over(
        self, served: Served, line: Line, follow_names: Callable[..., Awaitable[None]]
    ) -> None:
        async with trio.open_nursery() as nursery:
            extra = {"line": line.name}

            def moved(addresses: tuple[iax.Address, ...]) -> None:
                where = ", ".join(f"{host} port {port}" for host, port in addresses)
                _log.info("the PBX's name means %s now", where, extra=extra)

            async def fault() -> None:
                await served.failed.wait()
                nursery.cancel_scope.cancel()

            async def retirement() -> None:
                await served.retiring.wait()
                while not served.urgent and (line.call is not None or line.engine.off_hook):  # noqa: ASYNC110
                    await trio.sleep(IDLE_TICK_S)  # the engine has no bell for it, and nothing hurries
                nursery.cancel_scope.cancel()

            nursery.start_soon(fault)
            nursery.start_soon(retirement)
            nursery.start_soon(follow_names, served.registration, moved)
        if served.failed.is_set():
            raise _LineFaultError

    async def _farewell(self, served: Served, line: Line, shared: LineSocket) -> None:
        """Hang up and deregister, and let both be acknowledged, within a bound."""
        now = trio.current_time()
        call = line.call
        if not served.failed.is_set():
            line.shut_down(now)
        elif call is not None:
            call.hangup(now, cause=41, text="modem failure")
        registration = served.registration
        if registration is not None:
            registration.release(now)
        self._hurry += 1
        try:
            with trio.move_on_after(FAREWELL_S):
                while not (
                    (registration is None or registration.state is iax.RegistrationState.RELEASED)
                    and (call is None or shared.endpoint.statistics().calls == 0)
                ):
                    shared.endpoint.handle_timer(trio.current_time())
                    shared.socket.flush(shared.core)
                    await trio.sleep(BLOCK_S)
        finally:
            self._hurry -= 1
        if registration is not None:
            shared.endpoint.forget(registration)

    def _line_failed(self, line: Line, error: Exception) -> None:
        _log_fault(error, line.name)
        for served in self.served.values():
            if served.line is line or (served.line is None and served.config.name == line.name):
                served.failed.set()

    # ------------------------------------------------------------------ the tick

    async def _tick(self) -> None:
        """Pace the blocks: sleep to the next boundary, take the datagrams, do what is due, send."""
        lines = self.lines
        clock = self.clock = TickClock(trio.current_time())
        was_in_call = caught_up = False
        while True:
            if lines.in_call or self._hurry:
                await trio.sleep_until(clock.next_due)
            else:
                await self._pause(max(clock.next_due, self._next_idle_tick()))
            for _ in range(clock.due(trio.current_time(), at_once=not lines.in_call)):
                self._step()
                if lines.idle:
                    break
            if not lines.in_call:
                lateness_s = clock.take_worst_lateness_s()
                if caught_up and was_in_call and lateness_s > LATE_TICK_S:
                    _log.warning("this machine was busy: the tick came up to %.0f ms late", lateness_s * 1000)
                caught_up = False
            elif not caught_up:  # with the idle pause in which the call began
                caught_up = clock.take_worst_lateness_s() < BLOCK_S
            was_in_call = lines.in_call
            for served in self.served.values():
                if served.device is not None:
                    self._flush(served, served.device)
            self._step_done.set()

    def _flush(self, served: Served, device: Device) -> None:
        try:
            device.flush()
        except Exception as error:
            _log_fault(error, served.config.name)
            served.failed.set()

    def _next_idle_tick(self) -> float:
        """Without a call only some timer makes a tick necessary; a datagram or the host ends the pause."""
        now = trio.current_time()
        if not self.lines.idle:
            return now + IDLE_TICK_S
        due = self._sockets.next_timer()
        return now + LONGEST_PAUSE_S if due is None else min(due, now + LONGEST_PAUSE_S)

    async def _pause(self, until: float) -> None:
        was_idle = self.lines.idle
        self._news, self._step_done = trio.Event(), trio.Event()
        self._pausing.set()
        with trio.CancelScope(deadline=until):
            await self._news.wait()
        self._pausing = trio.Event()
        if was_idle:
            self.clock.resume(trio.current_time())

    def _watch_in_background(self, shared: LineSocket) -> None:
        if self._ticking is not None:
            self._ticking.start_soon(self._watch, shared)

    async def _watch(self, shared: LineSocket) -> None:
        """End a pause when a datagram comes; during calls, when there is no pause, cost nothing."""
        with shared.watch, suppress(trio.ClosedResourceError):
            while True:
                await self._pausing.wait()
                await shared.socket.wait_readable()
                self._news.set()
                await self._step_done.wait()

    def _step(self) -> None:
        now = trio.current_time()
        self._sockets.drain(now)
        self.lines.step(now)
        self._sockets.flush()
        self.clock.steer(self.lines.fill_error_samples())
