# ruff: noqa  (a ctypes binding in its own style; the library decides its shapes)
"""spandsp_peer - an independent fax/data modem peer for tests.

A ctypes binding of Debian's ``libspandsp2`` (0.0.6), exposing only what a test
needs.  Nothing here is our own DSP: every sample and every bit below comes out
of a library that nobody on this project wrote, so a test that talks to it is a
test against a real peer.

Install the peer with ``apt-get install libspandsp2``.  ``available()`` says
whether it can be loaded; nothing is loaded at import time.  Python 3.9+ and
numpy are the only other needs.  x86-64 and arm64 Linux.

Conventions
-----------
* audio: 8000 samples/s, linear ``numpy.int16``, one channel;
* bits: ``numpy.uint8`` arrays of 0/1, in line order (the order in which they
  go over the wire; a byte that HDLC or T.4 sends goes least significant bit
  first, see ``bytes_to_bits``);
* events: ``(sample, name)`` with ``sample`` the count of samples the object had
  been given when the block holding the event *began*, and ``name`` one of
  ``STATUS`` below;
* objects free their C state when garbage collected or on ``close()``;
* any exception raised inside a callback is kept and raised again by the next
  method call on the object.

What there is
-------------
``ModemTx`` / ``ModemRx``          V.21, V.23, Bell 103/202 FSK; V.27ter; V.29; V.17
``V22bis``                         duplex V.22/V.22bis end (tx + rx in one state)
``hdlc_encode`` / ``hdlc_decode``  frames <-> bits;  ``HdlcTx`` / ``HdlcRx`` streaming,
                                   pluggable into the modems without Python per bit
``ConnectToneTx`` / ``..Rx``       CNG, CED/ANS, ANSam, phase-reversed kinds, V.21 preamble
``DtmfTx`` / ``DtmfRx``
``V8``                             V.8 CM/JM negotiation end
``T31``                            T.31 Class 1 modem: AT bytes + audio
``FaxTerminal``                    complete T.30 terminal: TIFF in/out + audio
``run_call``                       joins two audio objects through optional channels
``write_tiff`` / ``read_tiff``     bilevel pages as numpy arrays (write: plain
                                   Python; read: libtiff, which libspandsp2 needs anyway)

Example::

    import numpy as np, spandsp_peer as sp
    bits = np.random.default_rng(1).integers(0, 2, 28800, dtype=np.uint8)
    audio = sp.ModemTx("v17", 14400, bits).all()
    rx = sp.ModemRx("v17", 14400)
    rx.rx(audio)
    assert rx.trained and np.array_equal(rx.bits[:len(bits)], bits)

Known ways of this peer (facts about 0.0.6, so that a test does not blame us)
----------------------------------------------------------------------------
* ``V.17/V.29/V.27ter`` receivers deliver some trailing bits after the last data
  bit (the turn-off sequence); compare a prefix, or frame the data.
* The V.17 receiver needs ~15 symbols of delay (trellis); its first bits are
  right nonetheless: decoding starts before the data does.
* A receiver that failed to train stays parked until the carrier drops.
* ``ModemRx.fillin`` sustains timing over a lost packet, as a modem would that
  knows of the loss; feeding zeros instead is what a modem sees that does not.
* FSK receivers run in synchronous mode: they deliver bits whenever a carrier
  is there, of noise too.
* Carrier detection is a fixed threshold (about -43 dBm0 on, -48 off; V.29 alone
  -26/-31 unless ``cutoff_dbm0`` is given): idle noise above it is taken for a
  carrier, and the training that follows is missed.  A whole T.30 call needs idle
  noise below about -48 dBm0.
* V.17 *short* training fails at received levels of about -28 to -35 dBm0, and now
  and then elsewhere; long training does not.  Keep calls at -14 to -24 dBm0.
* 20 ms of zeros inside a carrier drops it for good (until the next training).
* V.27ter 4800 does not follow 100 ppm of clock difference for more than seconds.
"""

import ctypes as C
import ctypes.util
import itertools
import struct
import weakref

import numpy as np

__all__ = [
    "available",
    "load",
    "STATUS",
    "SAMPLE_RATE",
    "BLOCK",
    "ModemTx",
    "ModemRx",
    "V22bis",
    "HdlcTx",
    "HdlcRx",
    "hdlc_encode",
    "hdlc_decode",
    "bytes_to_bits",
    "bits_to_bytes",
    "ConnectToneTx",
    "ConnectToneRx",
    "DtmfTx",
    "DtmfRx",
    "V8",
    "T31",
    "FaxTerminal",
    "run_call",
    "write_tiff",
    "read_tiff",
    "set_log_handler",
    "MODULATIONS",
]

SAMPLE_RATE = 8000
BLOCK = 160

# --------------------------------------------------------------------------- library

_lib = None
_GET_BIT = C.CFUNCTYPE(C.c_int, C.c_void_p)
_PUT_BIT = C.CFUNCTYPE(None, C.c_void_p, C.c_int)
_STATUS = C.CFUNCTYPE(None, C.c_void_p, C.c_int)
_FRAME = C.CFUNCTYPE(None, C.c_void_p, C.POINTER(C.c_uint8), C.c_int, C.c_int)
_UNDERFLOW = C.CFUNCTYPE(None, C.c_void_p)
_TONE = C.CFUNCTYPE(None, C.c_void_p, C.c_int, C.c_int, C.c_int)
_DIGITS = C.CFUNCTYPE(None, C.c_void_p, C.POINTER(C.c_char), C.c_int)
_LOG = C.CFUNCTYPE(None, C.c_int, C.c_char_p)
_AT_TX = C.CFUNCTYPE(C.c_int, C.c_void_p, C.c_void_p, C.POINTER(C.c_uint8), C.c_size_t)
_AT_CTL = C.CFUNCTYPE(C.c_int, C.c_void_p, C.c_void_p, C.c_int, C.c_void_p)
_PHASE = C.CFUNCTYPE(C.c_int, C.c_void_p, C.c_void_p, C.c_int)
_PHASE_E = C.CFUNCTYPE(None, C.c_void_p, C.c_void_p, C.c_int)
_FRAME_RT = C.CFUNCTYPE(None, C.c_void_p, C.c_void_p, C.c_int, C.POINTER(C.c_uint8), C.c_int)

#: names of the status events a modem or HDLC receiver reports
STATUS = {
    -1: "carrier_down",
    -2: "carrier_up",
    -3: "training",
    -4: "trained",
    -5: "training_failed",
    -6: "framing_ok",
    -7: "end_of_data",
    -8: "abort",
    -9: "break",
    -10: "shutdown_complete",
    -11: "octet_report",
    -12: "poor_signal",
    -13: "retrain",
    -14: "link_up",
    -15: "link_down",
    -16: "link_error",
}
_END_OF_DATA = -7


def available():
    """True when the peer library can be loaded here."""
    try:
        load()
        return True
    except OSError:
        return False


