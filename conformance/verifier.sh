#!/usr/bin/env bash
# A reading of a Triad chain, verified on another chain: a node, and beside it anvil with contracts/artifacts/TriadVerifier.
#
#   conformance/verifier.sh PATH-TO-triad [DIRECTORY WITH npm's @foundry-rs/cast AND anvil]
#
# One line a check, then the gas of each call; exits 0 if all hold. Uses curl, node and npm; ends what it started.
set -euo pipefail

root="$(cd "$(dirname "$0")/.." && pwd)"
foundry=1.7.1
triad="$(cd "$(dirname "$1")" && pwd)/$(basename "$1")"
work="$(mktemp -d)"
started=()
finish() {
  for pid in "${started[@]:-}"; do
    [ -n "$pid" ] || continue
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap finish EXIT

npm="${2:-$work/npm}"
if [ ! -d "$npm/node_modules/@foundry-rs/anvil" ]; then
  npm install --prefix "$npm" --ignore-scripts --no-audit --no-fund --loglevel=error \
    "@foundry-rs/cast@$foundry" "@foundry-rs/anvil@$foundry" >/dev/null
fi
tool() {
  local found
  for found in "$npm"/node_modules/@foundry-rs/"$1"-*/bin/"$1"; do
    [ -x "$found" ] && { echo "$found"; return; }
  done
  echo "$npm/node_modules/.bin/$1"
}
cast="$(tool cast)"
anvil="$(tool anvil)"
export FOUNDRY_DISABLE_NIGHTLY_WARNING=1
field() { node -e 'const v=JSON.parse(require("fs").readFileSync(0,"utf8")); const f=new Function("v","return v"+process.argv[1])(v); console.log(typeof f==="object"?JSON.stringify(f):String(f))' "$1"; }

failed=0
check() {
  local name="$1"
  shift
  if "$@" >"$work/check.log" 2>&1; then
    echo "ok $name"
  else
    failed=$((failed + 1))
    echo "FAIL $name: $(tail -n 4 "$work/check.log" | tr '\n' ' ')"
  fi
}
wait_for() { # wait_for FILE: until it has a line
  for _ in $(seq 300); do
    [ -s "$1" ] && return
    sleep 0.1
  done
  echo "FAIL nothing was written to $1"
  exit 1
}

# ---- the two chains ----------------------------------------------------------------------------------------------

"$triad" node --data-dir "$work/node" --dev --json --http 127.0.0.1:0 --rpc 127.0.0.1:0 --mqtt 127.0.0.1:0 \
  >"$work/node.out" 2>"$work/node.err" &
started+=("$!")
"$anvil" --host 127.0.0.1 --port 0 >"$work/anvil.out" 2>&1 &
started+=("$!")
wait_for "$work/node.out"
addresses="$(head -n 1 "$work/node.out")"
api="http://$(field .http <<<"$addresses")"
export TRIAD_API="$api" TRIAD_RPC="http://$(field .rpc <<<"$addresses")" TRIAD_MQTT="$(field .mqtt <<<"$addresses")"
for _ in $(seq 300); do
  listening="$(sed -n 's/^Listening on //p' "$work/anvil.out")"
  [ -n "$listening" ] && break
  sleep 0.1
done
[ -n "$listening" ] || { cat "$work/anvil.out"; echo "FAIL anvil does not listen"; exit 1; }
export ETH_RPC_URL="http://$listening"
# anvil's first account, which everybody knows.
secret=0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80
send() { "$cast" send --private-key "$secret" --json "$@"; }
gas() { echo "$(($(field .gasUsed)))"; }

# ---- a reading ---------------------------------------------------------------------------------------------------

reading() {
  "$triad" key new --out "$work/sensor.pem" --json >"$work/key.json" &&
    "$triad" device register --key "$work/sensor.pem" --json >"$work/device.json" || return 1
  device="$(field .device_id <"$work/device.json")"
  "$triad" model bind "$device" temperature range --low 2 --high 8 >/dev/null &&
    printf 'timestamp,value\n2026-01-01 00:00:00,5.5\n2026-01-01 00:00:01,9.5\n' >"$work/log.csv" &&
    "$triad" publish --csv "$work/log.csv" --key "$work/sensor.pem" --name temperature --unit Cel --speed max >/dev/null &&
    curl --silent --fail "$api/v1/devices/$device/streams/temperature/readings" >"$work/readings.json" || return 1
  leaf="$(field '.readings.find(r => r.value === 9.5).leaf' <"$work/readings.json")"
  "$triad" receipt evm "$leaf" --out "$work/proof.json"
}
device=
leaf=
check "a reading of 9.5, its receipt as the contract takes it" reading
[ "$failed" = 0 ] || exit 1
proof() { field "$1" <"$work/proof.json"; }

# The node's signature is what another program makes of the same EIP-712 message with the same key.
typed() {
  cat >"$work/typed.json" <<JSON
{"types": {"EIP712Domain": [{"name": "name", "type": "string"}, {"name": "version", "type": "string"},
  {"name": "chainId", "type": "uint256"}, {"name": "salt", "type": "bytes32"}],
  "Checkpoint": [{"name": "digest", "type": "bytes32"}]}, "primaryType": "Checkpoint",
 "domain": {"name": "Triad", "version": "1", "chainId": $(proof .chain_id), "salt": "$(proof .genesis_hash)"},
 "message": {"digest": "$(proof .digest)"}}
JSON
  local key theirs ours
  key="$(field .checkpoint_secret <"$work/node/validator.json")"
  theirs="$("$cast" wallet sign --private-key "$key" --data --from-file "$work/typed.json")"
  ours="$(curl --silent --fail "$api/v1/checkpoints/$(proof .height)" | field '.signatures[0].signature')"
  echo "$theirs"
  echo "$ours"
  [ "$theirs" = "$ours" ]
}
check "cast signs the checkpoint's EIP-712 message with the same 65 bytes" typed

# ---- on the other chain ------------------------------------------------------------------------------------------

deploy() {
  local arguments
  arguments="$(proof .constructor_arguments)"
  send --create "$(field .bytecode <"$root/contracts/artifacts/TriadVerifier.json")${arguments#0x}" >"$work/deployed.json" &&
    verifier="$(field .contractAddress <"$work/deployed.json")" &&
    [ "$("$cast" call "$verifier" 'genesisHash()(bytes32)')" = "$(proof .genesis_hash)" ]
}
verifier=
check "TriadVerifier is deployed on anvil" deploy
[ "$failed" = 0 ] || exit 1

statement() {
  send "$verifier" "$(proof .calldata.verifyStatement)" >"$work/statement.json" || return 1
  local told
  told="$("$cast" call "$verifier" --data "$(proof .calldata.verifyStatement)")" &&
    [ "$("$cast" decode-abi 'f()((bytes32,bytes20,bytes20,bytes32,uint64,uint64))' "$told" | grep -o '0x[0-9a-f]*' | head -n 1)" = \
      "$(proof .statement.leaf.statementHash)" ] &&
    printf '%s' "$(proof .statement_bytes)" | node -e '
      const bytes = Buffer.from(require("fs").readFileSync(0, "utf8").slice(2), "hex");
      console.log("0x" + require("crypto").createHash("sha256").update(bytes).digest("hex"))' |
      grep -q "$(proof .statement.leaf.statementHash)"
}
check "the statement is verified there" statement
# The dev chain judges with the anomaly detector (model 0) and this stream with the range that was bound.
number="$(proof '.verdicts.length - 1')"
verdict() {
  send "$verifier" "$(proof ".calldata.verifyVerdict[$number]")" >"$work/verdict.json" || return 1
  "$cast" call "$verifier" --data "$(proof ".calldata.verifyVerdict[$number]")" >"$work/told" &&
    "$cast" decode-abi 'f()((uint64,uint16,bytes32,uint64,uint8,uint8,uint32,int64,int128,string))' "$(cat "$work/told")" |
    tee "$work/verdict.txt" | tr -d '()' | awk -F', ' -v leaf="$leaf" '{ split($9, value, " "); exit !($1 == leaf && $6 == 2 && value[1] == 9500000000) }'
}
check "its verdict is verified there, and says: high, 9.5" verdict
submitted() {
  send "$verifier" "$(proof .calldata.submitCheckpoint)" >"$work/submit.json" &&
    send "$verifier" "$(proof .calldata.proveStatement)" >"$work/prove-statement.json" &&
    send "$verifier" "$(proof ".calldata.proveVerdict[$number]")" >"$work/prove-verdict.json"
}
check "both again under the submitted checkpoint" submitted

# flipped CALLDATA PART: one bit of every byte of PART, which stands in CALLDATA, in turn; none may pass.
flipped() {
  node -e '
    const [data, part] = process.argv.slice(1).map((h) => h.slice(2));
    const at = data.indexOf(part);
    if (at < 0) process.exit(1);
    for (let i = 0; i < part.length; i += 2) {
      const byte = (parseInt(data.substr(at + i, 2), 16) ^ (1 << (i / 2) % 8)).toString(16).padStart(2, "0");
      console.log("0x" + data.slice(0, at + i) + byte + data.slice(at + i + 2));
    }' "$1" "$2" >"$work/flipped"
  local tried=0
  while read -r data; do
    tried=$((tried + 1))
    if rpc_call "$data" >/dev/null 2>&1; then
      echo "a change of byte $tried passed"
      return 1
    fi
  done <"$work/flipped"
  echo "$tried refused"
  [ "$tried" -gt 0 ]
}
rpc_call() { # without starting cast a hundred times: fails where the node answers with an error
  curl --silent --fail --header 'Content-Type: application/json' "$ETH_RPC_URL" --data @- <<<"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_call\",\"params\":[{\"to\":\"$verifier\",\"data\":\"$1\"},\"latest\"]}" |
    grep -q '"result"'
}
check "the untouched calldata passes eth_call" rpc_call "$(proof .calldata.verifyStatement)"
check "no byte of the checkpoint can be changed" flipped "$(proof .calldata.verifyStatement)" "$(proof .checkpoint)"
check "no byte of the signature can be changed" flipped "$(proof .calldata.verifyStatement)" "$(proof '.signatures[0].vs')"
check "no byte of the verdict can be changed" flipped "$(proof ".calldata.verifyVerdict[$number]")" "$(proof ".verdicts[$number].verdict")"
check "no byte of the proof can be changed" flipped "$(proof .calldata.verifyStatement)" "$(proof '.statement.logPath[0]')"

why() {
  local changed
  changed="$("$cast" call "$verifier" --data "$(head -n 40 "$work/flipped" | tail -n 1)" 2>&1)" && return 1
  echo "$changed"
}
check "and the refusal has a reason" why

echo "gas, calldata included (1 validator, a log of $(proof .height) blocks): deployment $(gas <"$work/deployed.json")," \
  "verifyStatement $(gas <"$work/statement.json"), verifyVerdict $(gas <"$work/verdict.json")," \
  "submitCheckpoint $(gas <"$work/submit.json"), proveStatement $(gas <"$work/prove-statement.json")," \
  "proveVerdict $(gas <"$work/prove-verdict.json")"
[ "$failed" = 0 ]
