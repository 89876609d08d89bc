# Every verb does its own set-up on a fresh Debian 12: packages, then the build. What a verb runs stands below it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help build test chaos matrix demo quality bench gpu dashboards lint fmt coverage asan tsan fuzz sim mutants load e2e packages images clean configure-%

JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 20
CTEST := ctest --output-on-failure --parallel $(JOBS)
# Tests that start threads of their own must not multiply them by OpenBLAS's.
export OPENBLAS_NUM_THREADS ?= 1

help:  ## print this
	@sed -n 's/^\([a-z0-9]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

build: configure-release  ## the three binaries, tests and benchmarks into build/release
	cmake --build --preset release --parallel $(JOBS)

test: build  ## every test that needs no GPU
	tools/install_packages.sh test s3 chaos matrix
	tools/prepare_demo.sh
	tools/python_env.sh build/oracle-venv tools/oracle_requirements.txt
	tools/python_env.sh build/deploy-venv tools/deploy_requirements.txt
	tools/python_env.sh build/ops-venv tools/ops_requirements.txt
	$(CTEST) --test-dir build/release --label-exclude gpu

demo: configure-release  ## coordinator, two workers and a real model on this machine
	cmake --build --preset release --parallel $(JOBS) --target gptvq-coordinator gptvq-worker gptvq-client
	tools/prepare_demo.sh
	tools/demo.sh build/release/bin

e2e: build  ## the tests that start the real binaries
	tools/install_packages.sh ops services s3
	tools/python_env.sh build/ops-venv tools/ops_requirements.txt
	$(CTEST) --test-dir build/release --label-regex e2e

SEEDS ?= 1
chaos: build  ## every fault experiment on the real programs, a row each: SEEDS=N times, ONLY=F01,F20
	tools/install_packages.sh chaos
	GPTVQ_BIN=build/release/bin GPTVQ_MAKE_TINY_MODEL=build/release/tests/e2e/make_tiny_model \
	  GPTVQ_SICK_WORKER=build/release/tests/chaos PYTHONDONTWRITEBYTECODE=1 \
	  /usr/bin/python3 tests/chaos/chaos.py --seeds $(SEEDS) $(if $(ONLY),--only $(ONLY))

matrix: build  ## every bad input of the matrix into the real programs, a row each: ONLY=D01,D20
	tools/install_packages.sh matrix
	GPTVQ_BIN=build/release/bin GPTVQ_MAKE_TINY_MODEL=build/release/tests/e2e/make_tiny_model PYTHONDONTWRITEBYTECODE=1 \
	  /usr/bin/python3 tests/matrix/matrix.py $(if $(ONLY),--only $(ONLY))

quality: build  ## about an hour: perplexity and error of every method and size, as a table
	tools/prepare_demo.sh
	tools/quality.py build/release/bin/gptvq-client

