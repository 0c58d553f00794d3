// weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
//
// Resumable Server-Sent Events, by libweir.
//
//   const hub = new weir.Hub();
//   const answer = hub.open('answers/7');
//   answer.publish('Hello', { type: 'token' });
//
//   const response = hub.attach('answers/7', { lastEventId: header });
//   res.writeHead(response.status, response.fields.flat());
//   // then, where there is a response.subscriber, what it reads: an empty
//   // buffer is the end, null is "nothing now" until a notice says READABLE
//
// Nothing here touches a socket or starts a thread. After hub.timeout()
// milliseconds, and after every call, hub.notices() says what has to be done.
// Options have the names that they have in <weir/hub.h>.
//
// Handles are released by close(): the collector does not do that.
'use strict';

const koffi = require('koffi');

const constants = {
  // Error.code
  ENOMEM: -1, EINVAL: -2, ENOSPACE: -3, EOVERFLOW: -4, EAGAIN: -5, EDONE: -6,
  EBUSY: -7, EGONE: -8, ENOENT: -9, EEXISTS: -10, EENDED: -11, EFENCED: -12,
  EMALFORMED: -13, EABSENT: -14, EDRAINING: -15, ELOG: -16, EUNKNOWN: -17,
  ESTALE: -18, EENTROPY: -19, ESTREAMS: -20, ESUBSCRIBERS: -21, ECROWD: -22,
  ECLIENT: -23, ETOOBIG: -24, ERESIDENT: -25, EPENDING: -26, EUTF8: -27,
  EJSON: -28, ERESERVED: -29, ESTALLED: -30, EIO: -31, EFULL: -32,
  ELOCKED: -33, EFORMAT: -34, EACCESS: -35,
  // A notice's kind, of a Subscriber, of a Stream; its timer
  NOTICE_READABLE: 2, NOTICE_CLOSING: 3, NOTICE_ABORT: 4,
  NOTICE_EXPIRED: 18, NOTICE_ABANDONED: 19, NOTICE_CANCELLED: 20,
  NOTICE_ENDED: 21,
  TIMER_FIRST_EVENT: 1, TIMER_IDLE: 2, TIMER_LIFETIME: 3,
  // Options: on_duplicate of open, of attach; start; on_idle and its kin; flags
  DUPLICATE_JOIN: 0, DUPLICATE_REPLACE: 1, DUPLICATE_REJECT: 2,
  CLIENT_REPLACE: 0, CLIENT_ALLOW: 1, CLIENT_REJECT: 2,
  FROM_START: 0, FROM_HEAD: 1,
  ACTION_NOTICE: 0, ACTION_END: 1, ACTION_FAIL: 2,
  OPEN_EXISTING: 1, OPEN_UNENDED: 2, OPEN_ENVELOPE: 8, OPEN_LOOK: 16,
  ATTACH_PING: 1, ATTACH_STRICT: 2, EVENT_JSON: 1,
  STREAM_ID_MAX: 765,
};
const { EAGAIN, EDONE, EGONE, ENOSPACE } = constants;

// --- The C interface --------------------------------------------------------
// test.js compares it with the headers.

const size = 'size_t', int32 = 'int32_t', uint32 = 'uint32_t',
      uint64 = 'uint64_t', pointer = 'void *';
const reserved = (count) => koffi.array(uint64, count);

