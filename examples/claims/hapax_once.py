"""Runs a function once, with the ledger of a Hapax gateway.

A client of the remote claims of docs/claims.md, with nothing but the standard library of Python 3.9.
Copy it and change it as you like.
"""

import json
import random
import threading
import time
import urllib.error
import urllib.request
import uuid


class NotExecuted(Exception):
    """Raise it if nothing was executed: the key is free again."""


class StoredError(Exception):
    """The error with which the operation has failed for good, now or in an earlier call."""

    def __init__(self, error):
        super().__init__(error["message"])
        self.name = error["name"]
        self.code = error.get("code")


class LedgerError(Exception):
    """There is no result, or not yet. `code` is the problem, and `retry` says what to do about it."""

    def __init__(self, code, detail, retry):
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.retry = retry


class Claim:
    """What the function learns about its operation."""

    def __init__(self, granted, asked_at):
        self.operation_id = granted["operationId"]
        #: The idempotency key for the APIs that the function calls.
        self.key = granted["key"]
        self.attempt = granted["attempt"]
        #: For how many seconds the last execution in doubt has been over; None: there is none.
        self.in_doubt = None if granted["inDoubtMs"] is None else granted["inDoubtMs"] / 1000
        #: Set if another process may have taken over. Stop the work then.
        self.lost = threading.Event()
        self.lease = granted["leaseMs"] / 1000
        #: When the lease ends. It began when the claim was granted, or later.
        self.until = asked_at + granted["claimMs"] / 1000 + self.lease
        self.holder = {"claim": granted["claim"], "tenant": granted["tenant"]}


class Ledger:
    """The ledger of a gateway."""

    TRIES = 6

    def __init__(self, url, token, tenant=None):
        self.url = url.rstrip("/") + "/_hapax/claims"
        self.token = token
        self.tenant = {} if tenant is None else {"tenant": tenant}

    def once(self, operation, work, data, key=None, policy=None, find=None, grace=30.0, failed=()):
        """Calls `work(data, claim)` once for each key, and returns its result to every repeat.

        key     a text, {"business": ["/pointer"]} or {"body": "/pointer"}; None: all of `data`
        policy  fields such as retention, wait, lease and unknown (docs/claims.md)
        find    find(data, claim) looks for the result of an earlier execution: (True, result),
                (False, None), or None if it cannot tell. The policy `unknown` is then "probe"
        grace   for how many seconds (False, None) does not count: the earlier call may still arrive
        failed  classes of errors after which the operation has failed for good
        """
        order = {"operation": operation, **self.tenant, "claim": str(uuid.uuid4()), "input": data}
        if key is not None:
            order["key"] = key
        order["policy"] = {**(policy or {}), **({"unknown": "probe"} if find else {})}
        asked_at = time.monotonic()
        # A repeat with the same `claim`, because the answer was lost, gets the same grant.
        answer = self._send("", order)
        if answer["state"] == "succeeded":
            return answer.get("result")
        if answer["state"] == "failed":
            raise StoredError(answer["error"])
        claim = Claim(answer, asked_at)
        done = threading.Event()
        threading.Thread(target=self._renew, args=(claim, done), daemon=True).start()
        try:
            return self._execute(claim, work, data, find, grace, failed)
        finally:
            done.set()

    def _execute(self, claim, work, data, find, grace, failed):
        if time.monotonic() >= claim.until:
            # The answer came so late that the lease is over.
            self._settle(claim, {"outcome": "not_executed"})
            raise NotExecuted()
        if find is not None and claim.in_doubt is not None:
            found = self._find(claim, find, data)
            if found is not None and found[0]:
                self._succeed(claim, found[1])
                return found[1]
            if found is None or claim.in_doubt < grace:
                # Nothing was executed now, which leaves the doubt about the earlier execution.
                self._settle(claim, {"outcome": "not_executed"})
                raise LedgerError("outcome-unknown", "It is not known yet.", "wait")
        try:
            result = work(data, claim)
        except NotExecuted:
            self._settle(claim, {"outcome": "not_executed"})
            raise
        except failed as error:
            form = {"name": type(error).__name__, "message": str(error)}
            self._settle(claim, {"outcome": "failed", "error": form})
            raise StoredError(form) from error
        except BaseException:
            # Nobody knows what was done before.
            self._settle(claim, {"outcome": "unknown"})
            raise
        self._succeed(claim, result)
        return result

    def _succeed(self, claim, result):
        try:
            self._settle(claim, {"outcome": "succeeded", "result": result})
        except (TypeError, ValueError):
            # It is no JSON, but was executed all the same.
            self._settle(claim, {"outcome": "succeeded", "omitted": True})
        except LedgerError as error:
            if error.code.startswith("payload-"):
                self._settle(claim, {"outcome": "succeeded", "omitted": True})
            # Without an answer, the next call hears that the outcome is unknown; this one knows it.
            elif error.code == "claim-lost":
                raise

    def _find(self, claim, find, data):
        try:
            return find(data, claim)
        except Exception:
            return None

    def _settle(self, claim, end):
        self._send(f"/{claim.operation_id}/settle", {**claim.holder, **end})

    def _renew(self, claim, done):
        """Renews the lease after every third of it, until the claim is settled or lost."""
        while not done.wait(claim.lease / 3):
            now = time.monotonic()
            if now >= claim.until:
                claim.lost.set()
                return
            try:
                self._send(f"/{claim.operation_id}/renew", claim.holder, tries=1)
                claim.until = now + claim.lease
            except LedgerError as error:
                if error.code == "claim-lost":
                    claim.lost.set()
                    return

    def _send(self, path, body, tries=TRIES):
        """Sends a request. Every request of the protocol can be repeated."""
        for tried in range(1, tries + 1):
            try:
                return self._try(path, body)
            except LedgerError as error:
                if tried == tries or not isinstance(error.__cause__, OSError):
                    raise
            time.sleep(random.uniform(0, min(2, 0.1 * 2**tried)))

    def _try(self, path, body):
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = json.dumps(body, allow_nan=False).encode()
        request = urllib.request.Request(self.url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=90) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            code = error.headers.get("Hapax-Error", "gateway-unreachable")
            is_final = error.headers.get("X-Should-Retry") == "false" or error.code == 409
            if "Hapax-Error" in error.headers and is_final:
                problem = json.load(error)
                raise LedgerError(code, problem["detail"], problem["retry"]) from None
            raise LedgerError(code, str(error), "same-key") from error
        except (OSError, ValueError) as error:
            cause = error if isinstance(error, OSError) else OSError(str(error))
            raise LedgerError("gateway-unreachable", str(error), "same-key") from cause
