# Short names for what the scripts and meson do; nothing is built by make itself.

all: build/build.ninja
	@ninja -C build

# What the build needs and the machine lacks is installed, as scripts/demo and scripts/test do.
build/build.ninja:
	@ROOT=$(CURDIR) bash -euc '. scripts/lib/setup.sh; setup_packages build'
	@meson setup build

# To another place: make install DESTDIR=/tmp/root, or `meson setup --prefix /usr build` first.
install: all ; @meson install -C build --no-rebuild

test: ; @scripts/test
all-tests: ; @scripts/test --all
night-tests: ; @scripts/test --night
demo: ; @scripts/demo

# Unit and contract tests under AddressSanitizer and UndefinedBehaviorSanitizer.
asan: ; @scripts/test asan

# The unit tests under valgrind.
valgrind: ; @scripts/test valgrind

# Each promise broken on purpose: the named test must see it.
mutants: ; @scripts/test --mutations

# Random lives of the whole, judged at rest: make chaos N=200
chaos: ; @scripts/chaos --runs $(or $(N),20)

# Fuzz one decoder until Ctrl-C: make fuzz T=abi
fuzz: ; @scripts/fuzz $(T)

fmt: ; @clang-format -i $$(git ls-files '*.c' '*.h')
lint: ; @scripts/test lint

# After a change to the tables of commands, settings or metrics: the files that repeat them.
reference: all ; @tools/reference

clean: ; @rm -rf build build-*

.PHONY: all install test all-tests night-tests demo asan valgrind mutants chaos fuzz fmt lint reference clean
