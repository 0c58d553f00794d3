-- weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
--
-- Resumable Server-Sent Events, by libweir, for LuaJIT.
--
--   local hub = weir.hub()
--   local answer = hub:open("answers/7")
--   answer:publish("Hello", {type = "token"})
--
--   local response = hub:attach("answers/7", {last_event_id = header})
--   -- send response.head, then, where there is a response.subscriber, what it
--   -- reads: "" is the end, nil is "nothing now" until a notice says READABLE
--
-- Nothing here touches a socket or starts a thread. After hub:timeout()
-- milliseconds, and after every call, hub:notices() says what has to be done.
-- Options have the names that they have in <weir/hub.h>. Handles are released
-- when closed or collected.
local ffi = require("ffi")

local weir = {
  -- error.code
  ENOMEM = -1, EINVAL = -2, ENOSPACE = -3, EOVERFLOW = -4, EAGAIN = -5,
  EDONE = -6, EBUSY = -7, EGONE = -8, ENOENT = -9, EEXISTS = -10,
  EENDED = -11, EFENCED = -12, EMALFORMED = -13, EABSENT = -14,
  EDRAINING = -15, ELOG = -16, EUNKNOWN = -17, ESTALE = -18, EENTROPY = -19,
  ESTREAMS = -20, ESUBSCRIBERS = -21, ECROWD = -22, ECLIENT = -23,
  ETOOBIG = -24, ERESIDENT = -25, EPENDING = -26, EUTF8 = -27, EJSON = -28,
  ERESERVED = -29, ESTALLED = -30, EIO = -31, EFULL = -32, ELOCKED = -33,
  EFORMAT = -34, EACCESS = -35,
  -- notice.kind, of a subscriber, of a stream; notice.timer
  NOTICE_READABLE = 2, NOTICE_CLOSING = 3, NOTICE_ABORT = 4,
  NOTICE_EXPIRED = 18, NOTICE_ABANDONED = 19, NOTICE_CANCELLED = 20,
  NOTICE_ENDED = 21,
  TIMER_FIRST_EVENT = 1, TIMER_IDLE = 2, TIMER_LIFETIME = 3,
  -- Options: on_duplicate of open, of attach; start; on_idle and its kin; flags
  DUPLICATE_JOIN = 0, DUPLICATE_REPLACE = 1, DUPLICATE_REJECT = 2,
  CLIENT_REPLACE = 0, CLIENT_ALLOW = 1, CLIENT_REJECT = 2,
  FROM_START = 0, FROM_HEAD = 1,
  ACTION_NOTICE = 0, ACTION_END = 1, ACTION_FAIL = 2,
  OPEN_EXISTING = 1, OPEN_UNENDED = 2, OPEN_ENVELOPE = 8, OPEN_LOOK = 16,
  ATTACH_PING = 1, ATTACH_STRICT = 2, EVENT_JSON = 1,
  STREAM_ID_MAX = 765,
}

