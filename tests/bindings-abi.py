#!/usr/bin/env python3
# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""Write a C program that prints what the tests of examples/bindings compare
themselves with: bindings-abi.py > abi.c

    version MAJOR.MINOR.PATCH
    size STRUCT BYTES
    field STRUCT NAME OFFSET BYTES TYPE
    value CONSTANT NUMBER
    call FUNCTION RESULT ARGUMENT...

Types are void, int, int32, uint32, uint64, size, pointer and structs; an array
has that of its elements. The names come from the text of the headers, the
numbers from the compiler."""
import re
import sys

sys.dont_write_bytecode = True
import headers  # noqa: E402

TYPES = {"void": "void", "int": "int", "int32_t": "int32",
         "uint32_t": "uint32", "uint64_t": "uint64", "size_t": "size"}


def word(declaration):
    """The type of `const void *dst` or `size_t cap`, or of a result."""
    if "*" in declaration:
        return "pointer"
    first = declaration.replace("const ", "").split()[0]
    return TYPES.get(first, first)


def lines():
    yield 'puts("version %s");' % headers.version()
    members = headers.members()
    for name, fields in headers.structs().items():
        yield 'printf("size %s %%zu\\n", sizeof(%s));' % (name, name)
        for field, member in zip(fields, members[name]):
            yield ('printf("field %s %s %%zu %%zu %s\\n", offsetof(%s, %s), '
                   'sizeof(((%s *)0)->%s));'
                   % (name, field, word(member), *(name, field) * 2))
    for name in headers.constants():
        yield 'printf("value %s %%lld\\n", (long long)%s);' % (name, name)
    for name, prototype in headers.functions().items():
        result, params = re.fullmatch(r"(.*?)%s\((.*)\)" % name,
                                      prototype).groups()
        types = [word(result)]
        if params != "void":
            types += map(word, params.split(", "))
        yield 'puts("call %s %s");' % (name, " ".join(types))


print("/* Made from the public headers by tests/bindings-abi.py. */")
print("#include <stdio.h>\n#include <weir/weir.h>\n\nint main(void) {")
for line in lines():
    print("  " + line)
print("  return 0;\n}")
