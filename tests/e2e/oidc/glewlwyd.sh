#!/usr/bin/env bash
# A second authorization server, written independently and in C: Debian's
# glewlwyd, configured through its own administration API.
# usage: glewlwyd.sh FOLDER PORT GATEWAY. It prints READY and its issuer, and
# runs until it is killed.
set -euo pipefail
folder=$1
port=$2
gateway=$3
url=http://127.0.0.1:$port

zcat -f /usr/share/doc/glewlwyd/database/init.sqlite3.sql.gz | sqlite3 "$folder/glewlwyd.db"
cat >"$folder/glewlwyd.conf" <<CONF
port=$port
bind_address="127.0.0.1"
external_url="$url"
login_url="login.html"
api_prefix="api"
log_mode="file"
log_level="WARNING"
log_file="$folder/glewlwyd.log"
cookie_secure=0
session_key="GSID"
admin_scope="g_admin"
profile_scope="g_profile"
admin_session_authentication="cookie"
user_module_path="/usr/lib/glewlwyd/user"
client_module_path="/usr/lib/glewlwyd/client"
user_auth_scheme_module_path="/usr/lib/glewlwyd/scheme"
plugin_module_path="/usr/lib/glewlwyd/plugin"
hash_algorithm="SHA256"
database = { type = "sqlite3"; path = "$folder/glewlwyd.db"; };
CONF
glewlwyd -c "$folder/glewlwyd.conf" >"$folder/glewlwyd.out" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true' EXIT
trap 'exit 0' TERM INT
for _ in $(seq 200); do
    curl --silent --fail --output /dev/null "$url/config" && break
    kill -0 "$server" || { cat "$folder/glewlwyd.out" >&2; exit 1; }
    sleep 0.05
done

api() {
    local status
    status=$(curl --silent --show-error -b "$folder/jar" -c "$folder/jar" -X "$1" -H 'content-type: application/json' \
        -o "$folder/answer" -w '%{http_code}' "$url/api/$2" -d "$3")
    [ "$status" = 200 ] || { echo "glewlwyd: $1 $2: $status $(cat "$folder/answer")" >&2; exit 1; }
}
api POST auth/ '{"username":"admin","password":"password"}'
for scope in odoo:read odoo:write odoo:introspect; do
    api POST scope/ "{\"name\":\"$scope\",\"display_name\":\"$scope\",\"password_required\":true,\"scheme\":{}}"
done
openssl genrsa -out "$folder/glewlwyd.key" 2048 2>/dev/null
openssl rsa -in "$folder/glewlwyd.key" -pubout -out "$folder/glewlwyd.pub" 2>/dev/null
python3 - "$folder" "$url" "$gateway" >"$folder/plugin.json" <<'PY'
import json
import sys

folder, url, gateway = sys.argv[1:]
instances = [f"{gateway}/{name}/mcp" for name in ("production", "staging")]
parameters = {
    "iss": f"{url}/api/oidc",
    "jwt-type": "rsa",
    "jwt-key-size": "256",
    "key": open(f"{folder}/glewlwyd.key").read(),
    "cert": open(f"{folder}/glewlwyd.pub").read(),
    "access-token-duration": 300,
    "refresh-token-duration": 3600,
    "code-duration": 60,
    "refresh-token-rolling": True,
    "refresh-token-one-use": "always",
    "allow-non-oidc": True,
    "auth-type-code-enabled": True,
    "auth-type-token-enabled": False,
    "auth-type-client-enabled": True,
    "auth-type-refresh-enabled": True,
    "auth-type-password-enabled": False,
    "auth-type-device-enabled": False,
    "jwks-show": True,
    "subject-type": "public",
    "allowed-scope": ["openid", "odoo:read", "odoo:write"],
    "pkce-allowed": True,
    "pkce-method-plain-allowed": False,
    "introspection-revocation-allowed": True,
    "introspection-revocation-allow-target-client": True,
    "introspection-revocation-auth-scope": ["odoo:introspect"],
    "resource-allowed": True,
    "resource-scope": {"odoo:read": instances, "odoo:write": instances},
    "resource-client-property": "",
    "resource-scope-and-client-property": False,
    "oauth-as-iss-id": True,
    "client-pubkey-parameter": "pubkey",
    "client-jwks-parameter": "jwks",
    "name-claim": "no",
    "email-claim": "no",
    "scope-claim": "no",
}
print(json.dumps({"module": "oidc", "name": "oidc", "display_name": "OIDC", "parameters": parameters}))
PY
api POST mod/plugin/ "@$folder/plugin.json"
api POST client/ '{"client_id":"robot","name":"robot","client_secret":"robot-secret","confidential":true,"enabled":true,"authorization_type":["client_credentials"],"scope":["odoo:read","odoo:write"],"token_endpoint_auth_method":["client_secret_basic"]}'
api POST client/ '{"client_id":"gw","name":"gateway","client_secret":"gw-secret","confidential":true,"enabled":true,"authorization_type":["client_credentials"],"scope":["odoo:introspect"],"token_endpoint_auth_method":["client_secret_basic"]}'
api POST client/ '{"client_id":"pub","name":"public client","confidential":false,"enabled":true,"authorization_type":["code","refresh_token"],"redirect_uri":["http://localhost/callback"],"scope":[],"token_endpoint_auth_method":["none"]}'
api POST user/ '{"username":"alice","password":"alice-pw","name":"Alice","enabled":true,"scope":["g_profile","openid","odoo:read","odoo:write"]}'
echo "READY $url/api/oidc"
wait "$server"
