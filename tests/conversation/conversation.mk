# Conversation tests: one program per tests/conversation/test_*.c, linked with the harness and with nothing of weir.
# They start the weir named by the environment's WEIR; the Makefile's own is $(BUILD)/weir.
CONVERSATION_TESTS   := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/conversation/test_*.c))
CONVERSATION_HARNESS := $(patsubst %.c,$(BUILD)/%.o,$(filter-out tests/conversation/test_%,$(wildcard tests/conversation/*.c)))

$(BUILD)/tests/conversation/test_%: $(BUILD)/tests/conversation/test_%.o $(CONVERSATION_HARNESS)
	$(CC) $(WEIR_LDFLAGS) $(LDFLAGS) -o $@ $^ -lcheck -lsubunit -lrt -lm