def load(path=None):
    """Load (once) and return the ctypes library; ``path`` picks another build of the same ABI."""
    global _lib
    if _lib is None:
        name = path or ctypes.util.find_library("spandsp") or "libspandsp.so.2"
        lib = C.CDLL(name)
        p, i, f, cp, sz = C.c_void_p, C.c_int, C.c_float, C.c_char_p, C.c_size_t

        def sig(fn, res, *args):
            func = getattr(lib, fn, None)  # a name another build lacks is an error only when used
            if func is not None:
                func.restype, func.argtypes = res, list(args)

        sig("span_set_message_handler", None, p)
        sig("span_log_set_level", i, p, i)
        sig("span_log_set_tag", i, p, cp)
        for m in ("v27ter", "v29", "v17"):
            sig(m + "_tx_init", p, p, i, i, p, p)
            sig(m + "_rx_init", p, p, i, p, p)
            sig(m + "_rx_restart", i, p, i, i)
        sig("v27ter_tx_restart", i, p, i, i)
        sig("v29_tx_restart", i, p, i, i)
        sig("v17_tx_restart", i, p, i, i, i)
        sig("fsk_tx_init", p, p, p, p, p)
        sig("fsk_rx_init", p, p, p, i, p, p)
        for m in ("v27ter_", "v29_", "v17_", "fsk_"):
            for d in ("tx", "rx"):
                sig(m + d, i, p, p, i)
                sig(m + d + "_free", i, p)
                sig(m + d + "_set_modem_status_handler", None, p, p, p)
            sig(m + "tx_power", None, p, f)
            sig(m + "rx_fillin", i, p, i)
            sig(m + "rx_signal_power", f, p)
            sig(m + "rx_signal_cutoff", None, p, f)
            if m != "fsk_":
                sig(m + "rx_carrier_frequency", f, p)
                sig(m + "rx_symbol_timing_correction", f, p)
                sig(m + "rx_equalizer_state", i, p, C.POINTER(p))
                sig(m + "tx_get_logging_state", p, p)
                sig(m + "rx_get_logging_state", p, p)
        sig("v22bis_init", p, p, i, i, i, p, p, p, p)
        sig("v22bis_rx", i, p, p, i)
        sig("v22bis_tx", i, p, p, i)
        sig("v22bis_rx_fillin", i, p, i)
        sig("v22bis_tx_power", None, p, f)
        sig("v22bis_free", i, p)
        sig("v22bis_set_modem_status_handler", None, p, p, p)
        sig("v22bis_get_current_bit_rate", i, p)
        sig("v22bis_request_retrain", i, p, i)
        sig("v22bis_rx_carrier_frequency", f, p)
        sig("v22bis_rx_signal_power", f, p)
        sig("v22bis_get_logging_state", p, p)
        sig("hdlc_rx_init", p, p, i, i, i, p, p)
        sig("hdlc_rx_set_status_handler", None, p, p, p)
        sig("hdlc_rx_put_bit", None, p, i)
        sig("hdlc_rx_free", i, p)
        sig("hdlc_rx_get_stats", i, p, p)
        sig("hdlc_rx_set_max_frame_len", None, p, sz)
        sig("hdlc_tx_init", p, p, i, i, i, p, p)
        sig("hdlc_tx_set_max_frame_len", None, p, sz)
        sig("hdlc_tx_frame", i, p, p, sz)
        sig("hdlc_tx_flags", i, p, i)
        sig("hdlc_tx_abort", i, p)
        sig("hdlc_tx_corrupt_frame", i, p)
        sig("hdlc_tx_get_bit", i, p)
        sig("hdlc_tx_free", i, p)
        sig("modem_connect_tones_tx_init", p, p, i)
        sig("modem_connect_tones_tx", i, p, p, i)
        sig("modem_connect_tones_tx_free", i, p)
        sig("modem_connect_tones_rx_init", p, p, i, p, p)
        sig("modem_connect_tones_rx", i, p, p, i)
        sig("modem_connect_tones_rx_free", i, p)
        sig("dtmf_tx_init", p, p)
        sig("dtmf_tx", i, p, p, i)
        sig("dtmf_tx_put", i, p, cp, i)
        sig("dtmf_tx_set_level", None, p, i, i)
        sig("dtmf_tx_set_timing", None, p, i, i)
        sig("dtmf_tx_free", i, p)
        sig("dtmf_rx_init", p, p, p, p)
        sig("dtmf_rx", i, p, p, i)
        sig("dtmf_rx_parms", None, p, i, i, i, i)
        sig("dtmf_rx_free", i, p)
        sig("v8_init", p, p, i, p, p, p)
        sig("v8_tx", i, p, p, i)
        sig("v8_rx", i, p, p, i)
        sig("v8_free", i, p)
        sig("v8_get_logging_state", p, p)
        sig("t31_init", p, p, p, p, p, p, p, p)
        sig("t31_call_event", None, p, i)
        sig("t31_at_rx", i, p, cp, i)
        sig("t31_rx", i, p, p, i)
        sig("t31_rx_fillin", i, p, i)
        sig("t31_tx", i, p, p, i)
        sig("t31_set_transmit_on_idle", None, p, i)
        sig("t31_set_tep_mode", None, p, i)
        sig("t31_get_logging_state", p, p)
        sig("t31_free", i, p)
        sig("fax_init", p, p, i)
        sig("fax_rx", i, p, p, i)
        sig("fax_rx_fillin", i, p, i)
        sig("fax_tx", i, p, p, i)
        sig("fax_set_transmit_on_idle", None, p, i)
        sig("fax_set_tep_mode", None, p, i)
        sig("fax_get_t30_state", p, p)
        sig("fax_get_logging_state", p, p)
        sig("fax_free", i, p)
        sig("t30_get_logging_state", p, p)
        sig("t30_terminate", None, p)
        sig("t30_get_transfer_statistics", None, p, p)
        sig("t30_completion_code_to_str", cp, i)
        sig("t30_frametype", cp, C.c_uint8)
        sig("t30_set_rx_file", None, p, cp, i)
        sig("t30_set_tx_file", None, p, cp, i, i)
        for fn in (
            "ecm_capability",
            "rx_encoding",
            "minimum_scan_line_time",
            "supported_modems",
            "supported_compressions",
            "supported_resolutions",
            "supported_image_sizes",
            "supported_t30_features",
            "receiver_not_ready",
        ):
            sig("t30_set_" + fn, i, p, i)
        for fn in (
            "ident",
            "sub_address",
            "password",
            "selective_polling_address",
            "polled_sub_address",
            "sender_ident",
            "page_header_info",
        ):
            sig("t30_set_tx_" + fn, i, p, cp)
        for fn in (
            "ident",
            "sub_address",
            "password",
            "selective_polling_address",
            "polled_sub_address",
            "sender_ident",
            "country",
            "vendor",
            "model",
        ):
            sig("t30_get_rx_" + fn, cp, p)
        for fn in ("nsf", "nsc", "nss"):
            sig("t30_set_tx_" + fn, i, p, cp, i)
            sig("t30_get_rx_" + fn, sz, p, C.POINTER(p))
        for fn in ("phase_b", "phase_d", "phase_e", "document", "real_time_frame"):
            sig("t30_set_" + fn + "_handler", None, p, p, p)
        lib.span_set_message_handler(None)  # silent unless set_log_handler() is used
        _lib = lib
    return _lib


_log_keep = None


def set_log_handler(func=None):
    """Send the library's log text to ``func(level, text)``; None silences it (the default).

    Objects log only after their own ``log(level)`` was called.  Set the handler
    before creating the objects: the library copies it when a state is made.
    """
    global _log_keep
    cb = _LOG(lambda lv, t: func(lv, t.decode("latin1"))) if func else None
    load().span_set_message_handler(C.cast(cb, C.c_void_p) if cb else None)
    _log_keep = cb


def _addr(cb):
    return C.cast(cb, C.c_void_p)


def bytes_to_bits(data):
    """Bytes to line-order bits, least significant bit first."""
    return np.unpackbits(np.frombuffer(bytes(data), np.uint8), bitorder="little")


def bits_to_bytes(bits):
    return np.packbits(np.asarray(bits, np.uint8), bitorder="little").tobytes()


def _samples(audio):
    a = np.ascontiguousarray(audio, dtype=np.int16)
    if a.ndim != 1:
        raise ValueError("audio must be a one-dimensional array")
    return a


