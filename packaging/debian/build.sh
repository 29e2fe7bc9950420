#!/bin/sh
# Builds the Debian package: packaging/debian/build.sh [cargo-deb's options]. Wants cargo-deb (cargo install cargo-deb).
set -eu
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
cargo build --release --locked --bin leveret
mkdir -p target/package
"$target/release/leveret" man target/package/man
"$target/release/leveret" completions bash >target/package/leveret.bash
"$target/release/leveret" completions zsh >target/package/_leveret
"$target/release/leveret" completions fish >target/package/leveret.fish
cargo deb --no-build --locked "$@"
