# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
#
#   make            the library and the reference server
#   make run        the server with its page; ARGS="--listen 127.0.0.1:9000"
#   make setup      install what the tests need (Debian and Ubuntu)
#   make check      all that takes under two minutes
#   make fuzz       bytes for all that reads any: TIME=60 TARGETS="cursor hub"
#   make soak       ten thousand readers at the server; MINUTES=5
#   make sim        whole worlds: SEEDS="7 100-199" STEPS=20000, or MINUTES=3
#   make mutate     break lib/ in small ways, and see that the tests notice
#   make bindings   the examples in other languages, those that are here
#   make hosts      weir in other servers, those that are here; check-hosts
#   make bench      the speed of everything, in a table: tests/bench/README
#   make bench-count  instructions of the hot paths, and which have grown
#   make install    libraries, headers, manual; prefix=, libdir=, DESTDIR= as
#                   usual; make uninstall takes all of it away
#   make amalgamation  weir.c and weir.h, to carry along: $B/amalgamation
#   make dist, deb  a tarball; Debian packages
#   make help       the rest
#
# CC, CFLAGS, CPPFLAGS and LDFLAGS are yours. B is where everything is built.

B = build
CC = cc
CFLAGS = -O2 -g
PYTHON = python3
JOBS := $(shell nproc 2> /dev/null || echo 1)
prefix = /usr/local
libdir = $(prefix)/lib
includedir = $(prefix)/include
mandir = $(prefix)/share/man
pkgconfigdir = $(libdir)/pkgconfig
INSTALL = install

header := include/weir/base.h
version_part = $(shell sed -n 's/^.define WEIR_VERSION_$(1) //p' $(header))
MAJOR := $(call version_part,MAJOR)
VERSION := $(MAJOR).$(call version_part,MINOR).$(call version_part,PATCH)
SONAME = libweir.so.$(MAJOR)

WARNINGS = -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow \
	-Wstrict-prototypes -Wmissing-prototypes -Wcast-qual -Wundef \
	-Wwrite-strings -Wformat=2
# What the code needs to be compiled, whatever the user's flags are.
BASE = -std=c11 $(WARNINGS) -MMD -MP
LIB_FLAGS = $(BASE) -Iinclude -fPIC -fvisibility=hidden

lib_sources := $(sort $(wildcard lib/*.c))
lib_objects := $(lib_sources:%.c=$B/obj/%.o)

.PHONY: all clean help libraries
all: $B/libweir.a $B/libweir.so $B/examples/server

libraries: $B/libweir.a $B/libweir.so

help:
	@sed -n 's/^#   //p' Makefile

$B/obj/lib/%.o: lib/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(LIB_FLAGS) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$B/libweir.a: $(lib_objects)
	@mkdir -p $(@D)
	@rm -f $@
	$(AR) rcs $@ $(lib_objects)

$B/$(SONAME): $(lib_objects) lib/weir.map
	@mkdir -p $(@D)
	$(CC) -shared $(CFLAGS) $(LDFLAGS) -Wl,-soname,$(SONAME) \
	  -Wl,--version-script=lib/weir.map -Wl,-z,defs -o $@ $(lib_objects)

$B/libweir.so: $B/$(SONAME)
	ln -sf $(SONAME) $@

# --- Examples --------------------------------------------------------------

# Programs that people copy: they see the public headers and libc, no more.
EXAMPLE_FLAGS = $(BASE) -Iinclude -I$B/examples -D_DEFAULT_SOURCE \
  -D_FILE_OFFSET_BITS=64

server_sources := $(sort $(wildcard examples/server/*.c))
server_objects := $(server_sources:%.c=$B/obj/%.o)
page_files := $(sort $(wildcard examples/server/page/*))

.PHONY: run examples
examples: $B/examples/server $B/examples/weirlog $B/examples/clock

run: $B/examples/server
	$B/examples/server $(ARGS)

$B/obj/examples/%.o: examples/%.c Makefile | $B/examples/page_files.h
	@mkdir -p $(@D)
	$(CC) $(EXAMPLE_FLAGS) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$B/obj/examples/server/page.o: $B/examples/page_files.h

# The page becomes a part of the program.
$B/examples/page_files.h: $(page_files) Makefile
	@mkdir -p $(@D)
	@{ n=0; for f in $(page_files); do \
	  printf 'static const unsigned char file_%d[] = {\n' $$n; \
	  od -An -v -tu1 $$f | sed 's/  *\([0-9][0-9]*\)/\1,/g'; \
	  printf '};\n'; n=$$((n + 1)); done; \
	printf 'static const struct file files[] = {\n'; \
	n=0; for f in $(page_files); do \
	  printf '{"/%s", file_%d, sizeof file_%d},\n' $${f##*/} $$n $$n; \
	  n=$$((n + 1)); done; printf '};\n'; } > $@.new
	@mv $@.new $@