-- The C interface, as in the headers. test.lua compares the two.
weir.interface = [[
typedef struct weir_hub weir_hub;
typedef struct weir_stream weir_stream;
typedef struct weir_subscriber weir_subscriber;

typedef struct weir_hub_options {
  size_t size;
  const void *allocator;
  void *clock;
  void *clock_user;
  void *entropy;
  void *entropy_user;
  const void *log;
  void *notify;
  void *notify_user;
  void *wake;
  void *wake_user;
  void *trace;
  void *trace_user;
  const char *prefix;
  size_t prefix_len;
  int32_t cursor_format;
  uint32_t flags;
  uint64_t max_streams;
  uint64_t max_subscribers;
  uint64_t max_stream_subscribers;
  uint64_t max_client_subscribers;
  uint64_t max_event_bytes;
  uint64_t max_event_lines;
  uint64_t max_pending;
  uint64_t max_resident;
  uint64_t history_bytes;
  uint64_t history_events;
  uint64_t history_age;
  uint32_t signal_ring;
  uint32_t recheck;
  uint64_t reserved[8];
} weir_hub_options;

typedef struct weir_open_options {
  size_t size;
  const char *key;
  size_t key_len;
  void *user;
  int32_t on_duplicate;
  uint32_t flags;
  const char *prefix;
  size_t prefix_len;
  const char *members;
  size_t members_len;
  uint64_t first_event;
  uint64_t idle;
  uint64_t lifetime;
  uint64_t abandoned;
  uint64_t linger;
  int32_t on_first_event;
  int32_t on_idle;
  int32_t on_lifetime;
  int32_t on_abandoned;
  uint64_t label;
  uint64_t reserved[7];
} weir_open_options;

typedef struct weir_request {
  size_t size;
  const char *header;
  size_t header_len;
  const char *query;
  size_t query_len;
  const char *path;
  size_t path_len;
  uint64_t reserved[2];
} weir_request;

typedef struct weir_attach_options {
  size_t size;
  const char *key;
  size_t key_len;
  void *user;
  const weir_request *request;
  int32_t start;
  uint32_t flags;
  const char *client;
  size_t client_len;
  int32_t on_duplicate;
  uint32_t reserved0;
  uint32_t heartbeat;
  uint32_t heartbeat_jitter;
  uint32_t stall;
  uint32_t retry;
  uint32_t retry_jitter;
  uint32_t retry_replaced;
  uint64_t lifetime;
  uint64_t lifetime_jitter;
  uint64_t reserved[8];
} weir_attach_options;

typedef struct weir_event {
  size_t size;
  const char *type;
  size_t type_len;
  const char *data;
  size_t data_len;
  uint64_t tag;
  uint32_t flags;
  uint32_t reserved0;
  uint64_t reserved[2];
} weir_event;

typedef struct weir_notice {
  size_t size;
  int32_t kind;
  int32_t error;
  void *user;
  weir_subscriber *subscriber;
  weir_stream *stream;
  uint64_t tag;
  uint64_t seq;
  int32_t verdict;
  int32_t timer;
  uint32_t retry;
  uint32_t reserved0;
  uint64_t reserved[1];
} weir_notice;

typedef struct weir_response {
  size_t size;
  int32_t status;
  uint32_t stream;
  int32_t verdict;
  int32_t error;
  uint32_t retry;
  uint32_t reserved0;
  const void *key;
  size_t key_len;
  const void *options;
  uint64_t reserved[2];
} weir_response;

typedef struct weir_field {
  const char *name;
  size_t name_len;
  const char *value;
  size_t value_len;
} weir_field;

const char *weir_version(void);
const char *weir_strerror(int error);
const char *weir_verdict_name(int verdict);
void weir_hub_options_init(weir_hub_options *options, size_t size);
int weir_hub_new(const weir_hub_options *options, weir_hub **hub);
void weir_hub_free(weir_hub *hub);
int weir_hub_get_timeout(weir_hub *hub);
int weir_hub_next(weir_hub *hub, weir_notice *notice);
int weir_hub_drain(weir_hub *hub, uint64_t over, uint32_t retry);
void weir_open_options_init(weir_open_options *options, size_t size);
int weir_hub_open(weir_hub *hub, const weir_open_options *options,
                  weir_stream **stream);
void weir_event_init(weir_event *event, size_t size);
int weir_stream_publish(weir_stream *stream, const weir_event *events,
                        size_t count, uint64_t *last);
int weir_stream_signal(weir_stream *stream, const weir_event *signal,
                       uint64_t *reached);
int weir_stream_end(weir_stream *stream, const void *reason,
                    size_t reason_len, uint64_t tag, uint64_t *seq);
int weir_stream_fail(weir_stream *stream, const void *code, size_t code_len,
                     const void *message, size_t message_len, uint64_t tag,
                     uint64_t *seq);
int weir_stream_cancel(weir_stream *stream, const void *reason,
                       size_t reason_len);
void weir_stream_release(weir_stream *stream);
void weir_request_init(weir_request *request, size_t size);
void weir_attach_options_init(weir_attach_options *options, size_t size);
int weir_http_attach(weir_hub *hub, const weir_attach_options *attach,
                     const void *options, weir_subscriber **subscriber,
                     weir_response *response);
int weir_http_write_head(const weir_response *response, void *dst, size_t cap,
                   size_t *len);
int weir_http_write_body(const weir_response *response, void *dst, size_t cap,
                   size_t *len);
int weir_http_get_field(const weir_response *response, size_t index, void *dst,
                    size_t cap, weir_field *field);
int weir_subscriber_read(weir_subscriber *subscriber, void *dst, size_t cap,
                         size_t *len);
int weir_subscriber_close(weir_subscriber *subscriber, const void *reason,
                          size_t reason_len, uint32_t retry);
void weir_subscriber_release(weir_subscriber *subscriber);
]]
ffi.cdef(weir.interface)
local lib = ffi.load(os.getenv("WEIR_LIBRARY") or "libweir.so.0")

