# malmoi: `make` builds build/malmoi, build/liblm.a and build/liblm.so.
#
#   make                 the program and the library
#   make tests           every test program (run them with ./test)
#   make fuzz            the libFuzzer targets (clang)
#   make asan            the same tests under AddressSanitizer and UBSan
#   make bench           malmoi and its peers in turn; writes docs/benchmarks.md
#   make install PREFIX=/usr/local
#
# BUILD=dir puts everything made elsewhere.  ONEDNN=0 builds without oneDNN, CURL=0 without libcurl.

BUILD    ?= build
PREFIX   ?= /usr/local
CC       ?= cc
VERSION  := 0.1.0
ONEDNN   ?= $(shell printf '\#include <dnnl.h>\n' | $(CC) -E - >/dev/null 2>&1 && echo 1 || echo 0)
CURL     ?= $(shell printf '\#include <curl/curl.h>\n' | $(CC) -E - >/dev/null 2>&1 && echo 1 || echo 0)

PACKAGES := jansson yaml-0.1 libutf8proc libpcre2-8 zlib libzstd libxxhash libdivsufsort
WARNINGS := -Wall -Wextra -Wshadow -Wpedantic
OPTIMISE ?= -O2 -g
KERNEL_OPTIMISE ?= -O3
SANITIZE ?=
PACKAGE_CFLAGS := $(shell pkg-config --cflags $(PACKAGES))
PACKAGE_LIBS   := $(shell pkg-config --libs $(PACKAGES))
ALL_CFLAGS = -std=gnu11 $(WARNINGS) $(OPTIMISE) $(SANITIZE) -fPIC -fno-semantic-interposition -fopenmp -MMD -MP -Isrc \
             -DLM_VERSION='"$(VERSION)"' -DLM_ONEDNN=$(ONEDNN) -DLM_CURL=$(CURL) $(PACKAGE_CFLAGS) $(CFLAGS)
# oneDNN is opened when it is wanted; linked under the sanitisers, since LeakSanitizer stumbles over the
# thread-local data of a library that came later.  So is libcurl when it is wanted.
LIBS     = $(PACKAGE_LIBS) -ldl $(if $(filter 1,$(ONEDNN)),$(if $(SANITIZE),-ldnnl)) -lm -lpthread -fopenmp $(LDFLAGS)

# ---- sources -----------------------------------------------------------------
# *.k.c holds kernels written once and compiled for every activation type (f32,
# bf16) and, under backend/cpu, for every instruction set.
SOURCES  := $(sort $(shell find src -name '*.c'))
KERNELS  := $(filter %.k.c,$(SOURCES))
LIB_SRC  := $(filter-out src/app/% $(KERNELS),$(SOURCES))
APP_SRC  := $(filter src/app/%,$(SOURCES))
REALS    := f32 bf16
ISAS     := avx2 avx512
ISA_avx2   := $(KERNEL_OPTIMISE) -fno-math-errno -fno-trapping-math -mavx2 -mfma -mf16c
ISA_avx512 := $(KERNEL_OPTIMISE) -fno-math-errno -fno-trapping-math -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mf16c -mprefer-vector-width=512
ISA_ref    := -O2 $(filter -fno-sanitize%,$(KERNEL_OPTIMISE))

obj       = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
kernel_obj = $(foreach v,$(2),$(foreach r,$(REALS),$(patsubst src/%.k.c,$(BUILD)/obj/src/%.$(v).$(r).o,$(1))))
LIB_OBJ  := $(call obj,$(LIB_SRC)) $(BUILD)/obj/gen/registry.o \
            $(call kernel_obj,$(filter src/backend/ref/%,$(KERNELS)),ref) \
            $(call kernel_obj,$(filter src/backend/cpu/%,$(KERNELS)),$(ISAS))
