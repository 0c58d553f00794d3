# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""Resumable Server-Sent Events, by libweir.

    hub = weir.Hub()
    answer = hub.open("answers/7")
    answer.publish("Hello", type="token")

    response = hub.attach("answers/7", last_event_id=header)
    # send response.head, then, where there is a response.subscriber, what it
    # reads: b"" is the end, None is "nothing now" until a notice says READABLE

Nothing here touches a socket or starts a thread. After hub.timeout() seconds,
and after every call, hub.notices() says what has to be done; server.py shows it
in asyncio. Options have the names that they have in <weir/hub.h>.

Everything may be called from any thread: a hub has a lock. Calls keep that of
the interpreter too, so that a handle may be dropped anywhere. (Where the
interpreter has none, close handles instead.)
"""
import collections
import ctypes
import ctypes.util
import functools
import os
import threading
from ctypes import POINTER, byref, c_char_p, c_int, c_void_p
from ctypes import c_int32 as int32, c_size_t as size
from ctypes import c_uint32 as uint32, c_uint64 as uint64
import weakref

CONSTANTS = {
    # Error.code
    "ENOMEM": -1, "EINVAL": -2, "ENOSPACE": -3, "EOVERFLOW": -4, "EAGAIN": -5,
    "EDONE": -6, "EBUSY": -7, "EGONE": -8, "ENOENT": -9, "EEXISTS": -10,
    "EENDED": -11, "EFENCED": -12, "EMALFORMED": -13, "EABSENT": -14,
    "EDRAINING": -15, "ELOG": -16, "EUNKNOWN": -17, "ESTALE": -18,
    "EENTROPY": -19, "ESTREAMS": -20, "ESUBSCRIBERS": -21, "ECROWD": -22,
    "ECLIENT": -23, "ETOOBIG": -24, "ERESIDENT": -25, "EPENDING": -26,
    "EUTF8": -27, "EJSON": -28, "ERESERVED": -29, "ESTALLED": -30, "EIO": -31,
    "EFULL": -32, "ELOCKED": -33, "EFORMAT": -34, "EACCESS": -35,
    # Notice.kind, of a Subscriber, of a Stream; Notice.timer
    "NOTICE_READABLE": 2, "NOTICE_CLOSING": 3, "NOTICE_ABORT": 4,
    "NOTICE_EXPIRED": 18, "NOTICE_ABANDONED": 19, "NOTICE_CANCELLED": 20,
    "NOTICE_ENDED": 21,
    "TIMER_FIRST_EVENT": 1, "TIMER_IDLE": 2, "TIMER_LIFETIME": 3,
    # Options: on_duplicate of open and attach; start; on_idle and its kin; flags
    "DUPLICATE_JOIN": 0, "DUPLICATE_REPLACE": 1, "DUPLICATE_REJECT": 2,
    "CLIENT_REPLACE": 0, "CLIENT_ALLOW": 1, "CLIENT_REJECT": 2,
    "FROM_START": 0, "FROM_HEAD": 1,
    "ACTION_NOTICE": 0, "ACTION_END": 1, "ACTION_FAIL": 2,
    "OPEN_EXISTING": 1, "OPEN_UNENDED": 2, "OPEN_ENVELOPE": 8, "OPEN_LOOK": 16,
    "ATTACH_PING": 1, "ATTACH_STRICT": 2, "EVENT_JSON": 1,
    "STREAM_ID_MAX": 765,
}
globals().update(CONSTANTS)


# --- The C interface -------------------------------------------------------
# test_weir.py compares it with the headers.

class weir_hub_options(ctypes.Structure):
    _fields_ = [
        ("size", size), ("allocator", c_void_p), ("clock", c_void_p),
        ("clock_user", c_void_p), ("entropy", c_void_p),
        ("entropy_user", c_void_p), ("log", c_void_p), ("notify", c_void_p),
        ("notify_user", c_void_p), ("wake", c_void_p), ("wake_user", c_void_p),
        ("trace", c_void_p), ("trace_user", c_void_p), ("prefix", c_char_p),
        ("prefix_len", size), ("cursor_format", int32), ("flags", uint32),
        ("max_streams", uint64), ("max_subscribers", uint64),
        ("max_stream_subscribers", uint64), ("max_client_subscribers", uint64),
        ("max_event_bytes", uint64), ("max_event_lines", uint64),
        ("max_pending", uint64), ("max_resident", uint64),
        ("history_bytes", uint64), ("history_events", uint64),
        ("history_age", uint64), ("signal_ring", uint32), ("recheck", uint32),
        ("reserved", uint64 * 8)]


class weir_open_options(ctypes.Structure):
    _fields_ = [
        ("size", size), ("key", c_char_p), ("key_len", size),
        ("user", c_void_p), ("on_duplicate", int32), ("flags", uint32),
        ("prefix", c_char_p), ("prefix_len", size), ("members", c_char_p),
        ("members_len", size), ("first_event", uint64), ("idle", uint64),
        ("lifetime", uint64), ("abandoned", uint64), ("linger", uint64),
        ("on_first_event", int32), ("on_idle", int32),
        ("on_lifetime", int32), ("on_abandoned", int32), ("label", uint64),
        ("reserved", uint64 * 7)]


class weir_request(ctypes.Structure):
    _fields_ = [
        ("size", size), ("header", c_char_p), ("header_len", size),
        ("query", c_char_p), ("query_len", size), ("path", c_char_p),
        ("path_len", size), ("reserved", uint64 * 2)]


class weir_attach_options(ctypes.Structure):
    _fields_ = [
        ("size", size), ("key", c_char_p), ("key_len", size),
        ("user", c_void_p), ("request", POINTER(weir_request)),
        ("start", int32), ("flags", uint32), ("client", c_char_p),
        ("client_len", size), ("on_duplicate", int32), ("reserved0", uint32),
        ("heartbeat", uint32), ("heartbeat_jitter", uint32), ("stall", uint32),
        ("retry", uint32), ("retry_jitter", uint32),
        ("retry_replaced", uint32), ("lifetime", uint64),
        ("lifetime_jitter", uint64), ("reserved", uint64 * 8)]


class weir_event(ctypes.Structure):
    _fields_ = [
        ("size", size), ("type", c_char_p), ("type_len", size),
        ("data", c_char_p), ("data_len", size), ("tag", uint64),
        ("flags", uint32), ("reserved0", uint32), ("reserved", uint64 * 2)]


class weir_notice(ctypes.Structure):
    _fields_ = [
        ("size", size), ("kind", int32), ("error", int32), ("user", c_void_p),
        ("subscriber", c_void_p), ("stream", c_void_p), ("tag", uint64),
        ("seq", uint64), ("verdict", int32), ("timer", int32),
        ("retry", uint32), ("reserved0", uint32), ("reserved", uint64 * 1)]


class weir_response(ctypes.Structure):
    _fields_ = [
        ("size", size), ("status", int32), ("stream", uint32),
        ("verdict", int32), ("error", int32), ("retry", uint32),
        ("reserved0", uint32), ("key", c_void_p), ("key_len", size),
        ("options", c_void_p), ("reserved", uint64 * 2)]


class weir_field(ctypes.Structure):
    _fields_ = [
        ("name", c_void_p), ("name_len", size), ("value", c_void_p),
        ("value_len", size)]


handle = c_void_p
CALLS = {
    "weir_version": [c_char_p],
    "weir_strerror": [c_char_p, c_int],
    "weir_verdict_name": [c_char_p, c_int],
    "weir_hub_options_init": [None, POINTER(weir_hub_options), size],
    "weir_hub_new": [c_int, POINTER(weir_hub_options), POINTER(handle)],
    "weir_hub_free": [None, handle],
    "weir_hub_get_timeout": [c_int, handle],
    "weir_hub_next": [c_int, handle, POINTER(weir_notice)],
    "weir_hub_drain": [c_int, handle, uint64, uint32],
    "weir_open_options_init": [None, POINTER(weir_open_options), size],
    "weir_hub_open": [c_int, handle, POINTER(weir_open_options),
                      POINTER(handle)],
    "weir_event_init": [None, POINTER(weir_event), size],
    "weir_stream_publish": [c_int, handle, POINTER(weir_event), size,
                            POINTER(uint64)],
    "weir_stream_signal": [c_int, handle, POINTER(weir_event),
                           POINTER(uint64)],
    "weir_stream_end": [c_int, handle, c_char_p, size, uint64,
                        POINTER(uint64)],
    "weir_stream_fail": [c_int, handle, c_char_p, size, c_char_p, size, uint64,
                         POINTER(uint64)],
    "weir_stream_cancel": [c_int, handle, c_char_p, size],
    "weir_stream_release": [None, handle],
    "weir_request_init": [None, POINTER(weir_request), size],
    "weir_attach_options_init": [None, POINTER(weir_attach_options), size],
    "weir_http_attach": [c_int, handle, POINTER(weir_attach_options), c_void_p,
                         POINTER(handle), POINTER(weir_response)],
    "weir_http_write_head": [c_int, POINTER(weir_response), c_char_p, size,
                       POINTER(size)],
    "weir_http_write_body": [c_int, POINTER(weir_response), c_char_p, size,
                       POINTER(size)],
    "weir_http_get_field": [c_int, POINTER(weir_response), size, c_char_p, size,
                        POINTER(weir_field)],
    "weir_subscriber_read": [c_int, handle, c_char_p, size, POINTER(size)],
    "weir_subscriber_close": [c_int, handle, c_char_p, size, uint32],
    "weir_subscriber_release": [None, handle],
}

# PyDLL keeps the interpreter's lock: every call is short.
LIB = ctypes.PyDLL(os.environ.get("WEIR_LIBRARY") or
                   ctypes.util.find_library("weir") or "libweir.so.0")
for _name, _types in CALLS.items():
    getattr(LIB, _name).restype, *getattr(LIB, _name).argtypes = _types


# --- The module --------------------------------------------------------------

class Error(Exception):
    """A call has failed: `code` says why, for programs."""

    def __init__(self, code):
        super().__init__(LIB.weir_strerror(code).decode())
        self.code = code


def version():
    return LIB.weir_version().decode()


def _check(result):
    if result < 0:
        raise Error(result)


def _bytes(text):
    return text.encode() if isinstance(text, str) else bytes(text)


def _number(type, value):
    """The number, if the type holds it: ctypes keeps what fits."""
    number = type(value)
    if number.value != value:
        raise OverflowError("out of range: %r" % value)
    return number


def _make(struct, init, options):
    """A struct with its defaults and these options: numbers, and texts, whose
    length goes into their twin. The struct keeps the texts alive."""
    init(byref(struct), ctypes.sizeof(struct))
    for name, value in options.items():
        is_text = isinstance(value, (str, bytes, bytearray))
        if not (hasattr(struct, name + "_len") if is_text else
                isinstance(getattr(struct, name, None), int)):
            raise TypeError("there is no such option: %s=%r" % (name, value))
        if is_text:
            value = _bytes(value)
            setattr(struct, name + "_len", len(value))
        else:
            value = _number(dict(struct._fields_)[name], value)
        setattr(struct, name, value)
    return struct


def _event(data, type, flags):
    return _make(weir_event(), LIB.weir_event_init,
                 {"data": data, "type": type, "flags": flags})


def _whole(call, response):
    """What a call writes that tells the length it needs."""
    length = size()
    result = call(byref(response), None, 0, byref(length))
    if result == ENOSPACE:
        room = ctypes.create_string_buffer(length.value)
        result = call(byref(response), room, length, byref(length))
        _check(result)
        return room.raw
    _check(result)
    return b""


def _alone(method):
    """A method that holds the lock of its hub: no other thread closes what it
    uses, or writes where it reads."""
    @functools.wraps(method)
    def locked(self, *args, **options):
        with self._lock:
            return method(self, *args, **options)
    return locked


class _Handle:
    """A handle of the library's, released when closed or dropped."""

    def __init__(self, hub, address):
        self._address = address
        self._hub = hub
        self._lock = hub._lock
        hub._handles[address] = self

    def _use(self):
        if self._address is None:
            raise Error(EGONE)
        return self._address

    @_alone
    def close(self):
        address, self._address = self._address, None
        if address is not None:
            self._free(address)

    __del__ = close.__wrapped__  # the last who has it: the lock may be taken


