#!/bin/sh
# Fetches the vendored libraries from the npm registry, at the versions below, and writes vendor/README.md.
# To move to another version: change it here, run this, run tests/ui, commit all of it.
set -eu

PREACT=11.2.0
HTM=3.1.1
UPLOT=1.6.32

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
out=$here/vendor
mkdir -p "$out"

fetch() {
    (cd "$work" && npm pack --silent "$1@$2" >/dev/null && mkdir -p "$1" && tar xzf "$1-$2.tgz" -C "$1" --strip-components=1)
    cp "$work/$1/LICENSE" "$out/$1.LICENSE"
}

# Source maps are not served, so the pointers to them would only be 404s in the developer tools.
strip() { sed -e '/^\/\/# sourceMappingURL=/d' -e 's|//# sourceMappingURL=.*$||' "$1"; }

fetch preact "$PREACT"
fetch htm "$HTM"
fetch uplot "$UPLOT"
strip "$work/preact/dist/preact.mjs" > "$out/preact.js"
# Browsers do not resolve bare names without an import map, and the content security policy has no room for an inline one.
strip "$work/preact/hooks/dist/hooks.mjs" | sed -E 's/from ?"preact"/from"\.\/preact.js"/g' > "$out/preact-hooks.js"
strip "$work/htm/dist/htm.mjs" > "$out/htm.js"
# The package's ES module is not minified (145 KB); its minified script is a third of that and needs one line to be a module.
{ strip "$work/uplot/dist/uPlot.iife.min.js"; echo 'export default uPlot;'; } > "$out/uplot.js"
cp "$work/uplot/dist/uPlot.min.css" "$out/uplot.css"
! grep -qE 'from ?"[a-z]' "$out"/*.js || { echo "a bare import is left in vendor/" >&2; exit 1; }

cat > "$out/README.md" <<README
# Vendored libraries

Written by \`refresh-vendor.sh\` from the npm registry; do not edit. Changed from the packages: source map pointers are
removed, and the hooks import \`./preact.js\` instead of \`preact\`,
and uPlot's minified script ends in an export. The \`.d.ts\` files are ours: as much of the types as we use.

| File | Package | Version | Licence |
|---|---|---|---|
| \`preact.js\`, \`preact-hooks.js\` | [preact](https://www.npmjs.com/package/preact) | $PREACT | MIT, \`preact.LICENSE\` |
| \`htm.js\` | [htm](https://www.npmjs.com/package/htm) | $HTM | Apache-2.0, \`htm.LICENSE\` |
| \`uplot.js\`, \`uplot.css\` | [uplot](https://www.npmjs.com/package/uplot) | $UPLOT | MIT, \`uplot.LICENSE\` |
README