class _Obj:
    """A C state with callbacks that must outlive it."""

    _free = None
    _logging = None

    def _setup(self, ptr):
        if not ptr:
            raise ValueError("the peer library refused these parameters")
        self._p = ptr
        self._fin = weakref.finalize(self, getattr(load(), self._free), ptr) if self._free else None
        self._err = None
        self.samples_in = 0
        self.samples_out = 0
        self.events = []

    def _check(self):
        if self._p is None:
            raise ValueError("this object is closed")
        if self._err is not None:
            err, self._err = self._err, None
            raise err

    def _guard(self, fn, default=None):
        ref = weakref.ref(self)

        def call(*a):
            me = ref()
            if me is None:
                return default
            try:
                return fn(me, *a)
            except BaseException as exc:  # must not escape into C
                me._err = exc
                return default

        return call

    def log(self, level=5, tag=None):
        """Log this object's working at ``level`` (5 = flow, 10 = all) to ``set_log_handler``'s function."""
        if self._logging is None:
            raise ValueError("this object has no log")
        st = getattr(load(), self._logging)(self._p)
        load().span_log_set_level(st, level | 0x0200 | 0x0800 | 0x2000 if level else 0)
        if tag:
            load().span_log_set_tag(st, tag.encode())

    def close(self):
        if self._fin:
            self._fin()
        self._p = None

    def _status(self, st):
        self.events.append((self.samples_in, STATUS.get(st, str(st))))

    def _pull(self, fn, n):
        self._check()
        buf = np.zeros(n, np.int16)
        got = fn(self._p, buf.ctypes.data, n)
        self.samples_out += got
        self._check()
        return buf[:got]

    def _push(self, fn, audio, block=None):
        self._check()
        a = _samples(audio).copy()  # some of the library's receivers write into the buffer
        step = block or len(a) or 1
        for pos in range(0, len(a), step):
            n = min(step, len(a) - pos)
            fn(self._p, a.ctypes.data + 2 * pos, n)
            self.samples_in += n
        self._check()

    def event_names(self):
        return [e[1] for e in self.events]


# --------------------------------------------------------------------------- modems

_FSK = {"v21ch1": 0, "v21ch2": 1, "v23ch1": 2, "v23ch2": 3, "bell103ch1": 4, "bell103ch2": 5, "bell202": 6}
_FSK_RATE = {0: 300, 1: 300, 2: 1200, 3: 75, 4: 300, 5: 300, 6: 1200}
#: modulation -> bit rates
MODULATIONS = {
    "v17": (7200, 9600, 12000, 14400),
    "v29": (4800, 7200, 9600),
    "v27ter": (2400, 4800),
    **{k: (_FSK_RATE[v],) for k, v in _FSK.items()},
}


class _FskSpec(C.Structure):
    _fields_ = [
        ("name", C.c_char_p),
        ("freq_zero", C.c_int),
        ("freq_one", C.c_int),
        ("tx_level", C.c_int),
        ("min_level", C.c_int),
        ("baud_rate", C.c_int),
    ]


def _fsk_spec(name):
    table = (_FskSpec * 10).in_dll(load(), "preset_fsk_specs")
    return C.addressof(table[_FSK[name]])


def _bit_source(bits):
    """int-returning callable for anything that gives bits; ends with end-of-data."""
    if callable(bits):
        return bits
    if bits is None:
        bits = itertools.repeat(1)
    elif isinstance(bits, np.ndarray):
        bits = bits.tolist()
    it = iter(bits)
    return lambda: next(it, _END_OF_DATA)


class ModemTx(_Obj):
    """A transmitter: bits in, audio out.

    modulation   a key of ``MODULATIONS``;  rate: bits/s (may be None for FSK)
    bits         array/iterable of 0/1 (the modem shuts down in good order after the
                 last), a callable returning the next bit (or a negative number to
                 end), an ``HdlcTx`` (which then needs no Python per bit), or None for
                 endless ones
    tep          talker echo protection tone first;  short_train: V.17 resync training
    power_dbm0   transmit level, if not the library's default
    """

    def __init__(self, modulation, rate=None, bits=None, tep=False, short_train=False, power_dbm0=None):
        lib = load()
        self.modulation = modulation
        self._kind = "fsk" if modulation in _FSK else modulation
        self.rate = rate or MODULATIONS[modulation][0]
        self._free = self._kind + "_tx_free"
        if self._kind != "fsk":
            self._logging = self._kind + "_tx_get_logging_state"
        self.set_bits(bits, _install=False)
        if self._kind == "fsk":
            ptr = lib.fsk_tx_init(None, _fsk_spec(modulation), self._gb, self._gbu)
        else:
            ptr = getattr(lib, self._kind + "_tx_init")(None, self.rate, int(tep), self._gb, self._gbu)
        self._setup(ptr)
        self._st = _STATUS(self._guard(lambda me, u, st: me._status(st)))
        getattr(lib, self._kind + "_tx_set_modem_status_handler")(self._p, _addr(self._st), None)
        self._io = getattr(lib, self._kind + "_tx")
        if short_train:
            self.restart(self.rate, tep, True)
        if power_dbm0 is not None:
            getattr(lib, self._kind + "_tx_power")(self._p, power_dbm0)

    def set_bits(self, bits, _install=True):
        """Replace the source of bits."""
        if isinstance(bits, HdlcTx):
            self._src = bits
            self._gb, self._gbu = C.cast(load().hdlc_tx_get_bit, C.c_void_p), bits._p
        else:
            src = _bit_source(bits)
            self._src = _GET_BIT(self._guard(lambda me, u: int(src()), _END_OF_DATA))
            self._gb, self._gbu = _addr(self._src), None
        if _install:
            fn = getattr(load(), self._kind + "_tx_set_get_bit")
            fn.restype, fn.argtypes = None, [C.c_void_p, C.c_void_p, C.c_void_p]
            fn(self._p, self._gb, self._gbu)

    def restart(self, rate=None, tep=False, short_train=False):
        """Start a new transmission (training included), on the same state."""
        lib = load()
        self.rate = rate or self.rate
        if self._kind == "fsk":
            fn = lib.fsk_tx_restart
            fn.argtypes = [C.c_void_p, C.c_void_p]
            fn(self._p, _fsk_spec(self.modulation))
        elif self._kind == "v17":
            lib.v17_tx_restart(self._p, self.rate, int(tep), int(short_train))
        else:
            getattr(lib, self._kind + "_tx_restart")(self._p, self.rate, int(tep))

    def tx(self, n=BLOCK):
        """The next up to ``n`` samples; fewer (in the end none) once the modem has shut down."""
        return self._pull(self._io, n)

    def all(self, max_samples=SAMPLE_RATE * 600):
        """Everything until the modem shuts down."""
        out, total = [], 0
        while total < max_samples:
            n = min(BLOCK, max_samples - total)  # the library ends a transmission at the end of a block
            a = self.tx(n)
            out.append(a)
            total += len(a)
            if len(a) < n:
                break
        return np.concatenate(out) if out else np.zeros(0, np.int16)


