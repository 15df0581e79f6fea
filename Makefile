# Thin front to Meson. `make demo` and `make test` install what they need first (scripts/setup.sh says what it does).
#
#   make          release build; programs in bin/          make verify   sanitizers: the slow evidence
#   make demo     the whole method on a phantom, a report  make bench    build and run the benchmark programs
#   make test     build and run all tests                  make format   rewrite sources with clang-format
#   make check OP=softmax   all that speaks for one operation      make debug    for gdb, in build-debug
#   make install  PREFIX=/usr/local, DESTDIR=; uninstall           SETUP=no      installs no packages
#   make clean    remove build folders and bin/            make lint     format check, dialect lint, clang-tidy
#   make fuzz     hostile files at every reader, by coverage; READER=slide SECONDS=600
#   make gpu-kit  one archive for a machine with an NVIDIA GPU and nothing else; GPU=80,90 names architectures
#   make gpu-report   all of it on this machine's NVIDIA GPU, into bench/results/

BUILD := build
PROGRAMS := train predict slide
# MESON_FLAGS=--werror makes warnings errors, as the gate does.
MESON_FLAGS ?=
# SETUP=no installs nothing: libraries are those that pkg-config finds.
SETUP ?= yes
export SETUP
# Test programs of the ASan+UBSan pass; empty: all of them.
ASAN_PROGRAMS ?=
# Orders of threads and blocks in which that pass runs every kernel on the SIMT machine: all 14, or 3 when empty.
SIMT_SCHEDULES ?= all

.PHONY: all setup install uninstall debug check demo test fuzz verify verify-asan verify-tsan verify-race verify-devices verify-nvcc verify-ptx verify-ptx-here verify-distributions kernel-table bench gpu-kit gpu-report format format-check lint clean

all: setup $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet $(addprefix train/,$(PROGRAMS))
	@mkdir -p bin && for p in $(PROGRAMS); do ln -sf ../$(BUILD)/train/$$p bin/$$p; done

setup:
	@scripts/setup.sh build

$(BUILD)/build.ninja: | setup
	@meson setup $(BUILD) $(MESON_FLAGS) >$(BUILD)-setup.log 2>&1 || { cat $(BUILD)-setup.log; rm -f $(BUILD)-setup.log; exit 1; }
	@mv $(BUILD)-setup.log $(BUILD)/

demo: all
	@bin/train --data phantom --run runs/demo

test: all
	@ninja -C $(BUILD) --quiet
	@python3 tests/run_tests.py $(BUILD)

# The slow evidence. Each pass has its own build folder.
verify: verify-asan verify-tsan verify-race verify-devices verify-nvcc verify-ptx

verify-asan: setup
	@[ -e build-asan/build.ninja ] || meson setup build-asan $(MESON_FLAGS) -Db_sanitize=address,undefined -Db_lundef=false -Doptimization=1 >/dev/null
	@ninja -C build-asan --quiet $(addprefix tests/,$(ASAN_PROGRAMS))
	@ASAN_OPTIONS=detect_stack_use_after_return=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
	  MICROTOME_SIMT_SCHEDULES=$(SIMT_SCHEDULES) ASAN_PROGRAMS="$(ASAN_PROGRAMS)" python3 tests/run_tests.py build-asan

# clang's libFuzzer with ASan and UBSan; corpora and finds stay in build-fuzz. READER='torch hdf5' narrows it.
READER ?=
SECONDS ?= 600
fuzz:
	@scripts/setup.sh verify
	@[ -e build-fuzz/build.ninja ] || CC=clang CXX=clang++ meson setup build-fuzz -Dfuzz=true -Dcuda=disabled -Db_sanitize=address,undefined -Db_lundef=false -Doptimization=1 >/dev/null
	@ninja -C build-fuzz --quiet tests/fuzz/fuzz_readers
	@python3 tests/fuzz/run.py build-fuzz $(if $(READER),--reader $(READER)) --seconds $(SECONDS)