const layouts = {
  weir_hub_options: {
    size, allocator: pointer, clock: pointer, clock_user: pointer,
    entropy: pointer, entropy_user: pointer, log: pointer, notify: pointer,
    notify_user: pointer, wake: pointer, wake_user: pointer, trace: pointer,
    trace_user: pointer, prefix: pointer, prefix_len: size,
    cursor_format: int32, flags: uint32, max_streams: uint64,
    max_subscribers: uint64, max_stream_subscribers: uint64,
    max_client_subscribers: uint64, max_event_bytes: uint64,
    max_event_lines: uint64, max_pending: uint64, max_resident: uint64,
    history_bytes: uint64, history_events: uint64, history_age: uint64,
    signal_ring: uint32, recheck: uint32, reserved: reserved(8),
  },
  weir_open_options: {
    size, key: pointer, key_len: size, user: pointer, on_duplicate: int32,
    flags: uint32, prefix: pointer, prefix_len: size, members: pointer,
    members_len: size, first_event: uint64, idle: uint64, lifetime: uint64,
    abandoned: uint64, linger: uint64, on_first_event: int32,
    on_idle: int32, on_lifetime: int32, on_abandoned: int32,
    label: uint64, reserved: reserved(7),
  },
  weir_request: {
    size, header: pointer, header_len: size, query: pointer, query_len: size,
    path: pointer, path_len: size, reserved: reserved(2),
  },
  weir_attach_options: {
    size, key: pointer, key_len: size, user: pointer,
    request: 'weir_request *', start: int32, flags: uint32, client: pointer,
    client_len: size, on_duplicate: int32, reserved0: uint32,
    heartbeat: uint32, heartbeat_jitter: uint32, stall: uint32, retry: uint32,
    retry_jitter: uint32, retry_replaced: uint32, lifetime: uint64,
    lifetime_jitter: uint64, reserved: reserved(8),
  },
  weir_event: {
    size, type: pointer, type_len: size, data: pointer, data_len: size,
    tag: uint64, flags: uint32, reserved0: uint32, reserved: reserved(2),
  },
  weir_notice: {
    size, kind: int32, error: int32, user: pointer, subscriber: pointer,
    stream: pointer, tag: uint64, seq: uint64, verdict: int32, timer: int32,
    retry: uint32, reserved0: uint32, reserved: reserved(1),
  },
  weir_response: {
    size, status: int32, stream: uint32, verdict: int32, error: int32,
    retry: uint32, reserved0: uint32, key: pointer, key_len: size,
    options: pointer, reserved: reserved(2),
  },
  weir_field: {
    name: pointer, name_len: size, value: pointer, value_len: size,
  },
};
const structs = {};
for (const [name, fields] of Object.entries(layouts)) {
  structs[name] = koffi.struct(name, fields);
}

