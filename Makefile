# weir: build, run, test, measure. `make help` lists what can be asked for.
#
# Each folder of the house is one archive, linked in the order of the house, so a call uphill does not link:
#   headers knows nobody; cache knows headers; purge knows cache; proxy knows all.
#
# SAN=address,undefined or SAN=thread builds the same tree into a directory of its own.

VERSION  := 0.1.0
PREFIX   ?= /usr/local
CC       ?= cc
SAN      ?=
comma    := ,
BUILD    := build$(if $(SAN),-$(subst $(comma),-,$(SAN)))

WARN     := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wcast-qual \
            -Wwrite-strings -Wvla -Wundef -Wformat=2 -Wnull-dereference -Wunused-result
OPT      ?= $(if $(SAN),-O1 -fno-omit-frame-pointer,-O2)
CFLAGS   ?= -g
HARDEN   := $(if $(SAN),,-D_FORTIFY_SOURCE=2 -fstack-protector-strong)
WEIR_CFLAGS := -std=c11 -D_GNU_SOURCE $(OPT) $(WARN) $(HARDEN) -fPIE -I. -DWEIR_VERSION='"$(VERSION)"' \
            -pthread $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all) -MMD -MP
WEIR_LDFLAGS := -pie -pthread -Wl,-z,relro,-z,now $(if $(SAN),-fsanitize=$(SAN))
PROXY_LIBS := -lmicrohttpd -lcurl -llmdb -lxxhash -ljansson -lyaml -lcrypt -lcares -lm
CACHE_LIBS := -llmdb -lxxhash -lm