verify-tsan:
	@scripts/setup.sh verify
	@[ -e build-tsan/build.ninja ] || CC=clang CXX=clang++ meson setup build-tsan $(MESON_FLAGS) -Db_sanitize=thread -Db_lundef=false -Doptimization=1 >/dev/null
	@ninja -C build-tsan --quiet
	@scripts/with_archer.sh python3 tests/run_tests.py build-tsan

# --preset tiny, every stage on the SIMT machine beside the cpu from the same files.
verify-devices: all
	@ninja -C $(BUILD) --quiet tests/end_to_end_test
	@MICROTOME_SIMT_LARGE=1 $(BUILD)/tests/end_to_end_test --gtest_filter='*DeviceStages.*OnTheTinyPreset/simt*'

# Data races between CUDA threads; RACE_CHECK='--operations softmax' or '--only kernels' narrows it.
RACE_CHECK ?=
verify-race:
	@scripts/setup.sh verify
	@[ -e build-tsan/build.ninja ] || CC=clang CXX=clang++ meson setup build-tsan $(MESON_FLAGS) -Db_sanitize=thread -Db_lundef=false -Doptimization=1 >/dev/null
	@ninja -C build-tsan --quiet tests/kernels_test tests/race_fault_test
	@scripts/with_archer.sh python3 tests/race_check.py build-tsan $(RACE_CHECK)

# One operation of kernels/, for who has just edited it: build, tests, racecheck, format, dialect, clang-tidy. make check OP=softmax
check: setup $(BUILD)/build.ninja
	@scripts/setup.sh lint && scripts/setup.sh verify
	@[ -e build-tsan/build.ninja ] || CC=clang CXX=clang++ meson setup build-tsan $(MESON_FLAGS) -Db_sanitize=thread -Db_lundef=false -Doptimization=1 >/dev/null
	@scripts/with_archer.sh python3 scripts/check_operation.py "$(OP)" $(BUILD) build-tsan

# For gdb: no optimisation, all symbols; programs and tests in build-debug (CONTRIBUTING.md shows a session).
debug: setup
	@[ -e build-debug/build.ninja ] || meson setup build-debug $(MESON_FLAGS) --buildtype=debug -Dcuda=disabled >/dev/null
	@ninja -C build-debug --quiet $(addprefix train/,$(PROGRAMS)) tests/kernels_test

# Against PyTorch, oneDNN and OpenSlide, and the memory limits; what is not installed is skipped by name.
# One of them: make bench BENCHMARKS=pytorch_mil
BENCHMARKS ?=
bench: $(BUILD)/build.ninja
	@scripts/setup.sh bench || echo "bench: goes on with what is installed"
	@meson setup $(BUILD) --reconfigure >/dev/null
	@python3 bench/run.py $(BUILD) $(BENCHMARKS)

# Needs nvcc and no GPU: what a machine with a driver and python3 is asked, in build-gpu-kit/microtome-gpu-kit.tar.xz (bench/gpu_day/README.md).
GPU ?= 90
gpu-kit:
	@scripts/setup.sh kit
	@python3 scripts/gpu_kit.py --gpu $(GPU)

# On a machine with an NVIDIA GPU and nvcc: the kit for it, both of its commands, and the report into bench/results/.
gpu-report:
	@scripts/setup.sh kit
	@python3 scripts/gpu_kit.py --gpu native --no-archive
	@build-gpu-kit/kit/run --minutes 30 --again --out build-gpu-kit/results correctness; [ $$? -le 1 ]
	@build-gpu-kit/kit/run --minutes 30 --again --out build-gpu-kit/results speed; [ $$? -le 1 ]
	@python3 scripts/gpu_report.py build-gpu-kit/results

