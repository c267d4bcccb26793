"""Fax programs with error correction: the sender and the receiver of tests.host, with T.30 Annex A."""

from __future__ import annotations

from tests.host import ecm, t4
from tests.host.class1 import CallFailed, Script
from tests.host.ecm import CTC, CTR, EOR, ERR, PPR, PPS, RNR, RR
from tests.host.t30 import (
    DCN,
    DCS,
    EOM,
    EOP,
    FINE,
    FROM_DIS_RECEIVER,
    MCF,
    MODULATIONS,
    MPS,
    RECEIVER,
    SCAN_LINE_MASK,
    T1_S,
    T2_S,
    T4_S,
    UNLIMITED_LENGTH,
    Modulation,
    codes_of_dis,
    frame,
)
from tests.host.t30_receiver import FaxReceiver
from tests.host.t30_sender import N_TRIES, FaxSender

EXTENDED, ECM_MODE = 0x80, 0x04  # octet 3: bit 24; octet 4: bit 27
N_PPR_BEFORE_CTC = 4
N_CTC = 3
T5_S = 60.0  # of RNR and RR (T.30 §5.4.3.2)


class EcmFaxSender(FaxSender):
    """Sends its pages with error correction; a far end that cannot is a failure."""

    _n_frames_resent = 0

    @property
    def n_frames_resent(self) -> int:
        """Frames that PPR asked for again."""
        return self._n_frames_resent

    def _dcs(self, modulation: Modulation) -> bytes:
        if len(self._dis) < 4 or not self._dis[3] & ECM_MODE:
            raise CallFailed("the far end offers no error correction")
        octet2 = RECEIVER | modulation.dcs | (FINE if self.fine and self._dis[1] & FINE else 0)
        octet3 = EXTENDED | SCAN_LINE_MASK | (self._dis[2] & UNLIMITED_LENGTH)
        return bytes((0, octet2, octet3, ECM_MODE))

    def _page(self, modulation: Modulation) -> Script[int]:
        """One page, block by block; MCF when all of it is confirmed."""
        number = self.n_pages_confirmed
        blocks = ecm.partial_pages(t4.encode_page(self.pages[number]))
        last_page = number == len(self.pages) - 1
        for i, block in enumerate(blocks):
            last_block = i == len(blocks) - 1
            command = (EOP if last_page else MPS) if last_block else ecm.NULL
            modulation = yield from self._block(modulation, block, command, number & 0xFF, i & 0xFF)
        return MCF

    def _block(
        self, modulation: Modulation, block: list[bytes], command: int, page: int, number: int
    ) -> Script[Modulation]:
        """One partial page until it is confirmed; the modulation in force then."""
        wanted = dict(enumerate(block))
        code = modulation.page_code
        n_refused = n_ctc = 0
        while True:
            data = ecm.encode(wanted, modulation.bits_per_s)
            yield from self.send_fast(code, data, self.habits.turnaround, modulation.bits_per_s)
            code = modulation.page_code
            pps = frame(PPS | FROM_DIS_RECEIVER, bytes((command, page, number, len(wanted) - 1)))
            answer = yield from self._ask(pps, self.habits.before_post_message, "PPS")
            if MCF in answer:
                return modulation
            if PPR not in answer:
                raise CallFailed(f"unknown answer to PPS: {_names(answer)}")
            wanted = {n: block[n] for n in ecm.read_missing_map(answer[PPR]) if n < len(block)}
            self._n_frames_resent += len(wanted)
            n_refused += 1
            self.note("", f"PPR: {len(wanted)} frames again")
            if not wanted:
                raise CallFailed("a PPR that asks for nothing")
            if n_refused == N_PPR_BEFORE_CTC:
                n_refused, n_ctc = 0, n_ctc + 1
                if n_ctc > N_CTC:
                    raise CallFailed(f"frames were asked for again {n_ctc * N_PPR_BEFORE_CTC} times")
                modulation = self._slower(modulation) if n_ctc > 1 else modulation
                ctc = frame(CTC | FROM_DIS_RECEIVER, self._dcs(modulation)[:2])
                answer = yield from self._ask(ctc, self.habits.turnaround, "CTC")
                if CTR not in answer:
                    raise CallFailed(f"unknown answer to CTC: {_names(answer)}")
                code = modulation.code

    def _slower(self, modulation: Modulation) -> Modulation:
        usable = [code for code in self.codes if code in codes_of_dis(self._dis[1])]
        slower = usable[usable.index(modulation.code) + 1 :]
        return MODULATIONS[slower[0]] if slower else modulation

    def _ask(self, command: bytes, silence: str, name: str) -> Script[dict[int, bytes]]:
        """A command until it is answered, N_TRIES times; RNR is waited through with RR."""
        busy_until = 0.0
        asked, tries = command, 0
        while tries < N_TRIES:
            yield from self.send_frames([asked], silence)
            frames = yield from self._frames(T4_S)
            if DCN in frames:
                raise CallFailed(f"the far end disconnected (DCN) after {name}")
            if RNR in frames:
                busy_until = busy_until or self.now + T5_S
                if self.now > busy_until:
                    raise CallFailed("the far end has been busy (RNR) for too long")
                asked, tries = frame(RR | FROM_DIS_RECEIVER), 0
            elif frames.keys() & {MCF, PPR, CTR, ERR}:
                return frames
            else:
                tries += 1
        yield from self._disconnect()
        raise CallFailed(f"no answer to {name}, {N_TRIES} times")


