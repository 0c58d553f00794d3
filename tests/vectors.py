#!/usr/bin/env python3
"""Turn tests/vectors/*.jsonl into a C header: vectors.py > vectors.h"""
import base64
import json
import os

here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors")


def rows(name):
    with open(os.path.join(here, name), encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def c(data):
    """A C string, and its length."""
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")
    out = []
    for byte in data:
        char = chr(byte)
        if 32 <= byte < 127 and char not in '"\\?':
            out.append(char)
        else:
            out.append("\\%03o" % byte)
    text = '"\n"'.join("".join(out[i:i + 60]) for i in range(0, len(out), 60))
    return '"%s", %d' % (text, len(data))


def field(row, name):
    """A field of an encode row: NULL if it is not there."""
    value = row["fields"].get(name)
    if value is None:
        return "NULL, 0"
    return c(base64.b64decode(value["b64"]))


print("/* Made from tests/vectors by tests/vectors.py. */")
print("""
struct vector_event {
  const char *type; size_t type_len;
  const char *data; size_t data_len;
  const char *id; size_t id_len;
};
struct vector_decode {
  const char *name;
  const char *input; size_t input_len;
  const struct vector_event *events; size_t event_count;
  const char *last_id; size_t last_id_len;
  uint64_t retry; /* UINT64_MAX: never told */
};
struct vector_encode {
  const char *name;
  const char *id; size_t id_len;
  const char *type; size_t type_len;
  const char *data; size_t data_len;
  unsigned retry;
  const char *bytes; size_t bytes_len; /* the whole frame, or NULL */
  const char *reject;                  /* why it is refused, or NULL */
  const struct vector_event *events; size_t event_count;
  const char *last_id; size_t last_id_len;
};
struct vector_wire {
  const char *name;
  const char *bytes; size_t bytes_len;
};
""")


def events(prefix, i, row):
    expect = row.get("expect") or []
    print("__attribute__((unused)) static const struct vector_event %s_%d[] = {" % (prefix, i))
    for event in expect:
        print("  {%s, %s, %s}," % (c(event["event"]), c(event["data"]), c(event["id"])))
    if not expect:
        print("  {NULL, 0, NULL, 0, NULL, 0},")
    print("};")
    return "%s_%d, %d" % (prefix, i, len(expect))


def name(row):
    return c("%s: %s" % (row["source"], row["name"])).rsplit(",", 1)[0]


table = []
for i, row in enumerate(rows("decode.jsonl")):
    table.append("  {%s, %s, %s, %s, %s}," % (
        name(row), c(base64.b64decode(row["input_base64"])), events("decode", i, row), c(row["last_id"]),
        "UINT64_C(%d)" % min(row["retry"], 2**64 - 1) if row.get("retry") is not None else "UINT64_MAX"))
print("__attribute__((unused)) static const struct vector_decode vector_decodes[] = {")
print("\n".join(table))
print("};\n#define vector_decode_count (sizeof vector_decodes / sizeof vector_decodes[0])")

table = []
for i, row in enumerate(rows("encode.jsonl")):
    whole = row.get("bytes_b64")
    reject = row.get("reject")
    table.append("  {%s, %s, %s, %s, %d, %s, %s, %s, %s}," % (
        name(row), field(row, "id"), field(row, "event"), field(row, "data"),
        row["fields"].get("retry", 0),
        c(base64.b64decode(whole)) if whole else "NULL, 0",
        c(reject).rsplit(",", 1)[0] if reject else "NULL",
        events("encode", i, row), c(row.get("last_id", ""))))
print("__attribute__((unused)) static const struct vector_encode vector_encodes[] = {")
print("\n".join(table))
print("};\n#define vector_encode_count (sizeof vector_encodes / sizeof vector_encodes[0])")

with open(os.path.join(here, "wire.json"), encoding="utf-8") as text:
    wires = json.load(text)
print("__attribute__((unused)) static const struct vector_wire vector_wires[] = {")
for row in wires:
    print("  {%s, %s}," % (c(row["n"]).rsplit(",", 1)[0], c(row["b"])))
print("};\n#define vector_wire_count (sizeof vector_wires / sizeof vector_wires[0])")
