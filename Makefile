# Tests and checks. `make test` installs what it needs into this folder (.venv, node_modules, target) and runs everything.

.PHONY: test clients api ui packaging systems lint conformance ecosystem

# It ends with a table of suites and one line of sums. `tests/repeat` runs suites many times on a busy machine.
test:
	python3 tests/all.py

# Real client libraries against one broker: a table of client x scenario.
clients:
	python3 tests/clients/run.py
	python3 tests/clients/pages.py

# The dashboard in Chromium, against target/debug/leveret.
ui:
	cargo build --locked
	python3 tests/ui/run.py

# That the program can be built for other systems.
systems:
	python3 tests/systems.py

# Other people's tools against the management API.
api:
	python3 tests/api/run.py

# Other people's tools and frameworks that take their time; all of them run, whatever one says.
ecosystem:
	@failed=; for runner in tests/ecosystem/*/run.py; do echo "=== $$runner"; python3 $$runner || failed="$$failed $$runner"; done; \
	if [ -n "$$failed" ]; then echo "failed:$$failed"; exit 1; fi

# Image, unit and manifests, by the tools that know them.
packaging:
	python3 tests/packaging.py

lint:
	cargo fmt --all -- --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
	cargo deny check

# The same conformance tests against another broker: make conformance URL=amqp://127.0.0.1:5672
conformance:
	LEVERET_TEST_URL=$(URL) cargo test --locked --test it conformance
