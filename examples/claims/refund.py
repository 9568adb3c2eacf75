"""Refunds orders, each of them once: python3 refund.py o_1:500 o_2:700

HAPAX_URL, HAPAX_CLAIMS_TOKEN and PAYMENTS_URL say where the gateway and the API of the payments are.
"""

import argparse
import concurrent.futures
import json
import os
import urllib.error
import urllib.request

from hapax_once import Ledger, LedgerError

PAYMENTS_URL = os.environ["PAYMENTS_URL"]


def refund(data, claim):
    """Has the effect. The API recognizes a repeat by the key."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": claim.key}
    body = json.dumps(data).encode()
    request = urllib.request.Request(f"{PAYMENTS_URL}/refunds", body, headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def find_refund(data, claim):
    """Asks the API whether it knows a refund with this key."""
    try:
        with urllib.request.urlopen(f"{PAYMENTS_URL}/refunds/{claim.key}", timeout=60) as response:
            return True, json.load(response)
    except urllib.error.HTTPError as error:
        return (False, None) if error.code == 404 else None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--unknown", choices=["hold", "resend", "probe"], default="hold")
    parser.add_argument("--lease", default="60s")
    parser.add_argument("--grace", type=float, default=30)
    parser.add_argument("orders", nargs="+", metavar="ORDER:AMOUNT")
    options = parser.parse_args()
    ledger = Ledger(os.environ["HAPAX_URL"], os.environ["HAPAX_CLAIMS_TOKEN"])
    is_probed = options.unknown == "probe"
    policy = {"lease": options.lease, **({} if is_probed else {"unknown": options.unknown})}

    def run(text):
        order, amount = text.split(":")
        data = {"order": order, "amount": int(amount)}
        try:
            result = ledger.once(
                "refund",
                refund,
                data,
                key={"business": ["/order"]},
                policy=policy,
                find=find_refund if is_probed else None,
                grace=options.grace,
            )
            print(json.dumps({"order": order, "result": result}), flush=True)
        except LedgerError as error:
            print(json.dumps({"order": order, "error": error.code}), flush=True)

    with concurrent.futures.ThreadPoolExecutor(len(options.orders)) as pool:
        list(pool.map(run, options.orders))


main()
