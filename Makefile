# The front door. CMake is the build description; this file gives each question one command.
#
#   make demo PATHS=/usr/share/doc THREADS=8    # other input, other number of threads
#   make cross MACHINES="s390x i686"             # these machines
#   make tsan TESTS='^race_'                     # these tests
#   make tidy FILES='^src/'                      # clang-tidy: these files
#   make install PREFIX=$HOME/.local            # DESTDIR= for packagers

PREFIX ?= /usr/local
DESTDIR ?=
PATHS ?= /usr/include
THREADS ?=
TESTS ?=
FILES ?=
MACHINES ?=
FUZZER ?= libfuzzer
SECONDS ?= 60
MINUTES ?= 1

BUILD := build
BOOTSTRAP := scripts/bootstrap

.DEFAULT_GOAL := help
.PHONY: help demo check check-quick bench bench-full install asan msan valgrind misuse ubsan tsan tsan-clang clang cross cross-smoke check-all signals mutants fuzz soak coverage verify verify-short verify-full verify-mutants readme format format-check tidy clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## index /usr/include (or PATHS) with many threads: one shared resource against malloc and a mutex
	@$(BOOTSTRAP) build
	@cmake --preset gcc -B $(BUILD)/demo -DTSMBR_BUILD_TESTS=OFF -DTSMBR_WERROR=OFF >/dev/null
	@cmake --build $(BUILD)/demo --target word_index -- --quiet
	@$(BUILD)/demo/examples/word_index --compare $(if $(THREADS),--threads $(THREADS)) $(PATHS)

# $(call build,PRESET) configures and builds, $(call test,PRESET) runs what was built: one test at a time, as the races
# want the cores for themselves. TESTS: those whose names match.
build = cmake --preset $(1) >/dev/null && cmake --build $(BUILD)/$(1) -- --quiet
test = scripts/run-tests $(1) $(BUILD)/$(1) $(if $(TESTS),-R '$(TESTS)')

check: ## build with gcc; run all tests, the README's examples, an installation, upgrades, consumers, every twelfth mutant
	@$(BOOTSTRAP) build test clang consumers
	@$(call build,gcc)
	@$(MAKE) --no-print-directory --jobs=2 --output-sync $(addprefix of-check-,$(CHECKS))
	@scripts/mutants --some
	@$(call test,gcc)

# Each is one script, at work mostly on one core. The last three look at the sources, the others at what was built.
CHECKS := install consumers abi hardening fast-path source readme
of-check-%:
	@scripts/check-$* $(if $(filter-out fast-path source readme,$*),$(BUILD)/gcc)

check-quick: ## build with gcc and run the tests, no more
	@$(BOOTSTRAP) build test
	@$(call build,gcc)
	@$(call test,gcc)

clang: ## build with clang, with contracts checked inside the library and without; run the tests of both
	@$(BOOTSTRAP) build test clang
	@$(call build,clang)
	@$(call test,clang)
	@$(call build,clang-plain)
	@$(call test,clang-plain)

asan: ## run the tests under AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer (gcc)
	@$(BOOTSTRAP) build test
	@$(call build,asan)
	@$(call test,asan)

msan: ## run the C tests under MemorySanitizer (clang), but the one that runs out of address space
	@$(BOOTSTRAP) build test clang
	@$(call build,msan)
	@export MSAN_OPTIONS=allocator_may_return_null=1; $(call test,msan) -E '^address_space$$'

# Those that need neither time nor thousands of threads or pages: memcheck runs one thread at a time.
memchecked := explicit_lane faults fibers helpers layout place resize resource slot_key statistics thread_exit upstream \
  race_carve_shrink race_exit_start race_refill_refill race_register_register race_reset_rest
space := $(subst ,, )

valgrind: ## run some of the C tests under memcheck, which is told of each block
	@$(BOOTSTRAP) build test tools
	@$(call build,valgrind)
	@$(call test,valgrind) -R '^($(subst $(space),|,$(memchecked)))$$'

misuse: ## programs with a mistake each, under debug build, sanitizers and Valgrind: every one must be reported
	@$(BOOTSTRAP) build clang tools
	@scripts/check-misuse

ubsan: ## run the tests under UndefinedBehaviorSanitizer and the integer checks of clang
	@$(BOOTSTRAP) build test clang
	@$(call build,ubsan)
	@$(call test,ubsan)

tsan: ## run the tests under ThreadSanitizer (gcc)
	@$(BOOTSTRAP) build test clang
	@$(call build,tsan)
	@$(call test,tsan)

tsan-clang: ## the same by clang
	@$(BOOTSTRAP) build test clang
	@$(call build,tsan-clang)
	@$(call test,tsan-clang)

cross: ## the tests on other machines: processors, C and C++ libraries, those whose tools are installed (or MACHINES)
	@$(BOOTSTRAP) build test
	@scripts/cross $(MACHINES)

cross-smoke: ## the C tests on 32-bit x86 and big-endian s390x
	@$(BOOTSTRAP) build test cross-smoke
	@scripts/cross --smoke

