# make bench: weir beside its peers, in one run. docs/bench.md says how to read it; tests/bench/run has the settings.
BENCH_DIR := $(BUILD)/tests/bench
BENCH_PROGRAMS := $(addprefix $(BENCH_DIR)/,floor origin load)

$(BENCH_DIR)/floor: $(addprefix $(BENCH_DIR)/,floor.o responder.o net.o)
$(BENCH_DIR)/origin: $(addprefix $(BENCH_DIR)/,origin.o responder.o net.o)
$(BENCH_DIR)/load: $(addprefix $(BENCH_DIR)/,load.o load_options.o response.o latency.o cputime.o net.o)
$(BENCH_PROGRAMS): $(BUILD)/headers/view.o
	$(CC) $(WEIR_LDFLAGS) $(LDFLAGS) -o $@ $^

# The variables of the command line (BENCH_ONLY="hit-1k 304", BENCH_ROUNDS=3, ...) reach the script through make.
.PHONY: bench bench-programs
bench-programs: $(BENCH_PROGRAMS)
bench: $(BENCH_PROGRAMS) $(BUILD)/weir
	@BENCH_BUILD=$(BUILD) tests/bench/run

# Its own unit test, one more of `make unit`.
$(BENCH_DIR)/test_measure: $(addprefix $(BENCH_DIR)/,test_measure.o response.o latency.o) $(BUILD)/headers/view.o
	$(CC) $(WEIR_LDFLAGS) $(LDFLAGS) -o $@ $^ -lcheck -lsubunit -lrt -lm
unit-run: $(BENCH_DIR)/test_measure

# Budgets instead of speed: more than fits, for a while.
.PHONY: soak
soak: $(BUILD)/weir
	@BENCH_BUILD=$(BUILD) python3 tests/bench/soak.py