class ModemRx(_Obj):
    """A receiver: audio in; ``bits`` and ``events`` out.

    ``sink`` may be an ``HdlcRx`` (bits then go straight into it, not to ``bits``).
    """

    def __init__(self, modulation, rate=None, sink=None, cutoff_dbm0=None):
        lib = load()
        self.modulation = modulation
        self._kind = "fsk" if modulation in _FSK else modulation
        self.rate = rate or MODULATIONS[modulation][0]
        self._free = self._kind + "_rx_free"
        if self._kind != "fsk":
            self._logging = self._kind + "_rx_get_logging_state"
        self._bits = bytearray()
        self._sink = sink
        if isinstance(sink, HdlcRx):
            self._pb, pb, pbu = None, C.cast(lib.hdlc_rx_put_bit, C.c_void_p), sink._p
        else:
            self._pb = _PUT_BIT(
                self._guard(lambda me, u, b: me._bits.append(b & 1) if b >= 0 else me._status(b))
            )
            pb, pbu = _addr(self._pb), None
        if self._kind == "fsk":
            ptr = lib.fsk_rx_init(None, _fsk_spec(modulation), 1, pb, pbu)
        else:
            ptr = getattr(lib, self._kind + "_rx_init")(None, self.rate, pb, pbu)
        self._setup(ptr)

        def status(me, u, st):
            me._status(st)
            if isinstance(me._sink, HdlcRx):
                load().hdlc_rx_put_bit(me._sink._p, st)

        self._st = _STATUS(self._guard(status))
        getattr(lib, self._kind + "_rx_set_modem_status_handler")(self._p, _addr(self._st), None)
        self._io = getattr(lib, self._kind + "_rx")
        if cutoff_dbm0 is not None:
            getattr(lib, self._kind + "_rx_signal_cutoff")(self._p, cutoff_dbm0)

    def rx(self, audio, block=BLOCK):
        """Receive audio, in blocks of ``block`` samples."""
        self._push(self._io, audio, block)
        return self

    def fillin(self, n):
        """Tell the receiver that ``n`` samples were lost."""
        self._check()
        getattr(load(), self._kind + "_rx_fillin")(self._p, n)
        self.samples_in += n

    def restart(self, rate=None, short_train=False):
        """Wait for a new transmission.  ``short_train``: V.17 resync on what was learnt."""
        self.rate = rate or self.rate
        if self._kind == "fsk":
            fn = load().fsk_rx_restart
            fn.argtypes = [C.c_void_p, C.c_void_p, C.c_int]
            fn(self._p, _fsk_spec(self.modulation), 1)
        else:
            getattr(load(), self._kind + "_rx_restart")(self._p, self.rate, int(short_train))

    @property
    def bits(self):
        self._check()
        return np.frombuffer(bytes(self._bits), np.uint8)

    def clear(self):
        self._bits.clear()
        self.events.clear()

    @property
    def trained(self):
        """True when the last training event was a success."""
        for _, name in reversed(self.events):
            if name in ("trained", "training_failed", "carrier_down"):
                return name == "trained"
        return False

    @property
    def signal_power(self):
        """dBm0"""
        return getattr(load(), self._kind + "_rx_signal_power")(self._p)

    @property
    def carrier_frequency(self):
        """Hz, as tracked"""
        return getattr(load(), self._kind + "_rx_carrier_frequency")(self._p)

    @property
    def symbol_timing_correction(self):
        return getattr(load(), self._kind + "_rx_symbol_timing_correction")(self._p)

    def equalizer(self):
        """The equalizer's complex taps."""
        ptr = C.c_void_p()
        n = getattr(load(), self._kind + "_rx_equalizer_state")(self._p, C.byref(ptr))
        return np.ctypeslib.as_array(C.cast(ptr, C.POINTER(C.c_float)), (n, 2)).copy().view(
            np.float32
        ).reshape(n, 2) @ np.array([1, 1j])


class V22bis(_Obj):
    """One end of a duplex V.22/V.22bis connection.

    bits: as for ``ModemTx``.  guard: None, 550 or 1800 Hz.  Received bits in ``bits``.
    """

    _free = "v22bis_free"
    _logging = "v22bis_get_logging_state"

    def __init__(self, rate=2400, calling=True, bits=None, guard=None, power_dbm0=None):
        lib = load()
        self._bits = bytearray()
        src = _bit_source(bits)
        self._gb = _GET_BIT(self._guard(lambda me, u: int(src()), _END_OF_DATA))
        self._pb = _PUT_BIT(self._guard(lambda me, u, b: me._bits.append(b & 1) if b >= 0 else me._status(b)))
        self._setup(
            lib.v22bis_init(
                None,
                rate,
                {None: 0, 550: 1, 1800: 2}[guard],
                int(calling),
                _addr(self._gb),
                None,
                _addr(self._pb),
                None,
            )
        )
        self._st = _STATUS(self._guard(lambda me, u, st: me._status(st)))
        lib.v22bis_set_modem_status_handler(self._p, _addr(self._st), None)
        if power_dbm0 is not None:
            lib.v22bis_tx_power(self._p, power_dbm0)

    def tx(self, n=BLOCK):
        return self._pull(load().v22bis_tx, n)

    def rx(self, audio, block=BLOCK):
        self._push(load().v22bis_rx, audio, block)
        return self

    def fillin(self, n):
        load().v22bis_rx_fillin(self._p, n)

    def request_retrain(self, rate):
        return load().v22bis_request_retrain(self._p, rate)

    @property
    def bits(self):
        self._check()
        return np.frombuffer(bytes(self._bits), np.uint8)

    @property
    def bit_rate(self):
        return load().v22bis_get_current_bit_rate(self._p)

    @property
    def carrier_frequency(self):
        return load().v22bis_rx_carrier_frequency(self._p)


# --------------------------------------------------------------------------- HDLC


class HdlcTx(_Obj):
    """Frames to bits.  After the last queued frame: flags, or (``end=True``) end of data."""

    _free = "hdlc_tx_free"

    def __init__(
        self, frames=(), preamble_flags=32, inter_frame_flags=1, crc32=False, end=True, trailing_flags=2
    ):
        lib = load()
        self._queue = [bytes(f) for f in frames]
        self._trail = trailing_flags
        self._end = end
        self._done = False

        def under(me, u):
            if me._queue:
                frame = me._queue.pop(0)
                load().hdlc_tx_frame(me._p, frame, len(frame))
            elif me._end:
                if me._trail:
                    load().hdlc_tx_flags(me._p, me._trail)
                    me._trail = 0
                elif not me._done:
                    me._done = True
                    load().hdlc_tx_frame(me._p, None, 0)

        self._uf = _UNDERFLOW(self._guard(under))
        self._setup(lib.hdlc_tx_init(None, int(crc32), inter_frame_flags, 0, _addr(self._uf), None))
        lib.hdlc_tx_set_max_frame_len(self._p, 396)
        if preamble_flags:
            lib.hdlc_tx_flags(self._p, preamble_flags)
        else:
            under(self, None)

    def put(self, frame):
        """Queue one more frame (address, control and data; the CRC is added)."""
        self._queue.append(bytes(frame))

    def abort(self):
        load().hdlc_tx_abort(self._p)

    def corrupt_current(self):
        load().hdlc_tx_corrupt_frame(self._p)

    def bit(self):
        """The next bit, or a negative status at the end."""
        b = load().hdlc_tx_get_bit(self._p)
        self._check()
        return b


class _HdlcStats(C.Structure):
    _fields_ = [(n, C.c_ulong) for n in ("bytes", "good_frames", "crc_errors", "length_errors", "aborts")]