APP_OBJ  := $(call obj,$(APP_SRC)) $(BUILD)/obj/gen/commands.o
TEST_SRC := $(sort $(shell find tests -name 'test_*.c'))
TEST_BIN := $(patsubst tests/%.c,$(BUILD)/tests/%,$(TEST_SRC))
TEST_COMMON := $(call obj,$(sort $(filter-out %/replay.c,$(wildcard tests/common/*.c))))
FUZZ_SRC := $(sort $(wildcard tests/fuzz/fuzz_*.c))
TEST_BIN += $(patsubst tests/fuzz/fuzz_%.c,$(BUILD)/tests/fuzz/test_replay_%,$(FUZZ_SRC))

.PHONY: all tests asan bench fuzz install clean always
all: $(if $(filter src/app/main.c,$(APP_SRC)),$(BUILD)/malmoi) $(BUILD)/liblm.a $(BUILD)/liblm.so

$(BUILD)/malmoi: $(APP_OBJ) $(BUILD)/liblm.a
	$(CC) $(SANITIZE) -o $@ $^ $(LIBS)
	@ln -sfn $(CURDIR)/templates $(CURDIR)/prompts $(BUILD)/

$(BUILD)/liblm.a: $(LIB_OBJ)
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/liblm.so: $(LIB_OBJ)
	$(CC) $(SANITIZE) -shared -Wl,-soname,liblm.so.0 -Wl,-Bsymbolic-functions -o $@ $^ $(LIBS)
	@ln -sf liblm.so $@.0

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

# One rule per (instruction set, activation type) of a kernel file.
define kernel_rule
$(BUILD)/obj/src/%.$(1).$(2).o: src/%.k.c
	@mkdir -p $$(@D)
	$$(CC) $$(ALL_CFLAGS) $$(ISA_$(1)) -DLM_VARIANT=$(1) -DLM_REAL=$(2) -c -o $$@ $$<
endef
$(foreach v,ref $(ISAS),$(foreach r,$(REALS),$(eval $(call kernel_rule,$(v),$(r)))))

# ---- registries --------------------------------------------------------------
# Each `const lm_<kind> lm_<kind>_<name> = {` in src is one entry; nobody edits a list.
$(BUILD)/gen/registry.c: FROM := src
$(BUILD)/gen/commands.c: FROM := src/app
$(BUILD)/gen/registry.c $(BUILD)/gen/commands.c: tools/registry $(SOURCES) $(shell find src -name '*.h')
	@mkdir -p $(@D)
	@tools/registry $(FROM) > $@.new && { cmp -s $@.new $@ || mv $@.new $@; rm -f $@.new; touch $@; }

$(BUILD)/obj/gen/%.o: $(BUILD)/gen/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

# ---- tests -------------------------------------------------------------------
tests: $(TEST_BIN) $(if $(filter src/app/main.c,$(APP_SRC)),$(BUILD)/malmoi)

# Linked to the shared library: ninety programs would each take the archive's time otherwise.  A library
# that changed asks for no new link.
$(BUILD)/tests/%: $(BUILD)/obj/tests/%.o $(TEST_COMMON) | $(BUILD)/liblm.so
	@mkdir -p $(@D)
	$(CC) $(SANITIZE) -o $@ $^ $(BUILD)/liblm.so -Wl,-rpath,$(abspath $(BUILD)) -lcmocka $(LIBS)

# A fuzz target, replayed over its corpus: see tests/common/replay.c.
$(BUILD)/tests/fuzz/test_replay_%: $(BUILD)/obj/tests/fuzz/fuzz_%.o $(BUILD)/obj/tests/common/replay.o $(TEST_COMMON) | $(BUILD)/liblm.so
	@mkdir -p $(@D)
	$(CC) $(SANITIZE) -o $@ $^ $(BUILD)/liblm.so -Wl,-rpath,$(abspath $(BUILD)) -lcmocka $(LIBS)

# UBSan is for the library: it would double the time in which the tests are compiled.
$(BUILD)/obj/tests/%.o: ALL_CFLAGS += -Itests $(if $(SANITIZE),-fno-sanitize=undefined)
$(BUILD)/obj/tests/%.o: OPTIMISE := -O1 -g1

# Kernels are a loop over loads: without the checks that AddressSanitizer makes as well they compile and
# run in a third of the time.
asan:
	$(MAKE) BUILD=$(BUILD)/asan OPTIMISE='-O1 -g1' SANITIZE='-fsanitize=address,undefined -fno-omit-frame-pointer' \
	        KERNEL_OPTIMISE='-O2 -fno-sanitize=null,alignment,object-size,pointer-overflow' tests
	tools/run-tests $(BUILD)/asan

# The library is looked at once for all targets; one that has not changed links nothing anew.
FUZZ_SANITIZE := -fsanitize=address,undefined
fuzz: $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(FUZZ_SRC))
$(BUILD)/fuzzlib/liblm.a: always
	@$(MAKE) CC=clang BUILD=$(BUILD)/fuzzlib OPTIMISE='-O1 -g -Wno-pass-failed' SANITIZE='$(FUZZ_SANITIZE),fuzzer-no-link' \
	         KERNEL_OPTIMISE='-O1 -fno-sanitize=null,alignment,object-size,pointer-overflow' $@
$(BUILD)/fuzz/%: tests/fuzz/%.c $(BUILD)/fuzzlib/liblm.a tests/fuzz/libfuzzer.c $(wildcard tests/fuzz/*.h tests/common/*)
	@mkdir -p $(@D)
	clang $(FUZZ_SANITIZE),fuzzer -O1 -g -std=gnu11 -Isrc -Itests -o $@ $< tests/fuzz/libfuzzer.c $(filter-out %/replay.c,$(wildcard tests/common/*.c)) \
	      $(BUILD)/fuzzlib/liblm.a -lcmocka $(LIBS)

bench: all
	bench/run

# ---- install -----------------------------------------------------------------
HEADERS := $(sort $(shell cd src && find . -name '*.h'))
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/share/malmoi/templates $(DESTDIR)$(PREFIX)/share/malmoi/prompts
	install -m 644 templates/*.yaml $(DESTDIR)$(PREFIX)/share/malmoi/templates/
	install -m 644 prompts/*.yaml $(DESTDIR)$(PREFIX)/share/malmoi/prompts/
	install -m 755 $(BUILD)/malmoi $(DESTDIR)$(PREFIX)/bin/malmoi
	install -m 644 $(BUILD)/liblm.a $(DESTDIR)$(PREFIX)/lib/liblm.a
	install -m 755 $(BUILD)/liblm.so $(DESTDIR)$(PREFIX)/lib/liblm.so.0
	ln -sf liblm.so.0 $(DESTDIR)$(PREFIX)/lib/liblm.so
	for h in $(HEADERS); do install -D -m 644 src/$$h $(DESTDIR)$(PREFIX)/include/lm/$$h; done
	sed -e 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|; s|@LIBS@|$(LIBS)|' tools/lm.pc.in \
	    > $(DESTDIR)$(PREFIX)/lib/pkgconfig/lm.pc

clean:
	rm -rf $(BUILD)/obj $(BUILD)/gen $(BUILD)/tests $(BUILD)/fuzz $(BUILD)/fuzzlib $(BUILD)/asan \
	       $(BUILD)/malmoi $(BUILD)/templates $(BUILD)/prompts $(BUILD)/liblm.a $(BUILD)/liblm.so

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
