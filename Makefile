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
BUILD    := build$(if $(SAN),-$(subst $(comma),-,$(SAN)))
comma    := ,

WARN     := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wcast-qual \
            -Wwrite-strings -Wvla -Wundef -Wformat=2 -Wnull-dereference -Wunused-result
OPT      ?= $(if $(SAN),-O1 -fno-omit-frame-pointer,-O2)
CFLAGS   ?= -g
HARDEN   := $(if $(SAN),,-D_FORTIFY_SOURCE=2 -fstack-protector-strong)
WEIR_CFLAGS := -std=c11 -D_GNU_SOURCE $(OPT) $(WARN) $(HARDEN) -fPIE -I. -DWEIR_VERSION='"$(VERSION)"' \
            -pthread $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all) -MMD -MP
WEIR_LDFLAGS := -pie -pthread -Wl,-z,relro,-z,now $(if $(SAN),-fsanitize=$(SAN))
PROXY_LIBS := -lmicrohttpd -lcurl -llmdb -lxxhash -ljansson -lyaml -lm
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

.PHONY: unit
unit: $(UNIT_TESTS)
	@for t in $(UNIT_TESTS); do $$t || exit 1; done

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