check-all: ## everything: check, clang, sanitizers, Valgrind, misuse, coverage, signals, soak, tidy, all machines, the proof
	@$(BOOTSTRAP) build test clang tools consumers lint fuzz coverage cross verify
	@$(MAKE) --no-print-directory check mutants clang asan msan valgrind misuse ubsan tsan tsan-clang coverage signals fuzz soak format-check tidy
	@$(MAKE) --no-print-directory fuzz FUZZER=afl SECONDS=12
	@scripts/cross $$(scripts/cross --list | cut -d ' ' -f 1) # by name: none may be left out
	@scripts/verify

signals: ## timers that interrupt millions of calls of the library as it ships; some five minutes
	@$(BOOTSTRAP) build test
	@cmake --preset gcc >/dev/null && cmake --build $(BUILD)/gcc --target test_signals_shipped -- --quiet
	@TSMBR_ROUNDS=1000 timeout 20m $(BUILD)/gcc/tests/test_signals_shipped # it might wait for ever

mutants: ## break the library on purpose, once per guard: every mutant must turn its test red
	@$(BOOTSTRAP) build test
	@scripts/mutants

fuzz: ## let FUZZER (libfuzzer or afl) make up programs of calls for SECONDS (60); a model judges them
	@$(BOOTSTRAP) build clang fuzz
	@$(call build,$(FUZZER))
	@fuzz/run $(FUZZER) $(SECONDS)

# Half of each half is over the library for tools; in the plain one that is under AddressSanitizer, for its poison.
soak_quarter = --minutes $$(awk 'BEGIN { print $(MINUTES) / 4 }')
soak_build = cmake --preset $(1) >/dev/null && cmake --build $(BUILD)/$(1) --target $(2) -- --quiet

soak: ## random programs on many threads, statistics watched, for MINUTES (1), half of it under ThreadSanitizer
	@$(BOOTSTRAP) build test clang
	@$(call soak_build,gcc,fuzz_soak)
	@$(call soak_build,asan,fuzz_soak_tools)
	@$(call soak_build,tsan-clang,fuzz_soak fuzz_soak_tools)
	@$(BUILD)/gcc/fuzz/fuzz_soak $(soak_quarter)
	@echo "over a library for tools, under AddressSanitizer:"
	@ASAN_OPTIONS=allocator_may_return_null=1 $(BUILD)/asan/fuzz/fuzz_soak_tools $(soak_quarter)
	@echo "both under ThreadSanitizer:"
	@export TSAN_OPTIONS=halt_on_error=1:allocator_may_return_null=1 && \
	  $(BUILD)/tsan-clang/fuzz/fuzz_soak $(soak_quarter) && $(BUILD)/tsan-clang/fuzz/fuzz_soak_tools $(soak_quarter)

coverage: ## which lines and branches of src/ the corpus reaches, and tests with it: fails below 95 and 90 %
	@$(BOOTSTRAP) build test coverage
	@$(call build,coverage)
	@fuzz/coverage $(BUILD)/coverage

verify: ## the proof: all legs, and a table of them
	@$(BOOTSTRAP) build test clang verify
	@scripts/verify

verify-short: ## something of each leg, in some ten minutes
	@$(BOOTSTRAP) build test clang verify
	@scripts/verify --short

verify-full: ## the proof with more seeds, deeper bounds, more runs
	@$(BOOTSTRAP) build test clang verify
	@scripts/verify --full

verify-mutants: ## break machine, C text, orders and traces on purpose: every mutant must be rejected
	@$(BOOTSTRAP) build test clang verify
	@scripts/verify --full code algorithm interleaving replay ownership

verify-%:
	@$(BOOTSTRAP) build test clang verify
	@scripts/verify $*

bench: ## compare with ten other ways to get memory, in one run: tables, targets, a model; under two minutes
	@$(BOOTSTRAP) build bench
	@$(call build,bench)
	@$(BUILD)/bench/bench/tsmbr_bench $(BENCH_FLAGS)

bench-full: ## all workloads, sizes and threads, half an hour or more: JSON, plots, docs/performance.md
	@$(BOOTSTRAP) build bench plots
	@$(call build,bench)
	@bench/full $(BUILD)/bench/bench/tsmbr_bench $(BUILD)/bench/data $(BENCH_FLAGS)

install: ## install header, libraries, pkg-config file and CMake package under PREFIX
	@$(BOOTSTRAP) build
	@cmake --preset gcc -B $(BUILD)/install -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX="$(PREFIX)" \
	  -DTSMBR_BUILD_TESTS=OFF -DTSMBR_BUILD_EXAMPLES=OFF -DTSMBR_WERROR=OFF >/dev/null
	@cmake --build $(BUILD)/install -- --quiet
	@DESTDIR="$(DESTDIR)" cmake --install $(BUILD)/install

sources := git ls-files '*.c' '*.h' '*.cpp' '*.hpp'

format: ## format every source file in place
	@$(BOOTSTRAP) lint
	@$(sources) | xargs clang-format -i

format-check: ## fail if a source file is not formatted
	@$(BOOTSTRAP) lint
	@$(sources) | xargs clang-format --dry-run --Werror

tidy: ## what gcc's analyzer, clang's every warning, clang-tidy and cppcheck have against the code: nothing
	@$(BOOTSTRAP) build test lint clang
	@cmake --preset clang -B $(BUILD)/tidy -DTSMBR_BUILD_BENCH=ON >/dev/null
	@scripts/check-static $(BUILD)/tidy $(if $(FILES),'$(FILES)')

clean: ## remove what was built
	@rm -rf $(BUILD)