$B/examples/server: $(server_objects) $B/libweir.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^

# The smallest one.
$B/examples/clock: $B/obj/examples/clock.o $B/libweir.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^

# What is in a log, for people.
weirlog_objects := $(patsubst %.c,$B/obj/%.o,$(wildcard examples/weirlog/*.c))

$B/examples/weirlog: $(weirlog_objects) $B/libweir.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^

# The same with poll(2), as on systems without epoll.
poll_objects := $(server_objects:%/loop.o=%/loop_poll.o)

$B/obj/examples/server/loop_poll.o: examples/server/loop.c Makefile
	@mkdir -p $(@D)
	$(CC) $(EXAMPLE_FLAGS) -DSERVER_POLL $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$B/examples/server-poll: $(poll_objects) $B/libweir.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^

# weir in other people's servers: each host, and what pkg-config calls its
# library. CivetWeb has no .pc, so it is tried.
host_libraries = evhttp:libevent microhttpd:libmicrohttpd uv:libuv \
	nghttp2:libnghttp2
hosts_all = $(foreach h,$(host_libraries),$(firstword $(subst :, ,$h))) civetweb
hosts_found = $(foreach h,$(host_libraries),$(shell \
	pkg-config --exists $(lastword $(subst :, ,$h)) && echo $(firstword \
	$(subst :, ,$h)))) $(shell mkdir -p $B && \
	echo 'extern int mg_exit_library(void); int main(void) { return' \
	'mg_exit_library(); }' | $(CC) -x c - -lcivetweb -o $B/probe 2>/dev/null && \
	echo civetweb)
host_flag = $(if $(filter civetweb,$1),$(if $(filter --libs,$2),-lcivetweb),$(shell \
	pkg-config $2 $(patsubst $1:%,%,$(filter $1:%,$(host_libraries)))))
host_objects = $(addprefix $B/obj/examples/,hosts/host.o hosts/locked.o \
	server/http1.o server/listen.o server/loop.o server/options.o server/text.o)

# HOSTS_REQUIRED=1: one that cannot be built is an error.
.PHONY: hosts
hosts:
	@$(MAKE) --no-print-directory $(hosts_found:%=$B/examples/hosts/%)
	@for h in $(filter-out $(hosts_found),$(hosts_all)); do \
	  echo "*** SKIPPED: no library for examples/hosts/$$h.c" \
	    "(tests/setup.sh hosts installs all)"; \
	  test -z "$(HOSTS_REQUIRED)" || exit 1; done

$B/obj/examples/hosts/%.o: examples/hosts/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(EXAMPLE_FLAGS) $(call host_flag,$*,--cflags) $(CPPFLAGS) $(CFLAGS) \
	  -c -o $@ $<

$B/obj/examples/hosts/host.o $B/obj/examples/hosts/locked.o: \
$B/obj/examples/%.o: examples/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(EXAMPLE_FLAGS) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$B/examples/hosts/%: $B/obj/examples/hosts/%.o $(host_objects) $B/libweir.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^ $(call host_flag,$*,--libs)

# --- Tests -----------------------------------------------------------------

# They see what is in lib/ too.
TEST_FLAGS = $(BASE) -Iinclude -Ilib -I$B/tests -Wno-overlength-strings
check_cflags = $(shell pkg-config --cflags check)
check_libs = $(shell pkg-config --libs check)

unit_sources := $(sort $(wildcard tests/unit/test_*.c))
unit_programs = $(unit_sources:%.c=$B/%)
kit_sources := $(wildcard tests/*.c)
kit_objects = $(kit_sources:%.c=$B/obj/%.o)

# What the tests are linked with.
LIBWEIR = $B/libweir.a

# CHECK=standin does without check. RUN goes before a program that is not for
# this machine.
ifeq ($(CHECK),standin)
check_cflags = -isystem tests/standin
check_libs =
kit_objects += $B/obj/tests/standin/check.o
endif

# Sanitizers and coverage bring names and libraries of their own.
instrumented = $(filter -fsanitize% -fprofile% --coverage,$(CFLAGS))

.PHONY: setup check check-unit check-page check-system check-hosts nightly
check:
	@$(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,\
	  -j$(JOBS)) check-parts

.PHONY: check-parts
check-parts: $(if $(instrumented),,check-tree) check-unit check-sim check-fuzz \
	check-page check-system

setup:
	@B=$B tests/setup.sh

# One line a suite; a failure ends it at once and says how to run it alone. A
# test that hangs is given time enough on a slow machine.
check-unit: $(unit_programs)
	@printf '%s\n' $^ | CK_VERBOSITY=minimal CK_TIMEOUT_MULTIPLIER=10 \
	  xargs -P $(JOBS) -I{} sh -c 'said=$$($(RUN) {} 2>&1); status=$$?; \
	    printf "%s\n" "$$said"; [ $$status = 0 ] || \
	    { echo "failed: {}"; exit 255; }'

# Whole worlds, simulated: see tests/sim/README. Seeds and ranges of seeds; or
# new ones for so many minutes; or those that are always run.
SEEDS =
STEPS =
MINUTES =
SIM =
sim_objects := $(patsubst %.c,$B/obj/%.o,$(wildcard tests/sim/*.c))

.PHONY: sim check-sim
sim: $B/tests/sim/sim
	@$B/tests/sim/sim $(if $(STEPS),--steps $(STEPS)) \
	  $(if $(MINUTES),--minutes $(MINUTES)) $(SIM) \
	  $(or $(SEEDS),$(if $(MINUTES),,1-200))

# Is a bug found? Each of them is planted, and its seed looked for; ARGS="3 7".
.PHONY: sim-planted
sim-planted: $B/tests/sim/sim
	@B='$B' COMPILE='$(CC) $(LIB_FLAGS) $(CPPFLAGS) $(CFLAGS)' \
	  LINK='$(CC) $(CFLAGS) $(LDFLAGS)' \
	  OBJECTS='$(sim_objects) $(kit_objects) $B/libweir.a $(check_libs)' \
	  $(PYTHON) tests/sim/planted.py $(ARGS)

check-sim: $B/tests/sim/sim
	@$(PYTHON) tests/sim/planted.py --check
	@$B/tests/sim/sim --steps 2000 --twice 1-10
	@$B/tests/sim/sim --steps 3000 11-40 $$(cat tests/sim/regressions)
	@$B/tests/sim/sim --steps 6000 122
	@$B/tests/sim/sim --steps 20000 126 163 167

$B/tests/sim/sim: $(sim_objects) $(kit_objects) $(LIBWEIR)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(check_libs)

# The server from outside: see tests/system/kit.py.
check-system: examples $B/examples/server-poll
	@WEIR_SERVER=$B/examples/server WEIR_SERVER_POLL=$B/examples/server-poll \
	  $(PYTHON) tests/system/run.py $(ARGS)

# The programs in examples/hosts from outside: those that could be built.
check-hosts: hosts
	@HOSTS_REQUIRED=$(HOSTS_REQUIRED) $(PYTHON) tests/hosts/test_hosts.py \
	  $(hosts_found:%=$B/examples/hosts/%) $(ARGS)

# The page's modules, without a browser.
check-page:
	@if node --version > /dev/null 2>&1; then node --test tests/page | \
	  sed -n '/^not ok/,/^  \.\.\./p; /^# \(tests\|fail\)/p' > $B/page.log; \
	  cat $B/page.log; grep -q '^# fail 0' $B/page.log; \
	else echo 'check-page: NO NODE: the tests of the page are left out'; fi

# The same suites under other compilers and watchers. Each builds apart.
SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=all
# Sums and conversions in lib/ that C allows and that lose something, but for
# those that are meant to.
INTEGER = -fsanitize=integer,implicit-conversion -fno-sanitize-recover=all \
	-fsanitize-ignorelist=tests/wraps

.PHONY: check-sanitizers check-valgrind check-clang check-crashes
check-sanitizers:
	$(MAKE) B=$B-sanitizers CFLAGS='-O1 -g $(SANITIZE)' LDFLAGS='$(SANITIZE)' \
	  check-unit check-fuzz check-system
	WEIR_SYNC=never $(MAKE) B=$B-sanitizers CFLAGS='-O1 -g $(SANITIZE)' \
	  LDFLAGS='$(SANITIZE)' check-system
	$(MAKE) B=$B-integer CC=clang CFLAGS='-O1 -g' LDFLAGS='$(INTEGER)' \
	  LIB_FLAGS='$(LIB_FLAGS) $(INTEGER)' check-unit check-fuzz

check-clang:
	$(MAKE) B=$B-clang CC=clang CFLAGS='-O2 -g -Werror' check-unit

# Other worlds of the crash simulator than that of check-unit: twenty.
CRASHES = $(shell seq 101 2 139)
check-crashes: $B/tests/unit/test_log_crash
	@printf '%s\n' $(CRASHES) | xargs -P $(JOBS) -I{} sh -c 'CK_VERBOSITY=minimal \
	  WEIR_SEED={} $< || { echo "failed: WEIR_SEED={} $<"; exit 255; }'

# What has never been written, and what two threads touch at once; the stand-in
# for check, so that all there is has been compiled this way.
.PHONY: check-memory check-threads
check-memory:
	$(MAKE) B=$B-memory CC=clang CHECK=standin LDFLAGS=-fsanitize=memory \
	  CFLAGS='-O1 -g -fno-omit-frame-pointer -fsanitize=memory' check-unit

check-threads:
	$(MAKE) B=$B-threads CC=clang CHECK=standin LDFLAGS=-fsanitize=thread \
	  CFLAGS='-O1 -g -fsanitize=thread' \
	  unit_sources=tests/unit/test_threads.c check-unit

# By other compilers, on other C libraries, processors and systems:
# ARGS="m32 s390x", or all.
.PHONY: portability
portability:
	@B=$B MAKE='$(MAKE)' tests/portability.sh $(ARGS)

# In one process a suite, since what it forks is not looked at; without the
# crash simulator, which would take long and is watched by the sanitizers. What
# is still reachable is a child's: kit.c sees to it that nothing of weir's is.
# test_file_io takes things from itself that check needs, so it has to fork.
# Those that take minutes are watched by the sanitizers every time, and by
# valgrind with ALL=1.
LOST = definite,indirect,possible
ALL =
take_minutes = $(if $(ALL),,log_file log resume map scarce lines history \
	log_forged timer subscriber)
check-valgrind: $(unit_programs)
	@printf '%s\n' $(filter-out $(patsubst %,$B/tests/unit/test_%,log_crash \
	  file_io $(take_minutes)),$(unit_programs)) | CK_FORK=no CK_VERBOSITY=silent \
	  xargs -P $(JOBS) -I{} sh -c 'valgrind -q --error-exitcode=9 \
	    --leak-check=full --show-leak-kinds=$(LOST) \
	    --errors-for-leak-kinds=$(LOST) \
	    {} && echo {} || { echo "failed: {}"; exit 255; }'

# Which lines and branches of lib/ no suite executes, with gcc's gcov: none, but
# those that say why. Counted atomically, since one suite has threads: what gcov
# does not count itself it computes from the rest, and a count that is lost makes
# another 0.
.PHONY: coverage
coverage:
	@rm -f $B-coverage/obj/lib/*.gcda
	$(MAKE) B=$B-coverage CC=gcc \
	  CFLAGS='-O0 -g --coverage -fprofile-update=atomic' check-unit
	$(PYTHON) tests/coverage.py $B-coverage

# Do the tests notice when lib/ is broken? See tests/mutate/mutate.py.
SEED = 1
COUNT = 300
FILES =
AGAIN =
.PHONY: mutate test-programs
mutate:
	@$(PYTHON) tests/mutate/mutate.py --build '$B-mutate' --make '$(MAKE)' \
	  --cc '$(CC)' --flags '$(LIB_FLAGS)' --jobs '$(JOBS)' --seed '$(SEED)' \
	  --count '$(COUNT)' --files '$(FILES)' --again '$(AGAIN)'

test-programs: $(unit_programs) fuzz-programs $B/tests/sim/sim

# All that there is, for as long as it takes.
nightly: $(unit_programs)
	WEIR_LONG=1 $(MAKE) check
	.ci/run
	$(MAKE) check-valgrind ALL=1
	$(MAKE) check-crashes
	$(MAKE) fuzz TIME=600
	$(MAKE) soak MINUTES=5
	$(MAKE) sim MINUTES=60

$B/tests/vectors.h: tests/vectors.py $(wildcard tests/vectors/*)
	@mkdir -p $(@D)
	$(PYTHON) tests/vectors.py > $@.new && mv $@.new $@

$B/obj/tests/%.o: tests/%.c Makefile | $B/tests/vectors.h
	@mkdir -p $(@D)
	$(CC) $(TEST_FLAGS) $(check_cflags) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$B/tests/unit/%: $B/obj/tests/unit/%.o $(kit_objects) $(LIBWEIR)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^ $(check_libs)

# What can be said of the code without running it. update-abi puts on record
# what has been added to the headers.
.PHONY: check-tree check-exports check-floors check-abi check-headers \
	check-man check-format check-release check-requirements update-abi
check-tree: check-exports check-floors check-abi check-headers check-man \
	check-requirements

check-requirements:
	@$(PYTHON) tests/requirements.py --check

check-exports: libraries
	@B='$B' $(PYTHON) tests/check-exports.py

check-floors: $(lib_objects)
	@B='$B' $(PYTHON) tests/check-floors.py

check-abi:
	@CC='$(CC)' $(PYTHON) tests/check-abi.py

check-headers:
	@CC='$(CC)' tests/check-headers.sh

check-man: $B/libweir.a
	@CC='$(CC)' B='$B' $(PYTHON) tests/check-man.py

update-abi: libraries
	@CC='$(CC)' $(PYTHON) tests/check-abi.py --update
	@B='$B' $(PYTHON) tests/check-exports.py --update

# Against the last release, if there is one.
check-release: libraries
	@MAKE='$(MAKE)' CC='$(CC)' B='$B' tests/check-release.sh

# What gcc, clang-tidy (.clang-tidy) and cppcheck take for a mistake: nothing.
# ctuuninitvar is not asked: to it a struct is nothing until all of it has been
# written, also where the callee does that.
static_lib := $(lib_sources)
static_examples := $(server_sources) $(wildcard examples/weirlog/*.c) \
	examples/clock.c examples/hosts/host.c examples/hosts/locked.c
LIB_SEES = -std=c11 -Iinclude
EXAMPLES_SEE = $(LIB_SEES) -I$B/examples -D_DEFAULT_SOURCE
each = printf '%s\n' $(1) | xargs -P $(JOBS) -I{}

.PHONY: check-static
check-static: $B/examples/page_files.h
	@$(call each,$(static_lib)) \
	  gcc $(LIB_SEES) -O2 -fanalyzer -Werror -c -o $B/analyzed {}
	@$(call each,$(static_examples)) \
	  gcc $(EXAMPLES_SEE) -O2 -fanalyzer -Werror -c -o $B/analyzed {}
	@$(call each,$(static_lib)) clang-tidy --quiet {} -- $(LIB_SEES)
	@$(call each,$(static_examples)) clang-tidy --quiet {} -- $(EXAMPLES_SEE)
	@cppcheck -q --std=c11 --enable=warning,performance,portability \
	  --suppress=ctuuninitvar --error-exitcode=1 -Iinclude -Ilib lib

# What reads a cursor cannot err at run time, whatever it reads.
.PHONY: prove
prove:
	@B='$B' tests/prove.sh

CLANG_FORMAT = clang-format
check-format:
	@find include lib examples tests -name '*.[ch]' ! -path '*/bindings/*' \
	  | xargs $(CLANG_FORMAT) --dry-run -Werror

# --- Fuzzing ---------------------------------------------------------------

# Each target is a program that libFuzzer feeds: see tests/fuzz/README. TIME is
# in seconds, for each. What they have found is fed to them by check-fuzz, also
# without libFuzzer.
TIME = 60
fuzz_all := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
TARGETS = $(fuzz_all)
FUZZ_ENGINE = $B/obj/tests/fuzz/replay.o
fuzz_objects = $(addprefix $B/obj/tests/fuzz/,fuzz.o reader.o) \
	$(filter-out %/kit_main.o,$(kit_objects))
fuzz_make = $(MAKE) --no-print-directory B=$B-fuzz CC=clang \
	CFLAGS='-O1 -g $(SANITIZE) -fsanitize=fuzzer-no-link' \
	LDFLAGS='$(SANITIZE)' FUZZ_ENGINE=-fsanitize=fuzzer fuzz-programs

.PHONY: fuzz fuzz-merge fuzz-programs check-fuzz
check-fuzz: fuzz-programs
	@for t in $(TARGETS); do \
	  $B/fuzz/$$t tests/fuzz/corpus/$$t || { echo "failed: $$t"; exit 1; }; done

fuzz-programs: $(TARGETS:%=$B/fuzz/%)

fuzz:
	@$(fuzz_make)
	@tests/fuzz/run.sh $B-fuzz $(TIME) $(TARGETS)

# What has been found since goes into tests/fuzz/corpus, as far as it is new.
fuzz-merge:
	@$(fuzz_make)
	@tests/fuzz/merge.sh $B-fuzz $(TARGETS)

$B/fuzz/http1: $(addprefix $B/obj/examples/server/,http1.o text.o)
$B/fuzz/%: $B/obj/tests/fuzz/fuzz_%.o $(fuzz_objects) \
$(filter %.o,$(FUZZ_ENGINE)) $(LIBWEIR)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) $(filter -%,$(FUZZ_ENGINE)) -o $@ $^

# --- Load ------------------------------------------------------------------

# The reference server under all that ten thousand readers do, without a log and
# with one: see tests/soak/README.
soak_objects := $(patsubst %.c,$B/obj/%.o,$(wildcard tests/soak/*.c))
soak_seconds = $(if $(MINUTES),$$(($(MINUTES) * 60)),60)

.PHONY: soak
soak: $B/soak $B/examples/server
	@$B/soak $B/examples/server --seconds $(soak_seconds) $(ARGS)
	@$B/soak $B/examples/server --seconds $(soak_seconds) --log $(ARGS)

$B/soak: $(soak_objects) $(filter-out %/kit_main.o,$(kit_objects)) \
$B/libweir.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^

# --- Bench -----------------------------------------------------------------

# Peers are measured if their packages are there: tests/setup.sh bench.
bench_peers := $(shell for p in libevent libuv glib-2.0 sqlite3; do \
  pkg-config --exists $$p 2> /dev/null && echo $$p; done)
bench_peer = $(if $(bench_peers),$(shell pkg-config $(1) $(bench_peers)))
BENCH_FLAGS = $(BASE) -Iinclude -Ilib -D_GNU_SOURCE \
	$(patsubst %,-DHAVE_%,$(subst -2.0,,$(bench_peers))) \
	$(patsubst -I%,-isystem %,$(call bench_peer,--cflags))
bench_sources := $(filter-out %/main.c %/paths.c,$(wildcard tests/bench/*.c))
bench_objects := $(bench_sources:%.c=$B/obj/%.o)

.PHONY: bench bench-count
bench: $B/bench $B/examples/server
	@$B/bench $(ARGS)

# Which hot path has grown; ARGS=--write accepts it.
bench-count: $B/bench-paths
	@tests/bench/count.sh $B/bench-paths $(ARGS)

$B/obj/tests/bench/%.o: tests/bench/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(BENCH_FLAGS) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$B/bench: $B/obj/tests/bench/main.o
$B/bench-paths: $B/obj/tests/bench/paths.o
$B/bench $B/bench-paths: $(bench_objects) $B/libweir.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $(filter %.o,$^) \
	  $B/libweir.a $(call bench_peer,--libs)

# --- Installation ----------------------------------------------------------

man_pages := $(sort $(wildcard man/*.[357]))

# A page has a link for each further function that it is about.
man_names = sed -n '/^\.Sh NAME/,/^\.Nd/s/^\.Nm \([^ ]*\).*/\1/p'

.PHONY: install uninstall check-install version $B/weir.pc

version:
	@echo $(VERSION)

# Made anew whenever it is wanted: make cannot see that prefix has changed. It
# finds its way from where it lies, so that the whole prefix may be moved;
# except below /usr, which stays, and where pkg-config has to recognize it.
$B/weir.pc: pkgconfig/weir.pc.in
	@mkdir -p $(@D)
	@prefix='$(prefix)'; up=; \
	below() { case $$1 in \
	  "$$prefix"/*) printf %s "\$${prefix}$${1#"$$prefix"}" ;; \
	  *) printf %s "$$1" ;; esac; }; \
	case '$(pkgconfigdir)' in \
	  /usr/lib* | /usr/share*) ;; \
	  "$$prefix"/*) \
	    up=$$(printf %s '$(pkgconfigdir)' | sed "s|^$$prefix||; s|//*[^/]*|/..|g"); \
	    up="\$${pcfiledir}$$up" ;; \
	esac; \
	sed -e "s|@prefix@|$${up:-$$prefix}|" \
	  -e "s|@libdir@|$$(below '$(libdir)')|" \
	  -e "s|@includedir@|$$(below '$(includedir)')|" \
	  -e 's|@VERSION@|$(VERSION)|' pkgconfig/weir.pc.in > $@

install: libraries $B/weir.pc
	$(INSTALL) -d '$(DESTDIR)$(includedir)/weir' '$(DESTDIR)$(libdir)' \
	  '$(DESTDIR)$(pkgconfigdir)'
	$(INSTALL) -m 644 include/weir/*.h '$(DESTDIR)$(includedir)/weir'
	$(INSTALL) -m 644 $B/libweir.a '$(DESTDIR)$(libdir)'
	$(INSTALL) -m 755 $B/$(SONAME) '$(DESTDIR)$(libdir)/libweir.so.$(VERSION)'
	ln -sf libweir.so.$(VERSION) '$(DESTDIR)$(libdir)/$(SONAME)'
	ln -sf $(SONAME) '$(DESTDIR)$(libdir)/libweir.so'
	$(INSTALL) -m 644 $B/weir.pc '$(DESTDIR)$(pkgconfigdir)'
	@for page in $(man_pages); do \
	  name=$${page##*/}; part=$${name##*.}; \
	  dir='$(DESTDIR)$(mandir)'/man$$part; \
	  $(INSTALL) -d "$$dir" && $(INSTALL) -m 644 $$page "$$dir" || exit 1; \
	  for also in $$($(man_names) $$page); do \
	    [ $$also.$$part = $$name ] || \
	      ln -sf $$name "$$dir"/$$also.$$part || exit 1; done; done

uninstall:
	@for header in include/weir/*.h; do \
	  rm -f '$(DESTDIR)$(includedir)'/weir/$${header##*/}; done
	rm -f '$(DESTDIR)$(libdir)/libweir.a' '$(DESTDIR)$(libdir)/libweir.so' \
	  '$(DESTDIR)$(libdir)/$(SONAME)' \
	  '$(DESTDIR)$(libdir)/libweir.so.$(VERSION)' \
	  '$(DESTDIR)$(pkgconfigdir)/weir.pc'
	@for page in $(man_pages); do \
	  name=$${page##*/}; part=$${name##*.}; \
	  for also in $${name%.*} $$($(man_names) $$page); do \
	    rm -f '$(DESTDIR)$(mandir)'/man$$part/$$also.$$part; done; done
	@prefix='$(prefix)'; \
	for dir in '$(includedir)/weir' '$(pkgconfigdir)' '$(libdir)' \
	    '$(mandir)/man3' '$(mandir)/man5' '$(mandir)/man7'; do \
	case $$dir in \
	  "$$prefix"/*) (cd '$(DESTDIR)'"$$prefix" && \
	    rmdir -p "$${dir#"$$prefix"/}") ;; \
	  *) rmdir '$(DESTDIR)'"$$dir" ;; \
	esac 2> /dev/null || :; done

# Other people's programs, with CMake and Meson too where they are.
check-install: libraries
	@MAKE='$(MAKE)' CC='$(CC)' B='$B' tests/check-install.sh

# --- Packages --------------------------------------------------------------

.PHONY: dist check-dist deb check-deb
dist:
	@mkdir -p $B
	@pkgconfig/dist.sh weir-$(VERSION) $B/weir-$(VERSION).tar.gz

# It is complete: it builds, passes its tests and makes itself again.
check-dist: dist
	@MAKE='$(MAKE)' B='$B' tests/check-dist.sh weir-$(VERSION)

# What pkgconfig/debian makes of the tarball, in $B/deb.
deb: dist
	rm -rf $B/deb
	mkdir $B/deb
	cp $B/weir-$(VERSION).tar.gz $B/deb/weir_$(VERSION).orig.tar.gz
	tar -xzf $B/weir-$(VERSION).tar.gz -C $B/deb
	cp -R pkgconfig/debian $B/deb/weir-$(VERSION)/debian
	cd $B/deb/weir-$(VERSION) && dpkg-buildpackage -us -uc $(DEB_OPTIONS)

check-deb: deb
	@CC='$(CC)' B='$B' tests/check-deb.sh
# --- Bindings --------------------------------------------------------------

.PHONY: bindings
bindings: $B/libweir.so $B/bindings/abi.txt
	@B=$B PYTHON=$(PYTHON) tests/bindings.sh $(ARGS)

# What the headers say to a compiler, for languages that do not read them.
$B/bindings/abi.txt: tests/bindings-abi.py tests/headers.py \
    $(wildcard include/weir/*.h)
	@mkdir -p $(@D)
	$(PYTHON) tests/bindings-abi.py > $B/bindings/abi.c
	$(CC) $(BASE) -Iinclude $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) \
	  -o $B/bindings/abi $B/bindings/abi.c
	$B/bindings/abi > $@.new && mv $@.new $@

# For those who carry weir along: all of it in weir.c and weir.h. The unit tests
# are linked with it as they are with the library.
.PHONY: amalgamation check-amalgamation
amalgamation: $B/amalgamation/weir.c
amalgamation_tests := $(unit_sources:tests/unit/%.c=$B/amalgamation/%)

$B/amalgamation/weir.c: pkgconfig/amalgamate.py lib/floors \
  $(wildcard lib/*.[ch] include/weir/*.h)
	$(PYTHON) pkgconfig/amalgamate.py $(@D)

$B/amalgamation/weir.o: $B/amalgamation/weir.c
	$(CC) $(BASE) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$B/amalgamation/test_%: $B/obj/tests/unit/test_%.o $(kit_objects) \
  $B/amalgamation/weir.o
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(check_libs)

check-amalgamation: $(amalgamation_tests) libraries
	@CC='$(CC)' B='$B' WARNINGS='$(WARNINGS)' TESTS='$(amalgamation_tests)' \
	  tests/check-amalgamation.sh


.SECONDARY:

clean:
	rm -rf $B

-include $(shell find $B/obj -name '*.d' 2>/dev/null)