class HdlcRx(_Obj):
    """Bits to frames: ``frames`` holds ``(bytes without CRC, ok)``; ``events`` the status changes."""

    _free = "hdlc_rx_free"

    def __init__(self, crc32=False, report_bad_frames=True, framing_ok_threshold=5):
        lib = load()
        self.frames = []

        def frame(me, u, pkt, n, ok):
            if n < 0:
                me._status(n)
            else:
                me.frames.append((bytes(pkt[:n]), bool(ok)))

        self._cb = _FRAME(self._guard(frame))
        self._setup(
            lib.hdlc_rx_init(
                None, int(crc32), int(report_bad_frames), framing_ok_threshold, _addr(self._cb), None
            )
        )
        self._st = _STATUS(self._guard(lambda me, u, st: me._status(st)))
        lib.hdlc_rx_set_status_handler(self._p, _addr(self._st), None)

    def put(self, bits):
        fn, p = load().hdlc_rx_put_bit, self._p
        for b in np.asarray(bits).tolist():
            fn(p, b)
        self.samples_in += len(bits)
        self._check()
        return self

    def stats(self):
        st = _HdlcStats()
        load().hdlc_rx_get_stats(self._p, C.byref(st))
        return {n: getattr(st, n) for n, _ in st._fields_}


def hdlc_encode(frames, preamble_flags=32, inter_frame_flags=1, crc32=False, trailing_flags=2):
    """Frames to a bit array, flags and CRC included."""
    tx = HdlcTx(frames, preamble_flags, inter_frame_flags, crc32, True, trailing_flags)
    out = bytearray()
    while (b := tx.bit()) >= 0:
        out.append(b)
    return np.frombuffer(bytes(out), np.uint8)


def hdlc_decode(bits, crc32=False, report_bad_frames=True):
    """Bit array to a list of ``(frame, crc_ok)``."""
    return HdlcRx(crc32, report_bad_frames).put(bits).frames


# --------------------------------------------------------------------------- tones

_TONES = {
    "none": 0,
    "cng": 1,
    "ans": 2,
    "ced": 2,
    "ans_pr": 3,
    "ansam": 4,
    "ansam_pr": 5,
    "preamble": 6,
    "ced_or_preamble": 7,
    "bell_ans": 8,
    "calling": 9,
}
_TONE_NAMES = {
    0: "none",
    1: "cng",
    2: "ans",
    3: "ans_pr",
    4: "ansam",
    5: "ansam_pr",
    6: "preamble",
    8: "bell_ans",
    9: "calling",
}


class ConnectToneTx(_Obj):
    """kind: cng, ced (= ans), ans_pr, ansam, ansam_pr, bell_ans or calling."""

    _free = "modem_connect_tones_tx_free"

    def __init__(self, kind):
        self._setup(load().modem_connect_tones_tx_init(None, _TONES[kind]))

    def tx(self, n=BLOCK):
        return self._pull(load().modem_connect_tones_tx, n)


class ConnectToneRx(_Obj):
    """kind: as above, or preamble, ced_or_preamble.  ``tones`` holds (sample, name, level dBm0, delay)."""

    _free = "modem_connect_tones_rx_free"

    def __init__(self, kind):
        self.tones = []

        def tone(me, u, code, level, delay):
            me.tones.append((me.samples_in, _TONE_NAMES.get(code, str(code)), level, delay))

        self._cb = _TONE(self._guard(tone))
        self._setup(load().modem_connect_tones_rx_init(None, _TONES[kind], _addr(self._cb), None))

    def rx(self, audio, block=BLOCK):
        self._push(load().modem_connect_tones_rx, audio, block)
        return self


class DtmfTx(_Obj):
    _free = "dtmf_tx_free"

    def __init__(self, digits="", level_dbm0=None, twist_db=0, on_ms=None, off_ms=None):
        lib = load()
        self._setup(lib.dtmf_tx_init(None))
        if level_dbm0 is not None:
            lib.dtmf_tx_set_level(self._p, level_dbm0, twist_db)
        if on_ms or off_ms:
            lib.dtmf_tx_set_timing(self._p, on_ms or -1, off_ms or -1)
        if digits:
            self.put(digits)

    def put(self, digits):
        """Queue digits; the number that did not fit is returned."""
        return load().dtmf_tx_put(self._p, digits.encode(), len(digits))

    def tx(self, n=BLOCK):
        return self._pull(load().dtmf_tx, n)


class DtmfRx(_Obj):
    """``digits``: what was heard so far."""

    _free = "dtmf_rx_free"

    def __init__(self, filter_dialtone=None, twist_db=-1, reverse_twist_db=-1, threshold_dbm0=None):
        self.digits = ""

        def digits(me, u, d, n):
            me.digits += d[:n].decode("latin1")

        self._cb = _DIGITS(self._guard(digits))
        self._setup(load().dtmf_rx_init(None, _addr(self._cb), None))
        if (
            filter_dialtone is not None
            or twist_db >= 0
            or reverse_twist_db >= 0
            or threshold_dbm0 is not None
        ):
            load().dtmf_rx_parms(
                self._p,
                -1 if filter_dialtone is None else int(filter_dialtone),
                twist_db,
                reverse_twist_db,
                -100 if threshold_dbm0 is None else threshold_dbm0,
            )

    def rx(self, audio, block=BLOCK):
        self._push(load().dtmf_rx, audio, block)
        return self


# --------------------------------------------------------------------------- V.8


class _V8Parms(C.Structure):
    _fields_ = [
        ("status", C.c_int),
        ("modem_connect_tone", C.c_int),
        ("send_ci", C.c_int),
        ("v92", C.c_int),
        ("call_function", C.c_int),
        ("modulations", C.c_uint),
        ("protocol", C.c_int),
        ("pstn_access", C.c_int),
        ("pcm_modem_availability", C.c_int),
        ("nsf", C.c_int),
        ("t66", C.c_int),
    ]


class V8(_Obj):
    """One end of a V.8 negotiation.  ``result``: None, or a dict once it ended.

    modulations: any of ``V8.MODS``; call_function: any of ``V8.CALLS``.
    """

    _free = "v8_free"
    _logging = "v8_get_logging_state"
    MODS = {
        n: 1 << k
        for k, n in enumerate(
            (
                "v17",
                "v21",
                "v22",
                "v23hdx",
                "v23",
                "v26bis",
                "v26ter",
                "v27ter",
                "v29",
                "v32",
                "v34hdx",
                "v34",
                "v90",
                "v92",
            )
        )
    }
    CALLS = {"tbs": 0, "h324": 1, "v18": 2, "t101": 3, "t30_tx": 4, "t30_rx": 5, "v_series": 6}
    RESULTS = {0: "in_progress", 1: "v8_offered", 2: "v8_call", 3: "non_v8_call", 4: "failed"}

    def __init__(
        self,
        calling,
        modulations=("v17", "v21", "v27ter", "v29"),
        call_function="t30_tx",
        tone="ansam_pr",
        send_ci=True,
    ):
        mods = 0
        for m in modulations:
            mods |= self.MODS[m]
        parms = _V8Parms(
            0,
            0 if calling else _TONES[tone],
            int(send_ci),
            -1,
            self.CALLS[call_function],
            mods,
            0,
            0,
            0,
            -1,
            -1,
        )
        self.result = None
        self.results = []

        def res(me, u, pr):
            r = C.cast(pr, C.POINTER(_V8Parms)).contents
            d = {
                "status": me.RESULTS.get(r.status, r.status),
                "tone": _TONE_NAMES.get(r.modem_connect_tone),
                "call_function": r.call_function,
                "protocol": r.protocol,
                "pstn_access": r.pstn_access,
                "modulations": sorted(n for n, v in me.MODS.items() if r.modulations & v),
            }
            me.results.append(d)
            me.result = d

        self._cb = C.CFUNCTYPE(None, C.c_void_p, C.c_void_p)(self._guard(res))
        self._parms = parms
        self._setup(load().v8_init(None, int(calling), C.byref(parms), _addr(self._cb), None))

    def tx(self, n=BLOCK):
        out = np.zeros(n, np.int16)
        got = self._pull(load().v8_tx, n)
        out[: len(got)] = got
        return out

    def rx(self, audio, block=BLOCK):
        self._push(load().v8_rx, audio, block)
        return self