class Stream(_Handle):
    """The producer's end of a stream. To close it does not end the stream."""

    _free = staticmethod(LIB.weir_stream_release)

    @_alone
    def publish(self, data, type="", flags=0):
        """Publish an event; its number."""
        seq = uint64()
        _check(LIB.weir_stream_publish(
            self._use(), byref(_event(data, type, flags)), 1, byref(seq)))
        return seq.value

    @_alone
    def signal(self, data, type="", flags=0):
        """Tell those who are connected now; how many they are."""
        reached = uint64()
        _check(LIB.weir_stream_signal(
            self._use(), byref(_event(data, type, flags)), byref(reached)))
        return reached.value

    @_alone
    def end(self, reason="done"):
        """End the stream; the number of its end, as of every event."""
        seq, reason = uint64(), _bytes(reason)
        _check(LIB.weir_stream_end(
            self._use(), reason, len(reason), 0, byref(seq)))
        return seq.value

    @_alone
    def fail(self, code, message):
        """End it by failing. Clients see both texts."""
        seq, code, message = uint64(), _bytes(code), _bytes(message)
        _check(LIB.weir_stream_fail(
            self._use(), code, len(code), message, len(message), 0,
            byref(seq)))
        return seq.value

    @_alone
    def cancel(self, reason="cancelled"):
        """Ask the producer to stop, and end the stream."""
        reason = _bytes(reason)
        _check(LIB.weir_stream_cancel(self._use(), reason, len(reason)))