class EcmFaxReceiver(FaxReceiver):
    """Takes pages with error correction: `pages`, `n_frames_asked_again`; `data` has them as coded."""

    n_frames_asked_again = 0

    def _dis_frames(self) -> list[bytes]:
        csi, dis = super()._dis_frames()
        return [csi, dis[:-1] + bytes((dis[-1] | EXTENDED, ECM_MODE))]

    def _pages_of_call(self, modulation: Modulation) -> Script[None]:
        """Block after block until the last is confirmed and DCN comes."""
        block: dict[int, bytes] = {}
        page = bytearray()
        confirmed: tuple[int, int] | None = None
        code = modulation.page_code
        expect_block = ended = False
        answer = b""
        expect_block = True
        until = self.now + T1_S
        while True:
            implicit = False
            if expect_block:
                result, data = yield from self.receive_fast(code, T2_S + 2.9, 60.0)
                if data:
                    block |= ecm.numbered_frames(data)
                    until = self.now + T1_S
                implicit = result == "+FRH:3"
                if data and self.habits.after_page_received:
                    yield from self.command_ok(self.habits.after_page_received)
            try:
                frames = yield from self._command(T2_S, implicit=implicit)
            except CallFailed:
                if ended:
                    return  # all is confirmed: whether DCN was heard is no matter
                raise
            expect_block = False
            if frames:
                until = max(until, self.now + T2_S * N_TRIES)
            if DCN in frames:
                if ended:
                    return
                raise CallFailed("the far end disconnected (DCN) before its page was confirmed")
            if DCS in frames:
                modulation = yield from self._training(frames)
                code, expect_block = modulation.page_code, True
            elif PPS in frames and len(frames[PPS]) >= 4:
                kind, page_number, block_number, last = frames[PPS][:4]
                if (page_number, block_number) == confirmed:
                    answer = frame(MCF)
                else:
                    # `last` counts the frames of this transmission; their numbers tell how many there are
                    self._n_frames = max(self._n_frames, last + 1)
                    missing = [n for n in range(self._n_frames) if n not in block]
                    self.n_frames_asked_again += len(missing)
                    self.note("", f"PPS: {self._n_frames} frames, {len(missing)} missing")
                    answer = frame(PPR, ecm.missing_map(missing)) if missing else frame(MCF)
                    if not missing:
                        page += b"".join(block[n] for n in sorted(block))
                        block, self._n_frames = {}, 0
                        confirmed = (page_number, block_number)
                        if kind & ~FROM_DIS_RECEIVER != ecm.NULL:
                            self._keep(bytes(page))
                            page = bytearray()
                        ended = kind & ~FROM_DIS_RECEIVER == EOP
                yield from self._reply(answer)
                if answer[2] == MCF and kind & ~FROM_DIS_RECEIVER == EOM:
                    modulation = yield from self._until_dcs(after_ata=False)
                expect_block = not ended
                code = modulation.page_code
            elif CTC in frames:
                modulation = self._of_dcs(frames[CTC])
                yield from self._reply(frame(CTR))
                code, expect_block = modulation.code, True
            elif EOR in frames:
                raise CallFailed("the far end gave up a page (EOR)")
            elif RR in frames:
                yield from self._reply(answer)
                expect_block = True
            elif self.now >= until:
                if ended:
                    return
                raise CallFailed("the sender went silent in a page")

    _n_frames = 0

    def _of_dcs(self, fif: bytes) -> Modulation:
        for modulation in MODULATIONS.values():
            if len(fif) >= 2 and modulation.dcs == fif[1] & 0x3C:
                return modulation
        raise CallFailed(f"CTC asks for a modulation we did not offer ({fif.hex(' ')})")

    def _keep(self, data: bytes) -> None:
        decoded = t4.decode_page(data)
        self.page_results.append(decoded)
        self.note("", f"page: {decoded.page.shape[0]} rows, {decoded.n_bad_rows} bad")
        self.pages.append(decoded.page)

    def _reply(self, answer: bytes) -> Script[None]:
        result = yield from self.silence_then(self.habits.turnaround, "+FTH=3", 7.55)
        self._expect("CONNECT", result, "+FTH=3")
        yield from self.sleep(self.habits.confirm_delay_s)
        yield from self.send_frames_on_carrier([answer])


def _names(frames: dict[int, bytes]) -> str:
    return ", ".join(ecm.NAMES.get(fcf, f"{fcf:02x}") for fcf in frames) or "none"