# --------------------------------------------------------------------------- T.31


class T31(_Obj):
    """A T.31 Class 1 modem: AT bytes in (``at``) and out (``read``), audio in (``rx``) and out (``tx``).

    The line's signalling is the test's to play: ``control`` collects what the modem
    asks of it, as ``(operation, argument)``, e.g. ``("call", "5551234")`` on ATD,
    ``("answer", None)`` on ATA, ``("hangup", None)`` on ATH; answer with
    ``call_event("connected")`` on the calling side, ``call_event("answered")`` on the
    answering one, ``call_event("hangup")`` ... .
    """

    _free = "t31_free"
    _logging = "t31_get_logging_state"
    EVENTS = {
        "alerting": 1,
        "connected": 2,
        "answered": 3,
        "busy": 4,
        "no_dialtone": 5,
        "no_answer": 6,
        "hangup": 7,
    }
    CONTROLS = (
        "call",
        "answer",
        "hangup",
        "offhook",
        "onhook",
        "dtr",
        "rts",
        "cts",
        "car",
        "rng",
        "dsr",
        "setid",
        "restart",
        "dte_timeout",
    )

    def __init__(self, tep=False):
        lib = load()
        self._out = bytearray()
        self.control = []

        def at_tx(me, s, u, buf, n):
            me._out += bytes(buf[:n])
            return 0

        def ctl(me, s, u, op, num):
            name = self_controls[op] if 0 <= op < len(self_controls) else str(op)
            arg = None
            if num:
                # call and setid carry a string; the circuits carry a small integer in the pointer
                arg = (
                    C.cast(num, C.c_char_p).value.decode("latin1") if name in ("call", "setid") else int(num)
                )
            me.control.append((name, arg))
            return 0

        self_controls = self.CONTROLS
        self._c1 = _AT_TX(self._guard(at_tx, 0))
        self._c2 = _AT_CTL(self._guard(ctl, 0))
        self._setup(lib.t31_init(None, _addr(self._c1), None, _addr(self._c2), None, None, None))
        lib.t31_set_transmit_on_idle(self._p, 1)
        if tep:
            lib.t31_set_tep_mode(self._p, 1)

    def at(self, data):
        """Give the modem bytes from the DTE (str or bytes; a command ends with \\r)."""
        self._check()
        if isinstance(data, str):
            data = data.encode("latin1")
        load().t31_at_rx(self._p, data, len(data))
        self._check()

    def read(self):
        """Take what the modem has for the DTE."""
        out = bytes(self._out)
        self._out.clear()
        return out

    def peek(self):
        return bytes(self._out)

    def call_event(self, name):
        load().t31_call_event(self._p, self.EVENTS[name])

    def rx(self, audio, block=BLOCK):
        self._push(load().t31_rx, audio, block)
        return self

    def fillin(self, n):
        load().t31_rx_fillin(self._p, n)
        self.samples_in += n

    def tx(self, n=BLOCK):
        return self._pull(load().t31_tx, n)


# --------------------------------------------------------------------------- T.30


class _T30Stats(C.Structure):
    _fields_ = [
        (n, C.c_int)
        for n in (
            "bit_rate",
            "error_correcting_mode",
            "pages_tx",
            "pages_rx",
            "pages_in_file",
            "x_resolution",
            "y_resolution",
            "width",
            "length",
            "image_size",
            "encoding",
            "bad_rows",
            "longest_bad_row_run",
            "error_correcting_mode_retries",
            "current_status",
        )
    ] + [("_spare", C.c_int * 32)]


class FaxTerminal(_Obj):
    """A complete T.30 fax terminal on audio.

    calling          True: the calling end
    send / receive   TIFF paths; give one (or both: a polled/turned call)
    ecm              error correction on offer
    modems           subset of ("v27ter", "v29", "v17")
    compressions     subset of ("mh", "mr", "mmr")
    rx_encoding      how received pages are stored: "mh", "mr", "mmr"
    start_page, stop_page    of the file to send (None: all)
    ident, header    our number; the header line's text (None: no header line)
    min_scan_line_ms minimum scan line time asked for as a receiver
    resolutions, image_sizes   bit masks as in the library's headers, if not all

    While running: ``frames`` collects T.30 control frames as ``(incoming, bytes)``,
    ``phases`` the phase events as ``(phase, code)``; when ``done``, ``result`` is the
    completion code (0 = OK) and ``result_text`` its words; ``stats()`` at any time.
    """

    _free = "fax_free"
    _logging = "fax_get_logging_state"
    MODEMS = {"v27ter": 1, "v29": 2, "v17": 4}
    COMPRESSIONS = {"none": 1, "mh": 2, "mr": 4, "mmr": 8}
    ENCODINGS = {"mh": 1, "mr": 2, "mmr": 3}
    ENCODING_NAMES = {0: "none", 1: "mh", 2: "mr", 3: "mmr"}

    def __init__(
        self,
        calling,
        send=None,
        receive=None,
        ecm=True,
        modems=("v27ter", "v29", "v17"),
        compressions=("mh", "mr", "mmr"),
        rx_encoding="mmr",
        start_page=None,
        stop_page=None,
        ident=None,
        header=None,
        sub_address=None,
        password=None,
        nsf=None,
        min_scan_line_ms=0,
        resolutions=None,
        image_sizes=None,
        tep=False,
    ):
        lib = load()
        self.frames, self.phases = [], []
        self.done, self.result = False, None
        self._setup(lib.fax_init(None, int(bool(calling))))
        lib.fax_set_transmit_on_idle(self._p, 1)
        if tep:
            lib.fax_set_tep_mode(self._p, 1)
        t = self._t30 = lib.fax_get_t30_state(self._p)
        mask = 0
        for m in modems:
            mask |= self.MODEMS[m]
        lib.t30_set_supported_modems(t, mask)
        mask = 0
        for m in compressions:
            mask |= self.COMPRESSIONS[m]
        lib.t30_set_supported_compressions(t, mask)
        lib.t30_set_rx_encoding(t, self.ENCODINGS[rx_encoding])
        lib.t30_set_ecm_capability(t, int(bool(ecm)))
        if min_scan_line_ms:
            lib.t30_set_minimum_scan_line_time(t, min_scan_line_ms)
        if resolutions is not None:
            lib.t30_set_supported_resolutions(t, resolutions)
        if image_sizes is not None:
            lib.t30_set_supported_image_sizes(t, image_sizes)
        if ident:
            lib.t30_set_tx_ident(t, ident.encode())
        if header:
            lib.t30_set_tx_page_header_info(t, header.encode())
        if sub_address:
            lib.t30_set_tx_sub_address(t, sub_address.encode())
        if password:
            lib.t30_set_tx_password(t, password.encode())
        if nsf:
            lib.t30_set_tx_nsf(t, bytes(nsf), len(nsf))
        if send:
            lib.t30_set_tx_file(
                t,
                str(send).encode(),
                -1 if start_page is None else start_page,
                -1 if stop_page is None else stop_page,
            )
        if receive:
            lib.t30_set_rx_file(t, str(receive).encode(), -1)

        def phase(letter):
            def cb(me, s, u, code):
                me.phases.append((letter, code))
                return 0

            return cb

        def phase_e(me, s, u, code):
            me.phases.append(("E", code))
            me.result, me.done = code, True

        def frame(me, s, u, incoming, msg, n):
            me.frames.append((bool(incoming), bytes(msg[:n])))

        self._cbs = [
            _PHASE(self._guard(phase("B"), 0)),
            _PHASE(self._guard(phase("D"), 0)),
            _PHASE_E(self._guard(phase_e)),
            _FRAME_RT(self._guard(frame)),
        ]
        for fn, cb in zip(("phase_b", "phase_d", "phase_e", "real_time_frame"), self._cbs):
            getattr(lib, "t30_set_" + fn + "_handler")(t, _addr(cb), None)

    def log(self, level=5, tag=None):
        super().log(level, tag)
        st = load().t30_get_logging_state(self._t30)
        load().span_log_set_level(st, level | 0x0200 | 0x0800 | 0x2000 if level else 0)
        if tag:
            load().span_log_set_tag(st, tag.encode())

    def tx(self, n=BLOCK):
        return self._pull(load().fax_tx, n)

    def rx(self, audio, block=BLOCK):
        self._push(load().fax_rx, audio, block)
        return self

    def fillin(self, n):
        load().fax_rx_fillin(self._p, n)
        self.samples_in += n

    def terminate(self):
        """The call went down; closes the files."""
        load().t30_terminate(self._t30)

    def stats(self):
        st = _T30Stats()
        load().t30_get_transfer_statistics(self._t30, C.byref(st))
        d = {n: getattr(st, n) for n, _ in st._fields_ if n[0] != "_"}
        d["encoding"] = self.ENCODING_NAMES.get(d["encoding"], d["encoding"])
        return d

    @property
    def result_text(self):
        return None if self.result is None else load().t30_completion_code_to_str(self.result).decode()

    def received(self, what):
        """What the far end told: ident, sub_address, password, sender_ident, country, vendor, model, nsf ..."""
        lib = load()
        if what in ("nsf", "nsc", "nss"):
            ptr = C.c_void_p()
            n = getattr(lib, "t30_get_rx_" + what)(self._t30, C.byref(ptr))
            return C.string_at(ptr, n) if ptr and n else b""
        v = getattr(lib, "t30_get_rx_" + what)(self._t30)
        return v.decode("latin1") if v else None

    def frame_names(self, image_frames=False):
        """The control frames' names in order, with their direction: ``["< DIS", "> DCS", ...]``."""
        out = []
        for incoming, f in self.frames:
            if len(f) > 2 and (image_frames or f[2] & 0xFE not in (0x06, 0x60)):  # FCD
                out.append(("< " if incoming else "> ") + load().t30_frametype(f[2] & 0xFE).decode())
        return out