# Every kernel for every architecture, spills counted; needs nvcc. Two pages are written from it: docs/kernel_resources.md (registers, shared memory,
# occupancy) and, where cuobjdump is, docs/kernel_loops.md (instructions, products, widths of loads and stores of the inner loops).
verify-nvcc: setup
	@if PATH="$$PATH:/usr/local/cuda/bin" command -v nvcc >/dev/null; then $(MAKE) --no-print-directory kernel-table TABLE= LOOPS=; else echo "verify-nvcc: skipped, no nvcc"; fi

# What nvcc makes of the kernels, executed without a GPU (kernels/ptx): every kernel test in two orders of blocks and warps, the method
# stage by stage in small. PTX_CHECK='--orders ascending --filter *Gemm*cuda*' narrows it; MICROTOME_PTX_LARGE=1: the tiny preset, too.
PTX_CHECK ?=
verify-ptx:
	@if PATH="$$PATH:/usr/local/cuda/bin" command -v nvcc >/dev/null; then $(MAKE) --no-print-directory verify-ptx-here; else echo "verify-ptx: skipped, no nvcc"; fi
verify-ptx-here:
	@scripts/setup.sh verify
	@[ -e build-ptx/build.ninja ] || meson setup build-ptx $(MESON_FLAGS) -Dcuda=enabled -Dgpu_runtime=ptx_machine -Dgpu_architectures=90 >/dev/null
	@ninja -C build-ptx --quiet tests/kernels_test tests/end_to_end_test tests/ptx_machine_test train/train train/predict train/slide
	@build-ptx/tests/ptx_machine_test --gtest_brief=1
	@python3 tests/ptx_check.py build-ptx $(PTX_CHECK)
	@build-ptx/tests/end_to_end_test --gtest_filter='Devices/Device*/cuda'

TABLE ?= --write docs/kernel_resources.md
LOOPS ?= --write docs/kernel_loops.md
kernel-table: setup
	@[ -e build-nvcc/build.ninja ] || meson setup build-nvcc $(MESON_FLAGS) -Dcuda=enabled -Dgpu_architectures=75,80,86,90,100 >/dev/null
	@ninja -C build-nvcc --quiet kernels/device/libkernels_cuda.a
	@python3 scripts/nvcc_checked.py --table build-nvcc $(TABLE)
	@python3 scripts/kernel_loops.py build-nvcc $(LOOPS)

format:
	@scripts/setup.sh lint
	@git ls-files '*.h' '*.cc' '*.cu' '*.cuh' | xargs clang-format -i

format-check:
	@scripts/setup.sh lint
	@git ls-files '*.h' '*.cc' '*.cu' '*.cuh' | xargs clang-format --dry-run --Werror

lint: all format-check
	@python3 scripts/lint.py $(BUILD)

# README's commands in bare roots of Debian 12 and 13, with g++ and with clang; needs root. DISTRIBUTIONS='trixie trixie:clang++'
DISTRIBUTIONS ?=
verify-distributions:
	@scripts/verify_distributions.sh $(DISTRIBUTIONS)

# A build of its own, without tests, to PREFIX; DESTDIR stands before it for who makes packages. `make install` as an ordinary user: PREFIX=$HOME/.local
PREFIX ?= /usr/local
DESTDIR ?=
install: setup
	@meson setup build-install $(if $(wildcard build-install/build.ninja),--reconfigure) --prefix=$(PREFIX) -Dtests=disabled $(MESON_FLAGS) >build-install.log 2>&1 || { cat build-install.log; exit 1; }
	@mv build-install.log build-install/setup.log
	@ninja -C build-install --quiet
	@DESTDIR=$(DESTDIR) meson install -C build-install --no-rebuild

uninstall:
	@[ -e build-install/meson-logs/install-log.txt ] || { echo "uninstall: nothing was installed from this folder"; exit 1; }
	@ninja -C build-install --quiet uninstall

clean:
	rm -rf $(BUILD) build-install build-debug build-asan build-nvcc build-ptx build-tsan build-fuzz bin
