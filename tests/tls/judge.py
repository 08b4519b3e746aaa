"""Judges what sslyze and testssl.sh have found: judge.py SSLYZE.json TESTSSL.json"""
import json
import sys

# Findings of testssl.sh that are not the proxy's: an id and how its words begin, each with the reason.
NOT_OURS = {
    ("engine_problem", "No engine or GOST support via engine"): "about the scanning machine's OpenSSL",
    ("cert_revocation", "Neither CRL nor OCSP URI provided"): "a private authority names no place where its revocations are told",
    ("DNS_CAArecord", "--"): "localhost has no record in DNS of who may issue for it",
    # Who has no AES in hardware prefers ChaCha20, and all suites on offer are good (Mozilla recommends the same).
    ("cipher_order", "NOT a cipher order configured"): "the client chooses among suites that are all AEAD and forward-secret",
}

with open(sys.argv[1]) as file:
    (scan,) = json.load(file)["server_scan_results"]
with open(sys.argv[2]) as file:
    findings = json.load(file)
results = {name: part["result"] for name, part in scan["scan_result"].items() if part["status"] == "COMPLETED"}
faults = []


def expect(what, is_so):
    if not is_so:
        faults.append(what)


suites = {
    version: results[f"{version}_cipher_suites"]["accepted_cipher_suites"]
    for version in ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2", "tls_1_3"]
}
offered = [version for version, accepted in suites.items() if accepted]
expect("TLS 1.2 and 1.3, and nothing else, are offered", offered == ["tls_1_2", "tls_1_3"])
for suite in suites["tls_1_2"]:
    name = suite["cipher_suite"]["name"]
    is_good = name.startswith("TLS_ECDHE_") and ("_GCM_" in name or "_CHACHA20_" in name)
    expect(f"{name} is forward-secret and AEAD", is_good)
renegotiation = results["session_renegotiation"]
expect("no renegotiation", renegotiation["client_renegotiations_success_count"] == 0)
expect("no early data", not results["tls_1_3_early_data"]["supports_early_data"])
# Tickets it takes for refused where each resumption brings a new one, as it should; tests/tls.rs has openssl try them.
expect("sessions are resumed", results["session_resumption"]["session_id_resumption_result"] == "FULLY_SUPPORTED")

for finding in findings:
    if finding["severity"] in ("OK", "INFO"):
        continue
    line = f"{finding['id']} ({finding['severity']}): {finding['finding']}"
    is_said = lambda known: known[0] == finding["id"] and finding["finding"].startswith(known[1])
    reasons = [reason for known, reason in NOT_OURS.items() if is_said(known)]
    if reasons:
        print(f"ignored, {reasons[0]}: {line}")
    else:
        faults.append(f"testssl.sh: {line}")
hsts = next((finding["severity"] for finding in findings if finding["id"] == "HSTS_time"), "missing")
expect("HSTS for half a year or more", hsts == "OK")


def grade():
    """By SSL Labs' Server Rating Guide: protocols and keys 30 % each, ciphers 40 %; a plus for HSTS without a fault."""
    protocols = {"ssl_2_0": 0, "ssl_3_0": 80, "tls_1_0": 90, "tls_1_1": 95, "tls_1_2": 100, "tls_1_3": 100}
    protocol = (max(protocols[version] for version in offered) + min(protocols[version] for version in offered)) / 2
    all_suites = [suite for accepted in suites.values() for suite in accepted]
    # A curve of 253 bits or more is as strong as RSA of 3072.
    key = 90 if all((suite["ephemeral_key"] or {"size": 0})["size"] >= 253 for suite in all_suites) else 40
    strengths = [100 if suite["cipher_suite"]["key_size"] >= 256 else 80 for suite in all_suites]
    cipher = (max(strengths) + min(strengths)) / 2
    score = 0.3 * protocol + 0.3 * key + 0.4 * cipher
    letter = "A" if score >= 80 else "B" if score >= 65 else "C or worse"
    return f"{letter}{'+' if letter == 'A' and not faults else ''} ({score:.0f} of 100)"


print(f"sslyze: as Mozilla's intermediate configuration; grade by SSL Labs' rules, trust in the private authority left out: {grade()}")
for fault in faults:
    print(f"NOT AS IT SHOULD BE: {fault}", file=sys.stderr)
sys.exit(1 if faults else 0)