def run_call(
    a, b, channel_ab=None, channel_ba=None, max_seconds=600.0, block=BLOCK, until=None, tail_seconds=0.2
):
    """Join two full-duplex audio objects (anything with ``tx(n)`` and ``rx(audio)``).

    channel_ab / channel_ba: callables int16 -> int16, applied to each direction.
    The call ends when ``until()`` is true (default: both have ``done``) plus a short
    tail, or after ``max_seconds`` of line time.  Returns the seconds of line time.
    """
    if until is None:

        def until():
            return a.done and b.done

    zero = np.zeros(block, np.int16)
    left = None
    for n in range(int(max_seconds * SAMPLE_RATE / block)):
        x, y = a.tx(block), b.tx(block)
        if len(x) < block:
            x = np.concatenate([x, zero[len(x) :]])
        if len(y) < block:
            y = np.concatenate([y, zero[len(y) :]])
        b.rx(x if channel_ab is None else channel_ab(x), block)
        a.rx(y if channel_ba is None else channel_ba(y), block)
        if left is None and until():
            left = int(tail_seconds * SAMPLE_RATE / block)
        if left is not None:
            left -= 1
            if left < 0:
                break
    return (n + 1) * block / SAMPLE_RATE


# --------------------------------------------------------------------------- TIFF


def write_tiff(path, pages, xres=204.0, yres=196.0):
    """Write bilevel pages (2-D arrays, non-zero = black) as an uncompressed TIFF/F file.

    Fax widths at 204 dpi: 1728, 2048, 2432.  ``yres``: 98 standard, 196 fine, 391 superfine.
    """
    b = bytearray(b"II*\0\0\0\0\0")
    link = 4
    for n, page in enumerate(pages):
        im = (np.asarray(page) != 0).astype(np.uint8)
        h, w = im.shape
        data = np.packbits(im, axis=1).tobytes()
        off = len(b)
        b += data
        if len(b) & 1:
            b += b"\0"
        res = len(b)
        b += struct.pack("<IIII", int(round(xres * 100)), 100, int(round(yres * 100)), 100)
        ifd = len(b)
        struct.pack_into("<I", b, link, ifd)
        tags = [
            (254, 4, 1, 2),
            (256, 4, 1, w),
            (257, 4, 1, h),
            (258, 3, 1, 1),
            (259, 3, 1, 1),
            (262, 3, 1, 0),
            (266, 3, 1, 1),
            (273, 4, 1, off),
            (274, 3, 1, 1),
            (277, 3, 1, 1),
            (278, 4, 1, h),
            (279, 4, 1, len(data)),
            (282, 5, 1, res),
            (283, 5, 1, res + 8),
            (296, 3, 1, 2),
            (297, 3, 2, n | (len(pages) << 16)),
        ]
        b += struct.pack("<H", len(tags))
        for tag, typ, count, value in tags:
            b += struct.pack("<HHII", tag, typ, count, value)
        link = len(b)
        b += struct.pack("<I", 0)
    with open(path, "wb") as f:
        f.write(b)


_tiff = None


def read_tiff(path):
    """Read all pages of a bilevel TIFF as ``[(array of 0/1 with 1 = black, (xres, yres)), ...]``."""
    global _tiff
    if _tiff is None:
        _tiff = C.CDLL(ctypes.util.find_library("tiff") or "libtiff.so.6")
        _tiff.TIFFOpen.restype = C.c_void_p
        _tiff.TIFFOpen.argtypes = [C.c_char_p, C.c_char_p]
        _tiff.TIFFGetField.argtypes = [C.c_void_p, C.c_uint32, C.c_void_p]
        _tiff.TIFFReadScanline.argtypes = [C.c_void_p, C.c_void_p, C.c_uint32, C.c_uint16]
        _tiff.TIFFScanlineSize.restype = C.c_ssize_t
        _tiff.TIFFScanlineSize.argtypes = [C.c_void_p]
        _tiff.TIFFReadDirectory.argtypes = [C.c_void_p]
        _tiff.TIFFClose.argtypes = [C.c_void_p]
        for fn in (_tiff.TIFFSetWarningHandler, _tiff.TIFFSetErrorHandler):
            fn.argtypes, fn.restype = [C.c_void_p], C.c_void_p
            fn(None)
    t = _tiff.TIFFOpen(str(path).encode(), b"r")
    if not t:
        raise OSError("cannot open %s as TIFF" % path)
    pages = []
    try:
        while True:
            w, h = C.c_uint32(), C.c_uint32()
            photo = C.c_uint16()
            xr, yr = C.c_float(), C.c_float()
            _tiff.TIFFGetField(t, 256, C.byref(w))
            _tiff.TIFFGetField(t, 257, C.byref(h))
            _tiff.TIFFGetField(t, 262, C.byref(photo))
            _tiff.TIFFGetField(t, 282, C.byref(xr))
            _tiff.TIFFGetField(t, 283, C.byref(yr))
            size = _tiff.TIFFScanlineSize(t)
            buf = np.zeros((h.value, size), np.uint8)
            for row in range(h.value):
                if _tiff.TIFFReadScanline(t, buf.ctypes.data + row * size, row, 0) < 0:
                    raise OSError("bad image data in %s, row %d" % (path, row))
            im = np.unpackbits(buf, axis=1)[:, : w.value]
            if photo.value == 1:  # min-is-black
                im = 1 - im
            pages.append((im, (xr.value, yr.value)))
            if not _tiff.TIFFReadDirectory(t):
                break
    finally:
        _tiff.TIFFClose(t)
    return pages