local ROOM = 65536
local number = ffi.typeof("uint64_t[1]")
local length = ffi.typeof("size_t[1]")
local address = ffi.typeof("uintptr_t")

-- --- The module -------------------------------------------------------------

-- What is raised when a call has failed: `code` says why, for programs.
local Error = {}
Error.__index = Error

function Error:__tostring()
  return ffi.string(lib.weir_strerror(self.code))
end

local function check(result)
  if result < 0 then
    error(setmetatable({code = result}, Error), 0)
  end
end

function weir.version()
  return ffi.string(lib.weir_version())
end

-- What C holds has to be what was given: LuaJIT makes every number fit.
local function same(held, value)
  if tonumber(held) ~= tonumber(value) then
    error("out of range: " .. tostring(value), 0)
  end
  return held
end

local function whole_number(type, value)
  return same(ffi.new(type, value), value)
end

-- A struct with its defaults and these options: numbers, and texts, whose
-- length goes into their twin. Whoever calls this keeps the texts.
local function make(name, options)
  local struct = ffi.new(name)
  lib[name .. "_init"](struct, ffi.sizeof(struct))
  for option, value in pairs(options) do
    struct[option] = value -- raises an error if there is no such option
    if type(value) == "string" then
      struct[option .. "_len"] = #value
    else
      same(struct[option], value)
    end
  end
  return struct
end

-- What a call writes that tells the length it needs.
local function whole(call, response)
  local len = length()
  local result = call(response, nil, 0, len)
  if result ~= weir.ENOSPACE then
    check(result)
    return ""
  end
  local room = ffi.new("char[?]", len[0])
  check(call(response, room, len[0], len))
  return ffi.string(room, len[0])
end

local function with(options, more)
  local all = {}
  for name, value in pairs(options or {}) do
    all[name] = value
  end
  for name, value in pairs(more) do
    all[name] = value
  end
  return all
end

-- An object around a handle, which the collector releases.
local function wrap(class, handle, release)
  return setmetatable({handle = ffi.gc(handle, release), release = release},
                      class)
end

local function use(object)
  if object.handle == nil then
    check(weir.EGONE)
  end
  return object.handle
end

local function close(object)
  if object.handle ~= nil then
    object.release(ffi.gc(object.handle, nil))
    object.handle = nil
  end
end

-- The producer's end of a stream. To close it does not end the stream.
local Stream = {close = close}
Stream.__index = Stream

-- Publish an event; its number.
function Stream:publish(data, options)
  local event, seq = with(options, {data = data}), number()
  check(lib.weir_stream_publish(use(self), make("weir_event", event), 1, seq))
  return tonumber(seq[0])
end

-- Tell those who are connected now; how many they are.
function Stream:signal(data, options)
  local event, reached = with(options, {data = data}), number()
  check(lib.weir_stream_signal(use(self), make("weir_event", event), reached))
  return tonumber(reached[0])
end