const prototypes = [
  'const char *weir_version(void)',
  'const char *weir_strerror(int error)',
  'const char *weir_verdict_name(int verdict)',
  'void weir_hub_options_init(_Out_ weir_hub_options *options, size_t size)',
  'int weir_hub_new(const weir_hub_options *options, _Out_ void **hub)',
  'void weir_hub_free(void *hub)',
  'int weir_hub_get_timeout(void *hub)',
  'int weir_hub_next(void *hub, _Inout_ weir_notice *notice)',
  'int weir_hub_drain(void *hub, uint64_t over, uint32_t retry)',
  'void weir_open_options_init(_Out_ weir_open_options *options, size_t size)',
  'int weir_hub_open(void *hub, const weir_open_options *options, ' +
      '_Out_ void **stream)',
  'void weir_event_init(_Out_ weir_event *event, size_t size)',
  'int weir_stream_publish(void *stream, const weir_event *events, ' +
      'size_t count, _Out_ uint64_t *last)',
  'int weir_stream_signal(void *stream, const weir_event *signal, ' +
      '_Out_ uint64_t *reached)',
  'int weir_stream_end(void *stream, const void *reason, ' +
      'size_t reason_len, uint64_t tag, _Out_ uint64_t *seq)',
  'int weir_stream_fail(void *stream, const void *code, size_t code_len, ' +
      'const void *message, size_t message_len, uint64_t tag, ' +
      '_Out_ uint64_t *seq)',
  'int weir_stream_cancel(void *stream, const void *reason, ' +
      'size_t reason_len)',
  'void weir_stream_release(void *stream)',
  'void weir_request_init(_Out_ weir_request *request, size_t size)',
  'void weir_attach_options_init(_Out_ weir_attach_options *options, ' +
      'size_t size)',
  'int weir_http_attach(void *hub, const weir_attach_options *attach, ' +
      'const void *options, _Out_ void **subscriber, ' +
      '_Inout_ weir_response *response)',
  'int weir_http_write_head(const weir_response *response, void *dst, ' +
      'size_t cap, _Out_ size_t *len)',
  'int weir_http_write_body(const weir_response *response, void *dst, ' +
      'size_t cap, _Out_ size_t *len)',
  'int weir_http_get_field(const weir_response *response, size_t index, ' +
      'void *dst, size_t cap, _Out_ weir_field *field)',
  'int weir_subscriber_read(void *subscriber, void *dst, size_t cap, ' +
      '_Out_ size_t *len)',
  'int weir_subscriber_close(void *subscriber, const void *reason, ' +
      'size_t reason_len, uint32_t retry)',
  'void weir_subscriber_release(void *subscriber)',
];
const library = koffi.load(process.env.WEIR_LIBRARY || 'libweir.so.0');
const lib = {};
for (const prototype of prototypes) {
  lib[/(\w+)\(/.exec(prototype)[1]] = library.func(prototype);
}

// --- The module --------------------------------------------------------------

/** A call has failed: `code` says why, for programs. */
class WeirError extends Error {
  constructor(code) {
    super(lib.weir_strerror(code));
    this.name = 'WeirError';
    this.code = code;
  }
}

function check(result) {
  if (result < 0) {
    throw new WeirError(result);
  }
}

const limits = { [int32]: 2 ** 31, [uint32]: 2 ** 32, [uint64]: 2 ** 64 };

/** The number, or bigint, if the type holds it: koffi would change it. */
function number(type, value) {
  if (!(Number.isSafeInteger(value) || typeof value === 'bigint') ||
      value < 0 || value >= limits[type]) {
    throw new RangeError(`out of range: ${value}`);
  }
  return value;
}

/** A struct with its defaults and these options: numbers, and texts, whose
 * length goes into their twin. */
function make(name, options) {
  const struct = {};
  lib[name + '_init'](struct, koffi.sizeof(structs[name]));
  for (let [option, value] of Object.entries(options)) {
    const type = layouts[name][option];
    const isText = typeof value === 'string' || value instanceof Uint8Array;
    const isNumber = typeof value === 'number' || typeof value === 'bigint';
    if (!(isText && option + '_len' in struct || isNumber && type in limits)) {
      throw new TypeError(`there is no such option: ${option} = ${value}`);
    }
    if (isText) {
      value = Buffer.from(value);
      struct[option + '_len'] = value.length;
    } else {
      number(type, value);
    }
    struct[option] = value;
  }
  return struct;
}

/** What a call writes that tells the length it needs. */
function whole(call, response) {
  const length = [0];
  const result = call(response, null, 0, length);
  if (result !== ENOSPACE) {
    check(result);
    return Buffer.alloc(0);
  }
  const room = Buffer.alloc(length[0]);
  check(call(response, room, room.length, length));
  return room;
}

function text(at, length) {
  return koffi.decode.string(at, length);
}

/** A handle of the library's, released when closed. */
class Handle {
  #hub;
  #address;

  constructor(hub, address) {
    this.#hub = hub;
    this.#address = address;
    hub.handles.set(address, this);
  }

  get address() {
    if (this.#address === null) {
      throw new WeirError(EGONE);
    }
    return this.#address;
  }

  close() {
    if (this.#address !== null) {
      this.#hub.handles.delete(this.#address);
      this.release(this.#address);
      this.#address = null;
    }
  }
}

/** The producer's end of a stream. To close it does not end the stream. */
class Stream extends Handle {
  /** Publish an event; its number. */
  publish(data, { type = '', flags = 0 } = {}) {
    const seq = [0];
    check(lib.weir_stream_publish(
        this.address, make('weir_event', { data, type, flags }), 1, seq));
    return seq[0];
  }

  /** Tell those who are connected now; how many they are. */
  signal(data, { type = '', flags = 0 } = {}) {
    const reached = [0];
    check(lib.weir_stream_signal(
        this.address, make('weir_event', { data, type, flags }), reached));
    return reached[0];
  }

  /** End the stream; the number of its end, as of every event. */
  end(reason = 'done') {
    const seq = [0], bytes = Buffer.from(reason);
    check(lib.weir_stream_end(this.address, bytes, bytes.length, 0, seq));
    return seq[0];
  }

  /** End it by failing. Clients see both texts. */
  fail(code, message) {
    const seq = [0], word = Buffer.from(code), bytes = Buffer.from(message);
    check(lib.weir_stream_fail(this.address, word, word.length, bytes,
                               bytes.length, 0, seq));
    return seq[0];
  }

  /** Ask the producer to stop, and end the stream. */
  cancel(reason = 'cancelled') {
    const bytes = Buffer.from(reason);
    check(lib.weir_stream_cancel(this.address, bytes, bytes.length));
  }

  release(address) {
    lib.weir_stream_release(address);
  }
}

/** A client's connection. To close it leaves the stream. */
class Subscriber extends Handle {
  /** The next bytes for the client; null: nothing now; an empty buffer:
   * nothing ever again. */
  read(most = 65536) {
    const room = Buffer.allocUnsafe(most), length = [0];
    const result =
        lib.weir_subscriber_read(this.address, room, room.length, length);
    if (result === EAGAIN) {
      return null;
    }
    if (result === EDONE) {
      return Buffer.alloc(0);
    }
    check(result);
    return room.subarray(0, length[0]);
  }

  /** Ask the client to go, and to come back after `retry` ms (0: as its attach
   * says): a last frame, then the end. */
  dismiss(reason = 'expired', retry = 0) {
    const bytes = Buffer.from(reason);
    check(lib.weir_subscriber_close(this.address, bytes, bytes.length,
                                    number(uint32, retry)));
  }

  release(address) {
    lib.weir_subscriber_release(address);
  }
}

/** The answer to a client: `status`, `verdict` (a word), `fields` (pairs of
 * strings), `body`; `head` is status and fields as HTTP/1.1. The bytes of
 * `subscriber` follow, unless it is null. */
class Response {
  constructor(response, subscriber) {
    this.status = response.status;
    this.verdict = lib.weir_verdict_name(response.verdict);
    this.subscriber = subscriber;
    this.head = whole(lib.weir_http_write_head, response);
    this.body = response.stream
        ? Buffer.alloc(0) : whole(lib.weir_http_write_body, response);
    this.fields = [];
    const field = {};
    const room = Buffer.alloc(constants.STREAM_ID_MAX + 1); // and a NUL
    while (lib.weir_http_get_field(response, this.fields.length, room,
                                   room.length, field) === 0) {
      this.fields.push([text(field.name, field.name_len),
                        text(field.value, field.value_len)]);
    }
  }
}

/** The registry of streams. */
class Hub {
  #address = null;
  handles = new Map();

  constructor(options = {}) {
    const hub = [null];
    check(lib.weir_hub_new(make('weir_hub_options', options), hub));
    this.#address = hub[0];
  }

  get address() {
    if (this.#address === null) {
      throw new WeirError(EGONE);
    }
    return this.#address;
  }

  /** Open a stream for writing: begin it, or join it; a Stream. */
  open(key, options = {}) {
    const stream = [null];
    check(lib.weir_hub_open(
        this.address, make('weir_open_options', { ...options, key }), stream));
    return new Stream(this, stream[0]);
  }

  /** Attach a client, whose cursor is in the header or in the query of its
   * request; a Response. */
  attach(key, { lastEventId = '', query = '', ...options } = {}) {
    const attach = make('weir_attach_options', { ...options, key });
    attach.request = make('weir_request', { header: lastEventId, query });
    const subscriber = [null];
    const response = { size: koffi.sizeof(structs.weir_response) };
    check(lib.weir_http_attach(this.address, attach, null, subscriber,
                               response));
    // The response points to the key, of which the call had a copy.
    response.key = attach.key;
    return new Response(response, subscriber[0] === null
        ? null : new Subscriber(this, subscriber[0]));
  }

  /** The notices that wait: { kind, source, error, seq, timer }, with
   * NOTICE_..., the Stream or Subscriber that it is about, and what
   * <weir/hub.h> says of the rest. Between them everything may be called. */
  * notices() {
    while (this.#address !== null) {
      const notice = { size: koffi.sizeof(structs.weir_notice) };
      const result = lib.weir_hub_next(this.#address, notice);
      if (result === EAGAIN) {
        return;
      }
      check(result);
      const { kind, error, seq, timer } = notice;
      const source = this.handles.get(notice.subscriber ?? notice.stream);
      yield { kind, source, error, seq, timer };
    }
  }

  /** Milliseconds until notices() is to be asked again, at most what
   * setTimeout() takes. */
  timeout() {
    const wait = lib.weir_hub_get_timeout(this.address);
    return wait < 0 ? 2 ** 31 - 1 : wait;
  }

  /** Take nobody in, and tell all to go in the next `over` milliseconds, and
   * to come back after `retry`. */
  drain(over, retry = 0) {
    check(lib.weir_hub_drain(this.address, number(uint64, over),
                             number(uint32, retry)));
  }

  /** Forget all streams. Their handles answer EGONE. */
  close() {
    if (this.#address !== null) {
      lib.weir_hub_free(this.#address);
      this.#address = null;
    }
  }
}

module.exports = {
  ...constants, Hub, WeirError,
  version: lib.weir_version,
  interface: { constants, structs, prototypes },
};