bench: build  ## every benchmark once: operations, bytes, time and share of the measured roof
	for program in build/release/bin/bench/*; do "$$program"; done

dashboards: build  ## the Grafana dashboards from their source, and their pictures from a live job
	tools/install_packages.sh ops
	tools/python_env.sh build/ops-venv tools/ops_requirements.txt
	build/ops-venv/bin/python deploy/grafana/generate.py
	GPTVQ_BIN=build/release/bin GPTVQ_MAKE_TINY_MODEL=build/release/tests/e2e/make_tiny_model \
	  build/ops-venv/bin/python tests/ops/draw_dashboards.py docs/images

lint:  ## formatting, layers, shell scripts, and clang-tidy on changed C++ files
	tools/install_packages.sh build lint
	tools/lint.sh

fmt:  ## format the C++ sources in place
	tools/install_packages.sh lint
	git ls-files -z '*.h' '*.cc' '*.cu' '*.cuh' | xargs -0 clang-format -i

gpu:  ## on a machine with a GPU: conformance on the device, memory and race checks, a real model, times
	tools/gpu_check.sh

coverage: configure-coverage  ## line coverage of core and server; fails under 85 %
	tools/install_packages.sh coverage demo services matrix
	cmake --build --preset coverage --parallel $(JOBS)
	find build/coverage -name '*.gcda' -delete
	$(CTEST) --test-dir build/coverage --label-exclude 'gpu|oracle|ops|deploy|s3|chaos'
	gcovr --root . --object-directory build/coverage --filter core/ --filter server/ -j $(JOBS) --fail-under-line 85

# A test asks for more memory than there is, to see it refused; sanitizers have to let it.
asan: configure-asan  ## tests under AddressSanitizer and UndefinedBehaviorSanitizer
	tools/install_packages.sh services matrix
	cmake --build --preset asan --parallel $(JOBS)
	ASAN_OPTIONS=allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
	  $(CTEST) --test-dir build/asan --label-exclude 'gpu|oracle|ops|deploy|s3|chaos'

# Debian's gRPC is not instrumented: its modules are ignored, and where client and server share a process, everything they
# hand each other through it would look like a race. The programs, each in a process of its own, show the real ones. The
# simulated GPU jumps from stack to stack, which ThreadSanitizer cannot follow; it finds races of its kernels by itself.
tsan: configure-tsan  ## tests under ThreadSanitizer
	tools/install_packages.sh services
	cmake --build --preset tsan --parallel $(JOBS)
	TSAN_OPTIONS="ignore_noninstrumented_modules=1 suppressions=$(CURDIR)/tests/tsan.supp history_size=4 exitcode=66 allocator_may_return_null=1" \
	  $(CTEST) --test-dir build/tsan --label-regex 'unit|conformance|sim|e2e' --label-exclude 's3|ops|in_process_rpc|cuda_simulator'

fuzz:  ## each fuzz target for FUZZ_SECONDS (20)
	tools/install_packages.sh build fuzz
	cmake --preset fuzz
	cmake --build --preset fuzz --parallel $(JOBS) --target tests/fuzz/all
	tools/fuzz.sh build/fuzz/bin/fuzz $(FUZZ_SECONDS)

SEEDS ?= 20000
SEED ?= 1
sim: configure-release  ## the scheduler in a simulated world: SEEDS (20000) runs from SEED (1) on, SIM_FLAGS for one of them
	cmake --build --preset release --parallel $(JOBS) --target scheduler_sim
	build/release/tests/sim/scheduler_sim --seeds $(SEEDS) --first $(SEED) $(SIM_FLAGS)

mutants: configure-release  ## break one guard of the scheduler at a time; the simulation has to notice each
	cmake --build --preset release --parallel $(JOBS) --target scheduler_sim
	tools/sim_mutants.py build/release

load: configure-release  ## the coordinator under load: each figure against its bar
	cmake --build --preset release --parallel $(JOBS) --target gptvq-coordinator make_tiny_model coordinator_load
	rm -rf build/load
	build/release/bin/bench/coordinator_load --coordinator build/release/bin/gptvq-coordinator \
	  --make-model build/release/tests/e2e/make_tiny_model --directory $(CURDIR)/build/load $(LOAD_FLAGS)

PACKAGE_PRESET ?= release
packages: configure-$(PACKAGE_PRESET)  ## Debian packages of the three programs into build/release/packages
	tools/install_packages.sh package
	cmake --build --preset $(PACKAGE_PRESET) --parallel $(JOBS) --target packaging/all
	rm -rf build/$(PACKAGE_PRESET)/packages
	cpack --config build/$(PACKAGE_PRESET)/CPackConfig.cmake

images: packages  ## as root: packages on a clean Debian, images built, run and talking to each other
	tools/install_packages.sh images
	cmake --build --preset release --parallel $(JOBS) --target make_tiny_model
	tests/deploy/clean_install_test.sh build/release/packages build/release/tests/e2e/make_tiny_model
	tests/deploy/images_test.sh build/release/tests/e2e/make_tiny_model

configure-%:
	tools/install_packages.sh build
	cmake --preset $*

clean:  ## remove build/, with the demo's model and the Python environments
	rm -rf build
