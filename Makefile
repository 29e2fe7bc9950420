# Tests and checks. `make test` installs what it needs into this folder (.venv, node_modules, target) and runs everything.

.PHONY: test clients api ui packaging lint conformance

test:
	cargo test --workspace --locked
	python3 tests/clients/run.py
	python3 tests/clients/pages.py
	python3 tests/ui/run.py
	python3 tests/api/run.py
	python3 tests/instructions.py
	python3 tests/packaging.py

# Real client libraries against one broker: a table of client x scenario.
clients:
	python3 tests/clients/run.py
	python3 tests/clients/pages.py

# The dashboard in Chromium, against target/debug/leveret.
ui:
	cargo build --locked
	python3 tests/ui/run.py

# Other people's tools against the management API.
api:
	python3 tests/api/run.py

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
