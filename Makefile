# The two commands are `make demo` and `make test`; everything else is a part of them, or for developers.
# Always true: each target is safe to run again, and what is up to date costs a second or less.
.DEFAULT_GOAL := help
.PHONY: help demo test check soak interop dist bench lock prove-clean clean

help:
	@echo 'make demo         set everything up and sign a file through OpenSSL; ends in "Verified OK"'
	@echo 'make test         set everything up and run all checks and tests, as CI does'
	@echo 'make check        the same without installing Debian packages'
	@echo 'make soak         the fault and attack tests again, much longer and with other cases each time'
	@echo 'make interop      other people'"'"'s programs on four Debian releases; writes docs/reference/interop.md (as root)'
	@echo 'make dist         wheels, archives and Debian packages of the module and the wheel of the appliance, in dist/'
	@echo 'make bench        measure, beside openssl speed and SoftHSM2'
	@echo 'make lock         resolve the Python dependencies anew and write the lock files'
	@echo 'make prove-clean  run make demo and make test in a fresh Debian 12 chroot (as root)'
	@echo 'make clean        remove what the commands above have built'

demo:
	@scripts/install-packages demo
	@scripts/setup demo
	@scripts/build-module
	@scripts/demo

test:
	@scripts/install-packages test
	@$(MAKE) --no-print-directory check

check:
	@scripts/setup dev
	@scripts/build-module
	@scripts/check

soak:
	@scripts/setup dev
	@scripts/build-module
	@PRIVYSEAL_SOAK=1 .venv/bin/pytest -n auto --dist loadfile -q --timeout 3600 tests/faults tests/security

interop:
	@scripts/install-packages interop
	@scripts/setup dev
	@scripts/build-module
	@PRIVYSEAL_INTEROP=1 PRIVYSEAL_INTEROP_TABLE=docs/reference/interop.md \
	    .venv/bin/pytest -n auto --dist loadfile -q --timeout 1200 tests/interop tests/packaging

dist:
	@scripts/install-packages demo
	@scripts/setup demo
	@scripts/build-module
	@for p in x86_64 aarch64; do scripts/build-module $$p || \
	    { rm -f build/$$p/privyseal-pkcs11.so; echo "left out $$p: see above" >&2; }; done
	@scripts/dist

bench:
	@scripts/install-packages bench
	@scripts/setup dev
	@scripts/build-module
	@.venv/bin/python bench/run.py

lock:
	@scripts/lock

prove-clean:
	@scripts/prove-clean

clean:
	rm -rf .venv build dist pkcs11/target bench/out .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache \
	    .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