class Subscriber(_Handle):
    """A client's connection. To close it leaves the stream."""

    _free = staticmethod(LIB.weir_subscriber_release)

    @_alone
    def read(self, most=65536):
        """The next bytes for the client; None: nothing now; b"": nothing ever
        again."""
        room, length = self._hub._room, size()
        result = LIB.weir_subscriber_read(
            self._use(), room, _number(size, min(most, len(room))),
            byref(length))
        if result == EAGAIN:
            return None
        if result != EDONE:
            _check(result)
        return ctypes.string_at(room, length.value)

    @_alone
    def dismiss(self, reason="expired", retry=0):
        """Ask the client to go, and to come back after `retry` ms (0: as its
        attach says): a last frame, then the end."""
        reason = _bytes(reason)
        _check(LIB.weir_subscriber_close(self._use(), reason, len(reason),
                                         _number(uint32, retry)))


class Response:
    """The answer to a client: `status`, `verdict` (a word), `fields` (pairs of
    strings), `body`; `head` is status and fields as HTTP/1.1. The bytes of
    `subscriber` follow, unless it is None."""

    def __init__(self, response, subscriber):
        self.status = response.status
        self.verdict = LIB.weir_verdict_name(response.verdict).decode()
        self.subscriber = subscriber
        self.head = _whole(LIB.weir_http_write_head, response)
        self.body = b""
        if not response.stream:
            self.body = _whole(LIB.weir_http_write_body, response)
        self.fields = []
        field = weir_field()
        room = ctypes.create_string_buffer(STREAM_ID_MAX + 1)  # and a NUL
        while LIB.weir_http_get_field(byref(response), len(self.fields), room,
                                  len(room), byref(field)) == 0:
            self.fields.append(
                (ctypes.string_at(field.name, field.name_len).decode(),
                 ctypes.string_at(field.value, field.value_len).decode()))


