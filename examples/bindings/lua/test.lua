-- weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
--
-- The scenario that every binding passes; see ../README.md.
local ffi = require("ffi")
local weir = require("weir")

local function show(value)
  if type(value) ~= "table" then
    return type(value) .. " " .. tostring(value)
  end
  local parts = {}
  for i = 1, #value do
    parts[i] = show(value[i])
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

-- Compare two values, or lists of values.
local function equal(got, wanted)
  if got ~= wanted and show(got) ~= show(wanted) then
    error("got " .. show(got) .. ", wanted " .. show(wanted), 2)
  end
end

local function fails(code, object, method, ...)
  local ok, failure = pcall(object[method], object, ...)
  assert(not ok, method .. " has not failed")
  equal(failure.code, code)
  assert(tostring(failure) ~= "")
end

-- The frames in some bytes: {id, type, data}.
local function frames(bytes)
  local all = {}
  for frame in bytes:gmatch("(.-\n)\n") do
    local fields = {id = "", event = "message"}
    for name, value in frame:gmatch("(%a+): (.-)\n") do
      fields[name] = name == "data" and fields.data and
                     fields.data .. "\n" .. value or value
    end
    all[#all + 1] = {id = fields.id, type = fields.event, data = fields.data}
  end
  return all
end

local function each(list, member, first)
  local all = {}
  for i = first or 1, #list do
    all[#all + 1] = list[i][member]
  end
  return all
end

local function types(bytes)
  return each(frames(bytes), "type")
end

local function notices(hub)
  local all = {}
  for notice in hub:notices() do
    all[#all + 1] = notice
  end
  return all
end

-- Attach a client: the response, and all that it reads.
local function attach(hub, key, options)
  local response = hub:attach(key, options)
  return response, response.subscriber:read()
end

local tests = {}
local function test(name, body)
  tests[#tests + 1] = {name = name, body = body}
end

-- The listing's word for the type of a field or a parameter.
local function word(declaration)
  return declaration:find("*", 1, true) and "pointer" or
         declaration:match("^%s*(%a+%d*)")
end

test("it agrees with the headers", function()
  local fields, calls, values, sizes, version = {}, {}, {}, {}, nil
  for line in io.lines(os.getenv("WEIR_ABI")) do
    local kind, name, rest = line:match("^(%a+) ([%w_.]+) ?(.*)$")
    if kind == "version" then
      version = name
    elseif kind == "field" then
      fields[name] = (fields[name] or "") .. rest .. "\n"
    else
      local into = kind == "size" and sizes or kind == "value" and values or
                   calls
      into[name] = rest
    end
  end
  local structs = 0
  for name, body in weir.interface:gmatch("struct ([%w_]+) (%b{})") do
    equal(ffi.sizeof(name), tonumber(sizes[name]))
    local ours = ""
    for field in body:gmatch("([%w_]+)[%[%d%]]*;") do
      local value = ffi.new(name)
      -- A pointer's size is a pointer's: LuaJIT cannot be asked for a field's.
      local type = body:match("\n  ([^\n]-)" .. field .. "[%[;]")
      local count = body:match(field .. "%[(%d+)%];") or 1
      local bytes = type:find("*", 1, true) and ffi.sizeof("void *") or
                    ffi.sizeof(type)
      ours = ours .. ("%s %d %d %s\n"):format(
          field, ffi.offsetof(name, field), bytes * count, word(type))
    end
    equal(ours, fields[name])
    structs = structs + 1
  end
  assert(structs > 0)
  local functions = weir.interface:gsub("typedef struct [%w_]+ %b{} [%w_]+;",
                                        "")
  local prototypes = 0
  for result, name, params in functions:gmatch(
      "([%w_][%w_ ]+[ *])([%w_]+)(%b())") do
    local words = word(result)
    for param in params:sub(2, -2):gmatch("[^,]+") do
      words = words .. (param == "void" and "" or " " .. word(param))
    end
    equal(name .. " " .. words, name .. " " .. calls[name])
    prototypes = prototypes + 1
  end
  assert(prototypes > 0)
  for name, value in pairs(weir) do
    if type(value) == "number" then
      equal(name .. " " .. value, name .. " " .. values["WEIR_" .. name])
    end
  end
  equal(weir.version(), version)
end)

test("publish", function(hub)
  local stream = hub:open("a/1")
  equal(stream:publish("Hello", {type = "token"}), 1)
  local response, bytes = attach(hub, "a/1")
  equal({response.status, response.verdict}, {200, "fresh"})
  equal(response.head:match("^[^\r]*"), "HTTP/1.1 200 OK")
  local fields = {}
  for _, field in ipairs(response.fields) do
    fields[field[1]] = field[2]
  end
  equal(fields["X-Stream-Id"], "a/1")
  equal(types(bytes), {"weir.ready", "token"})
  equal(response.subscriber:read(), nil)
  equal(notices(hub), {})

  local text = "two\nlines and an \195\188mlaut"
  equal(stream:publish(text), 2)
  equal(stream:signal("{}", {type = "typing", flags = weir.EVENT_JSON}), 1)
  local told = notices(hub)
  equal(each(told, "kind"), {weir.NOTICE_READABLE})
  assert(told[1].source == response.subscriber)
  local read = frames(response.subscriber:read())
  equal(each(read, "type"), {"message", "typing"})
  equal(each(read, "data"), {text, "{}"})
  equal(read[2].id, "")
end)

test("the longest key", function(hub)
  local key = ("\230\188\162"):rep(85)
  hub:open(key)
  local fields = {}
  for _, field in ipairs(attach(hub, key).fields) do
    fields[field[1]] = field[2]
  end
  equal(fields["X-Stream-Id"], ("%E6%BC%A2"):rep(85))
  equal(fields["Connection"], "close")
end)

test("drop and resume", function(hub)
  local stream = hub:open("a/1")
  for _, word in ipairs({"one", "two", "three"}) do
    stream:publish(word)
  end
  local response, bytes = attach(hub, "a/1")
  local seen = frames(bytes)[3].id -- the third event is lost on the way
  response.subscriber:close()
  stream:publish("four")

  response, bytes = attach(hub, "a/1", {last_event_id = seen})
  equal(response.verdict, "resumed")
  local rest = frames(bytes)
  equal(rest[1].id, seen)
  equal(each(rest, "data", 2), {"three", "four"})
  response = attach(hub, "a/1", {query = "lastEventId=" .. seen})
  equal(response.verdict, "resumed")
end)

test("gap", function(hub)
  local stream = hub:open("a/1")
  stream:publish("1")
  local _, bytes = attach(hub, "a/1")
  local first = frames(bytes)[2].id
  for i = 2, 7 do
    stream:publish(tostring(i))
  end
  for cursor, verdict in pairs({[first] = "evicted", ["b-1"] = "foreign",
                                ["?"] = "malformed"}) do
    local response, told = attach(hub, "a/1", {last_event_id = cursor})
    equal(response.verdict, verdict)
    local all = frames(told)
    equal({all[1].type, all[2].type}, {"weir.gap", "weir.ready"})
    equal(all[1].id, all[2].id)
    equal(each(all, "data", 3), {"4", "5", "6", "7"})
  end
end)

test("replace", function(hub)
  local old = hub:open("a/1")
  local older = attach(hub, "a/1", {client = "tab"}).subscriber
  -- A client that comes twice: the older connection is told to go.
  local newer = attach(hub, "a/1", {client = "tab"}).subscriber
  local told = notices(hub)
  equal(each(told, "kind"), {weir.NOTICE_CLOSING})
  assert(told[1].source == older)
  equal(types(older:read()), {"weir.closing"})
  equal(older:read(), "")

  local replacing = hub:open("a/1", {on_duplicate = weir.DUPLICATE_REPLACE})
  local kinds = {}
  for notice in hub:notices() do
    if notice.source == old then
      kinds[#kinds + 1] = notice.kind
    end
  end
  equal(kinds, {weir.NOTICE_CANCELLED, weir.NOTICE_ENDED})
  local bytes = newer:read()
  equal(types(bytes), {"weir.done"})
  assert(bytes:find("replaced_by_new_stream", 1, true))
  equal(newer:read(), "")
  fails(weir.EENDED, old, "publish", "late")
  equal(replacing:publish("first"), 1)
  fails(weir.EEXISTS, hub, "open", "a/1",
        {on_duplicate = weir.DUPLICATE_REJECT})
end)

test("end", function(hub)
  local stream = hub:open("a/1")
  stream:publish("last")
  equal(stream:finish(), 2)
  local response, bytes = attach(hub, "a/1")
  equal(types(bytes), {"weir.ready", "message", "weir.done"})
  equal(response.subscriber:read(), "")
  response = hub:attach("a/1", {last_event_id = frames(bytes)[3].id})
  equal({response.status, response.verdict}, {204, "finished"})
  equal(response.subscriber, nil)
  equal(response.head:match("^HTTP/1.1 204"), "HTTP/1.1 204")

  stream = hub:open("a/2")
  stream:fail("overloaded", "Try again later.")
  response, bytes = attach(hub, "a/2")
  equal(types(bytes), {"weir.ready", "weir.failed"})
end)

test("shown out", function(hub)
  local stream = hub:open("a/1")
  local subscriber = attach(hub, "a/1").subscriber
  subscriber:dismiss("moved", 5000)
  local bytes = subscriber:read()
  equal(types(bytes), {"weir.closing"})
  assert(bytes:find('"reason":"moved"', 1, true))
  assert(bytes:find("retry: 5", 1, true))
  equal(subscriber:read(), "")

  subscriber = attach(hub, "a/1").subscriber
  stream:cancel("stopped")
  assert(subscriber:read():find('"reason":"stopped"', 1, true))
end)

test("refusals", function(hub)
  equal(hub:attach("a/1").status, 404)
  local stream = hub:open("a/1")
  fails(weir.ERESERVED, stream, "publish", "x", {type = "open"})
  fails(weir.EUTF8, stream, "publish", "\255")
  fails(weir.EINVAL, hub, "open", "")
  for _, option in ipairs({{no_such_option = 1}, {idle = "1"}, {user = 1}}) do
    assert(not pcall(hub.open, hub, "a/2", option))
  end
  local subscriber = attach(hub, "a/1").subscriber
  local function out_of_range(value, object, method, ...)
    local ok, failure = pcall(object[method], object, ...)
    equal({ok, failure}, {false, "out of range: " .. tostring(value)})
  end
  for _, bad in ipairs({-1, -1LL, 0.5, 0 / 0, 2 ^ 64, math.huge}) do
    out_of_range(bad, hub, "open", "a/2", {idle = bad})
    out_of_range(bad, hub, "attach", "a/1", {retry = bad})
    out_of_range(bad, hub, "drain", bad)
  end
  for _, bad in ipairs({-1, 0.5, 2 ^ 32, 2 ^ 32 + 2000, 4294967296ULL}) do
    out_of_range(bad, hub, "open", "a/2", {flags = bad})
    out_of_range(bad, hub, "drain", 0, bad)
    out_of_range(bad, subscriber, "dismiss", "x", bad)
  end
  for _, bad in ipairs({-1, 0.5}) do
    out_of_range(bad, subscriber, "read", bad)
  end
  out_of_range(2 ^ 31, hub, "open", "a/2", {on_idle = 2 ^ 31})
  out_of_range(true, hub, "open", "a/2", {idle = true})
  equal(hub:attach("a/2").status, 404)
  hub:open("a/2", {label = 18446744073709551615ULL, idle = 2 ^ 53})

  hub:drain(0, 7000)
  local response = hub:attach("a/1")
  equal({response.status, response.subscriber}, {200, nil})
  equal(types(response.body), {"weir.closing"})
  assert(response.body:find("retry: 7", 1, true))
end)

test("time", function(hub)
  equal(hub:timeout(), nil)
  local stream = hub:open("a/1", {first_event = 1,
                                  on_first_event = weir.ACTION_FAIL})
  while hub:timeout() > 0 do -- Lua cannot sleep
  end
  local told = notices(hub)
  assert(told[1].source == stream)
  equal({told[1].kind, told[1].timer},
        {weir.NOTICE_EXPIRED, weir.TIMER_FIRST_EVENT})
  equal({told[2].kind, told[2].seq}, {weir.NOTICE_ENDED, 1})
end)

test("handles outlive the hub", function(hub)
  local stream = hub:open("a/1")
  local subscriber = attach(hub, "a/1").subscriber
  hub:close()
  fails(weir.EGONE, stream, "publish", "x")
  fails(weir.EGONE, subscriber, "read")
  fails(weir.EGONE, hub, "open", "a/1")
  equal(notices(hub), {})
  stream:close()
  stream:close()
  fails(weir.EGONE, stream, "publish", "x")
end)

test("what is dropped is released", function(hub)
  local stream = hub:open("a/1")
  local subscriber = attach(hub, "a/1").subscriber
  equal(stream:signal("x", {type = "s"}), 1)
  subscriber = nil
  collectgarbage()
  collectgarbage()
  equal(stream:signal("x", {type = "s"}), 0)
end)

local failed = 0
for _, case in ipairs(tests) do
  local hub = weir.hub({history_events = 4})
  local ok, failure = xpcall(function()
    case.body(hub)
  end, function(what)
    return debug.traceback(tostring(what))
  end)
  if not ok then
    io.stderr:write(case.name, ": ", failure, "\n")
    failed = failed + 1
  end
  hub:close()
end
print(("%d tests, %d failed"):format(#tests, failed))
os.exit(failed == 0 and 0 or 1)