# --------------------------------------------------------------------------- self-test


def _selftest():
    """The peer against itself: run ``python3 spandsp_peer.py``."""
    import os
    import tempfile

    count = [0, 0]

    def check(name, ok):
        count[not ok] += 1
        print("ok  " if ok else "FAIL", name)

    rng = np.random.default_rng(1)
    quiet = np.zeros(1600, np.int16)
    for mod, rates in MODULATIONS.items():
        for rate in rates:
            bits = rng.integers(0, 2, rate * 2, dtype=np.uint8)
            rx = ModemRx(mod, rate).rx(np.concatenate([quiet, ModemTx(mod, rate, bits).all(), quiet]))
            if mod in _FSK:  # a bit or two of carrier may come first
                same = any(np.array_equal(rx.bits[k : k + len(bits) - 4], bits[:-4]) for k in range(4))
            else:
                same = rx.trained or "trained" in rx.event_names()
                same = same and np.array_equal(rx.bits[: len(bits)], bits)
            check("%s %d loopback, bits equal" % (mod, rate), same)
    bits = rng.integers(0, 2, 14400, dtype=np.uint8)
    tx, rx = ModemTx("v17", 14400, bits), ModemRx("v17", 14400)
    rx.rx(np.concatenate([quiet, tx.all(), quiet]))
    rx.clear()
    rx.restart(short_train=True)
    tx.set_bits(bits)
    tx.restart(short_train=True)
    rx.rx(np.concatenate([tx.all(), quiet]))
    check("v17 14400 short training, bits equal", np.array_equal(rx.bits[: len(bits)], bits))
    frames = [bytes(rng.integers(0, 256, n, dtype=np.uint8)) for n in (3, 20, 256)]
    check("hdlc encode/decode", hdlc_decode(hdlc_encode(frames)) == [(f, True) for f in frames])
    broken = hdlc_encode(frames).copy()
    broken[400] ^= 1
    check("hdlc: one flipped bit is noticed", [ok for _, ok in hdlc_decode(broken)].count(True) == 2)
    for mod, rate, what in (("v17", 14400, frames), ("v21ch2", 300, frames[:2])):
        h = HdlcRx()
        ModemRx(mod, rate, h).rx(np.concatenate([quiet, ModemTx(mod, rate, HdlcTx(what)).all(), quiet]))
        check("hdlc over %s" % mod, [f for f, ok in h.frames if ok] == what)
    for kind in ("cng", "ced", "ans_pr", "ansam", "ansam_pr", "bell_ans", "calling"):
        t = ConnectToneTx(kind)
        a = np.concatenate([t.tx(160) for _ in range(150)])
        got = ConnectToneRx(kind).rx(a).tones
        check("tone %s" % kind, bool(got) and got[0][1] == {"ced": "ans"}.get(kind, kind))
    d = DtmfTx("0123456789*#ABCD")
    a = np.concatenate([d.tx(160) for _ in range(150)])
    check("dtmf", DtmfRx().rx(a).digits == "0123456789*#ABCD")
    a, b = V8(True), V8(False)
    run_call(
        a, b, max_seconds=12, until=lambda: all(v.result and v.result["status"] == "v8_call" for v in (a, b))
    )
    check(
        "v8 negotiation",
        a.result["modulations"] == b.result["modulations"] == ["v17", "v21", "v27ter", "v29"],
    )
    for rate in (1200, 2400):
        x = [rng.integers(0, 2, 60000, dtype=np.uint8) for _ in "ab"]
        a, b = V22bis(rate, True, x[0]), V22bis(rate, False, x[1])
        run_call(a, b, max_seconds=6, until=lambda: False)
        check(
            "v22bis %d both ways" % rate,
            all(s.tobytes().find(r.bits[-2000:].tobytes()) >= 0 for s, r in ((x[0], b), (x[1], a))),
        )

    a, b = T31(), T31()
    for m in (a, b):
        m.at("ATE0\r")
        m.at("AT+FCLASS=1\r")
        check("t31 answers", m.read().endswith(b"\r\nOK\r\n"))

    def until(cond, seconds=8.0):
        run_call(a, b, max_seconds=seconds, until=cond, tail_seconds=0.0)
        return cond()

    a.at("ATD123\r")
    b.at("ATA\r")
    check("t31 asks for the line", a.control[0] == ("call", "123") and b.control[0] == ("answer", None))
    a.call_event("connected")
    b.call_event("answered")
    check("t31 sends CED and preamble", until(lambda: b"CONNECT" in b.peek()))
    frame = bytes([0xFF, 0x13, 0x40, 1, 2, 3])
    b.read()
    b.at(frame + b"\x10\x03")
    check("t31 passes a frame", until(lambda: b"OK" in a.peek()) and frame in a.read())
    until(lambda: b"OK" in b.peek())
    b.read()
    b.at("AT+FRM=145\r")
    a.at("AT+FTM=145\r")
    until(lambda: b"CONNECT" in a.peek())
    a.read()
    data = bytes(rng.integers(0, 16, 2000, dtype=np.uint8))
    a.at(data + b"\x10\x03")
    check("t31 passes V.17 data", until(lambda: b"NO CARRIER" in b.peek()) and data in b.read())

    pages = []
    for k in range(2):
        im = (rng.random((300 + 100 * k, 1728)) < 0.02).astype(np.uint8)
        im |= np.roll(im, 1, 0) | np.roll(im, 1, 1)
        im[40:60, 100:1600] = 1
        pages.append(im)
    with tempfile.TemporaryDirectory() as tmp:
        src, dst = os.path.join(tmp, "a.tif"), os.path.join(tmp, "b.tif")
        write_tiff(src, pages, yres=98.0)
        check("tiff round trip", all(np.array_equal(p, q) for p, (q, _) in zip(pages, read_tiff(src))))
        for top, modems, rate in (
            ("v17", ("v17", "v29", "v27ter"), 14400),
            ("v29", ("v29", "v27ter"), 9600),
            ("v27ter", ("v27ter",), 4800),
        ):
            for ecm, comp in ((True, "mmr"), (True, "mh"), (False, "mr"), (False, "mh")):
                comps = {"mh": ("mh",), "mr": ("mh", "mr"), "mmr": ("mh", "mr", "mmr")}[comp]
                t = FaxTerminal(True, send=src, ecm=ecm, modems=modems, compressions=comps, ident="+1 555")
                r = FaxTerminal(False, receive=dst, ecm=ecm, modems=modems, compressions=comps)
                run_call(t, r)
                st = r.stats()
                ident = r.received("ident")
                ok = (
                    t.result,
                    r.result,
                    st["bit_rate"],
                    st["encoding"],
                    st["error_correcting_mode"],
                    ident,
                ) == (0, 0, rate, comp, int(ecm), "+1 555")
                t.close()
                r.close()
                got = read_tiff(dst)
                ok = ok and len(got) == 2 and all(np.array_equal(p, q) for p, (q, _) in zip(pages, got))
                os.unlink(dst)
                check("t30 %s %s ecm=%s: two pages equal" % (top, comp, ecm), ok)
    print("%d passed, %d failed" % (count[0], count[1]))
    return count[1]


if __name__ == "__main__":
    raise SystemExit(1 if _selftest() else 0)