Notice = collections.namedtuple("Notice", "kind source error seq timer")
Notice.__doc__ = """NOTICE_..., the Stream or Subscriber that it is about, and
what <weir/hub.h> says of the rest."""


class Hub:
    """The registry of streams."""

    _address = None

    def __init__(self, **options):
        self._lock = threading.RLock()
        hub = handle()
        _check(LIB.weir_hub_new(byref(_make(
            weir_hub_options(), LIB.weir_hub_options_init, options)),
            byref(hub)))
        self._address = hub.value
        self._handles = weakref.WeakValueDictionary()
        self._room = ctypes.create_string_buffer(65536)

    def _use(self):
        if self._address is None:
            raise Error(EGONE)
        return self._address

    @_alone
    def open(self, key, **options):
        """Open a stream for writing: begin it, or join it; a Stream."""
        stream = handle()
        _check(LIB.weir_hub_open(self._use(), byref(_make(
            weir_open_options(), LIB.weir_open_options_init,
            dict(options, key=key))), byref(stream)))
        return Stream(self, stream.value)

    @_alone
    def attach(self, key, *, last_event_id="", query="", **options):
        """Attach a client, whose cursor is in the header or in the query of
        its request; a Response."""
        request = _make(weir_request(), LIB.weir_request_init,
                        {"header": last_event_id, "query": query})
        attach = _make(weir_attach_options(), LIB.weir_attach_options_init,
                       dict(options, key=key))
        attach.request = ctypes.pointer(request)
        subscriber = handle()
        response = weir_response(size=ctypes.sizeof(weir_response))
        _check(LIB.weir_http_attach(self._use(), byref(attach), None,
                                    byref(subscriber), byref(response)))
        # The response points to the key, which `attach` keeps until here.
        return Response(response, Subscriber(self, subscriber.value)
                        if subscriber else None)

    def notices(self):
        """The notices that wait. Between them everything may be called."""
        return iter(self._next, None)

    @_alone
    def _next(self):
        notice = weir_notice()
        while self._address is not None:
            notice.size = ctypes.sizeof(notice)
            result = LIB.weir_hub_next(self._address, byref(notice))
            if result == EAGAIN:
                break
            _check(result)
            source = self._handles.get(notice.subscriber or notice.stream)
            if source is not None:
                return Notice(notice.kind, source, notice.error, notice.seq,
                              notice.timer)
        return None

    @_alone
    def timeout(self):
        """Seconds until notices() is to be asked again; None is for ever."""
        wait = LIB.weir_hub_get_timeout(self._use())
        return None if wait < 0 else wait / 1000

    @_alone
    def drain(self, over, retry=0):
        """Take nobody in, and tell all to go in the next `over` seconds, and to
        come back after `retry` ms."""
        _check(LIB.weir_hub_drain(
            self._use(), _number(uint64, int(over * 1000)),
            _number(uint32, retry)))

    @_alone
    def close(self):
        """Forget all streams. Their handles answer EGONE."""
        address, self._address = self._address, None
        if address is not None:
            LIB.weir_hub_free(address)

    __del__ = close.__wrapped__  # the last who has it: the lock may be taken

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()