-- End the stream; the number of its end, as of every event. (Lua has taken the
-- name `end`.)
function Stream:finish(reason)
  local seq = number()
  reason = reason or "done"
  check(lib.weir_stream_end(use(self), reason, #reason, 0, seq))
  return tonumber(seq[0])
end

-- End it by failing. Clients see both texts.
function Stream:fail(code, message)
  local seq = number()
  check(lib.weir_stream_fail(use(self), code, #code, message, #message, 0,
                             seq))
  return tonumber(seq[0])
end

-- Ask the producer to stop, and end the stream.
function Stream:cancel(reason)
  reason = reason or "cancelled"
  check(lib.weir_stream_cancel(use(self), reason, #reason))
end

-- A client's connection. To close it leaves the stream.
local Subscriber = {close = close}
Subscriber.__index = Subscriber

local room = ffi.new("char[?]", ROOM)

-- The next bytes for the client; nil: nothing now; "": nothing ever again.
function Subscriber:read(most)
  local len, cap = length(), math.min(most or ROOM, ROOM)
  local result = lib.weir_subscriber_read(
      use(self), room, whole_number("size_t", cap), len)
  if result == weir.EAGAIN then
    return nil
  elseif result == weir.EDONE then
    return ""
  end
  check(result)
  return ffi.string(room, len[0])
end

-- Ask the client to go, and to come back after `retry` ms (0: as its attach
-- says): a last frame, then the end.
function Subscriber:dismiss(reason, retry)
  reason = reason or "expired"
  check(lib.weir_subscriber_close(use(self), reason, #reason,
                                  whole_number("uint32_t", retry or 0)))
end

-- The answer to a client: `status`, `verdict` (a word), `fields` (pairs of
-- strings), `body`; `head` is status and fields as HTTP/1.1. The bytes of
-- `subscriber` follow, unless it is nil.
local function answer(response, subscriber)
  local fields = {}
  local room = weir.STREAM_ID_MAX + 1 -- and a NUL
  local field, space = ffi.new("weir_field"), ffi.new("char[?]", room)
  while lib.weir_http_get_field(response, #fields, space, room, field) == 0 do
    fields[#fields + 1] = {ffi.string(field.name, field.name_len),
                           ffi.string(field.value, field.value_len)}
  end
  return {
    status = response.status,
    verdict = ffi.string(lib.weir_verdict_name(response.verdict)),
    subscriber = subscriber,
    fields = fields,
    head = whole(lib.weir_http_write_head, response),
    body = response.stream == 1 and "" or
           whole(lib.weir_http_write_body, response),
  }
end

-- The registry of streams.
local Hub = {close = close}
Hub.__index = Hub

function weir.hub(options)
  local hub = ffi.new("weir_hub *[1]")
  options = options or {}
  check(lib.weir_hub_new(make("weir_hub_options", options), hub))
  local self = wrap(Hub, hub[0], lib.weir_hub_free)
  self.sources = setmetatable({}, {__mode = "v"})
  return self
end

local function source(hub, object)
  hub.sources[tonumber(ffi.cast(address, object.handle))] = object
  return object
end

-- Open a stream for writing: begin it, or join it.
function Hub:open(key, options)
  local stream = ffi.new("weir_stream *[1]")
  options = with(options, {key = key})
  check(lib.weir_hub_open(use(self), make("weir_open_options", options),
                          stream))
  return source(self, wrap(Stream, stream[0], lib.weir_stream_release))
end

-- Attach a client, whose cursor is in the header or in the query of its
-- request: last_event_id, query; a response.
function Hub:attach(key, options)
  options = with(options, {key = key})
  local cursor = {header = options.last_event_id or "",
                  query = options.query or ""}
  local request = make("weir_request", cursor)
  self.kept = {cursor, key} -- from the collector, while they are pointed to
  options.last_event_id, options.query = nil, nil
  options.request = request
  local subscriber = ffi.new("weir_subscriber *[1]")
  local response = ffi.new("weir_response")
  response.size = ffi.sizeof(response)
  check(lib.weir_http_attach(use(self), make("weir_attach_options", options),
                             nil, subscriber, response))
  return answer(response, subscriber[0] ~= nil and source(self, wrap(
      Subscriber, subscriber[0], lib.weir_subscriber_release)) or nil)
end

-- The notices that wait: {kind, source, error, seq, timer}, with NOTICE_...,
-- the stream or subscriber that it is about, and what <weir/hub.h> says of the
-- rest. Between them everything may be called.
function Hub:notices()
  local notice = ffi.new("weir_notice")
  return function()
    while self.handle ~= nil do
      notice.size = ffi.sizeof(notice)
      local result = lib.weir_hub_next(self.handle, notice)
      if result == weir.EAGAIN then
        return nil
      end
      check(result)
      local about = notice.subscriber ~= nil and notice.subscriber or
                    notice.stream
      local known = self.sources[tonumber(ffi.cast(address, about))]
      if known ~= nil then
        return {kind = notice.kind, source = known, error = notice.error,
                seq = tonumber(notice.seq), timer = notice.timer}
      end
    end
  end
end

-- Milliseconds until notices() is to be asked again; nil is for ever, as it is to
-- LuaSocket.
function Hub:timeout()
  local wait = lib.weir_hub_get_timeout(use(self))
  return wait >= 0 and wait or nil
end

-- Take nobody in, and tell all to go in the next `over` milliseconds, and to
-- come back after `retry`.
function Hub:drain(over, retry)
  check(lib.weir_hub_drain(use(self), whole_number("uint64_t", over),
                           whole_number("uint32_t", retry or 0)))
end

return weir