objects   = $(patsubst %.c,$(BUILD)/%.o,$(wildcard $(1)/*.c))
LIBS     := $(BUILD)/libpurge.a $(BUILD)/libcache.a $(BUILD)/libheaders.a

.PHONY: all
all: $(BUILD)/weir $(BUILD)/demo-origin

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(WEIR_CFLAGS) -c -o $@ $<

$(BUILD)/libheaders.a: $(call objects,headers)
$(BUILD)/libcache.a: $(call objects,cache)
$(BUILD)/libpurge.a: $(call objects,purge)
$(BUILD)/lib%.a:
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/weir: $(call objects,proxy) $(LIBS)
	$(CC) $(WEIR_LDFLAGS) $(LDFLAGS) -o $@ $^ $(PROXY_LIBS)

$(BUILD)/demo-origin: $(call objects,etc/demo)
	$(CC) $(WEIR_LDFLAGS) $(LDFLAGS) -o $@ $^ -lmicrohttpd -lxxhash

# ---- tests: one program per tests/FOLDER/test_*.c, linked with that folder's archive and those below it only
unit_tests = $(patsubst %.c,$(BUILD)/%,$(wildcard tests/$(1)/test_*.c))
UNIT_TESTS := $(foreach f,headers cache purge proxy,$(call unit_tests,$(f)))

$(BUILD)/tests/headers/test_%: $(BUILD)/tests/headers/test_%.o $(BUILD)/libheaders.a
	$(CC) $(WEIR_LDFLAGS) $(LDFLAGS) -o $@ $^ -lcheck -lsubunit -lrt -lm
$(BUILD)/tests/cache/test_%: $(BUILD)/tests/cache/test_%.o $(BUILD)/libcache.a $(BUILD)/libheaders.a
	$(CC) $(WEIR_LDFLAGS) $(LDFLAGS) -o $@ $^ -lcheck -lsubunit -lrt $(CACHE_LIBS)
$(BUILD)/tests/purge/test_%: $(BUILD)/tests/purge/test_%.o $(LIBS)
	$(CC) $(WEIR_LDFLAGS) $(LDFLAGS) -o $@ $^ -lcheck -lsubunit -lrt $(CACHE_LIBS)
$(BUILD)/tests/proxy/test_%: $(BUILD)/tests/proxy/test_%.o $(filter-out $(BUILD)/proxy/main.o,$(call objects,proxy)) $(LIBS)
	$(CC) $(WEIR_LDFLAGS) $(LDFLAGS) -o $@ $^ -lcheck -lsubunit -lrt $(PROXY_LIBS)

include tests/conversation/conversation.mk
include tests/bench/bench.mk

FUZZERS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/fuzz/fuzz_*.c))
$(BUILD)/tests/fuzz/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(LIBS)
	$(CC) $(WEIR_LDFLAGS) $(LDFLAGS) -o $@ $^ $(CACHE_LIBS)

# Threads meet in the tiers, the flights, the purges and the access log.
THREADED_TESTS := $(call unit_tests,cache) $(call unit_tests,purge) $(BUILD)/tests/proxy/test_access_log
CLIENT_TESTS := $(wildcard tests/clients/*.sh)

.PHONY: tests unit unit-run conversation-run fuzz-run threads-run clients-run
tests: all $(UNIT_TESTS) $(BENCH_DIR)/test_measure $(CONVERSATION_TESTS) $(FUZZERS)
unit: unit-run
unit-run: $(UNIT_TESTS)
	@tests/run unit $(UNIT_TESTS) $(BENCH_DIR)/test_measure
conversation-run: $(BUILD)/weir $(BUILD)/demo-origin $(CONVERSATION_TESTS)
	@WEIR=$(BUILD)/weir DEMO_ORIGIN=$(BUILD)/demo-origin tests/run talk $(CONVERSATION_TESTS)
fuzz-run: $(FUZZERS)
	@tests/run fuzz $(FUZZERS)
threads-run: $(THREADED_TESTS)
	@tests/run threads $(THREADED_TESTS)
clients-run: all
	@WEIR=$(BUILD)/weir DEMO_ORIGIN=$(BUILD)/demo-origin tests/run clients $(CLIENT_TESTS)

# Everything: installs what is missing, builds plain, with AddressSanitizer and UndefinedBehaviorSanitizer, and with
# ThreadSanitizer, runs every test, and ends with one line.
.PHONY: check check-all
check:
	@etc/packages check
	@mkdir -p build && : > build/tally
	@TESTS_TALLY=$(CURDIR)/build/tally $(MAKE) --no-print-directory -s -k check-all; status=$$?; \
	awk -v status=$$status '{ p += $$1; f += $$2 } END { if (status && !f) f = 1; printf "weir: %d passed, %d failed\n", p, f }' \
	    build/tally; exit $$status
check-all:
	@$(MAKE) --no-print-directory -s format-check
	@$(MAKE) --no-print-directory -s -j2 tests
	@$(MAKE) --no-print-directory -s unit-run
	@$(MAKE) --no-print-directory -s conversation-run
	@$(MAKE) --no-print-directory -s clients-run
	@$(MAKE) --no-print-directory -s -j2 SAN=address,undefined tests
	@$(MAKE) --no-print-directory -s SAN=address,undefined unit-run
	@$(MAKE) --no-print-directory -s SAN=address,undefined fuzz-run
	@$(MAKE) --no-print-directory -s SAN=address,undefined conversation-run
	@$(MAKE) --no-print-directory -s -j2 SAN=thread threads-run

# ---- using it
.PHONY: run packages install
packages:
	@etc/packages build
run: packages
	@$(MAKE) --no-print-directory -s -j2 all
	@ORIGIN=$(ORIGIN) BUILD=$(BUILD) etc/run
install: all
	install -D -m 755 $(BUILD)/weir $(DESTDIR)$(PREFIX)/bin/weir
	install -D -m 644 README.md $(DESTDIR)$(PREFIX)/share/doc/weir/README.md

.PHONY: deb
deb: all
	@etc/make-deb $(BUILD) $(VERSION)

.PHONY: help
help:
	@echo 'make run [ORIGIN=URL]   build, start the demo origin (or use ORIGIN) and weir in front of it'
	@echo 'make check              install what is missing, build, run every test'
	@echo 'make bench              speed beside nginx, Varnish, HAProxy and Traffic Server (docs/bench.md)'
	@echo 'make soak               whether the budgets hold while far more than fits flows through'
	@echo 'make, make install      build; install to PREFIX (/usr/local) under DESTDIR'
	@echo 'make deb                a Debian package, in build/'
	@echo 'make format             clang-format'

.PHONY: format format-check
SOURCES = $(wildcard headers/*.[ch] cache/*.[ch] purge/*.[ch] proxy/*.[ch] etc/demo/*.[ch] tests/*/*.[ch])
format:
	clang-format -i $(SOURCES)
format-check:
	clang-format --dry-run -Werror $(SOURCES)

.PHONY: clean
clean:
	rm -rf build build-*

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
