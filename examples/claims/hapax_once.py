"""Runs a function once, with the ledger of a Hapax gateway.

A client of the remote claims of docs/claims.md, with nothing but the standard library of Python 3.9.
Copy it and change it as you like.
"""

import http.client
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

    #: For how many seconds a request without an answer is sent again.
    PATIENCE = 30.0

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
            failure = None
            try:
                found = find(data, claim)
            except Exception as error:
                found, failure = None, error
            if found is not None and found[0]:
                return self._succeed(claim, found[1])
            if found is None or claim.in_doubt < grace:
                # Nothing was executed now, which leaves the doubt about the earlier execution.
                self._settle(claim, {"outcome": "not_executed"})
                raise LedgerError("outcome-unknown", "It is not known yet.", "wait") from failure
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
        return self._succeed(claim, result)

    def _succeed(self, claim, result):
        """Settles the claim with a result, and returns that as every repeat gets it."""
        end = {"outcome": "succeeded", "omitted": True}
        try:
            result = json.loads(json.dumps(result, allow_nan=False))
            end = {"outcome": "succeeded", "result": result}
        except (TypeError, ValueError, RecursionError):
            # It is no JSON, but was executed all the same.
            pass
        try:
            self._settle(claim, end)
        except LedgerError as error:
            if error.code.startswith("payload-"):
                self._settle(claim, {"outcome": "succeeded", "omitted": True})
            # Without an answer, the next call hears that the outcome is unknown; this one knows it.
            elif error.code == "claim-lost":
                raise
        return result

    def _settle(self, claim, end):
        self._send(f"/{claim.operation_id}/settle", {**claim.holder, **end})

    def _renew(self, claim, done):
        """Renews the lease after every third of it, until the claim is settled or lost."""
        third = claim.lease / 3
        # The answer to the claim may have come late.
        pause = claim.until - 2 * third - time.monotonic()
        while not done.wait(max(0, pause)):
            pause = third
            now = time.monotonic()
            try:
                if now < claim.until:
                    # An answer that comes after the lease says nothing any more.
                    self._try(f"/{claim.operation_id}/renew", claim.holder, claim.until - now)
                    claim.until = now + claim.lease
            except LedgerError as error:
                if error.code == "claim-lost":
                    claim.until = now
            if time.monotonic() >= claim.until:
                claim.lost.set()
                return

    def _send(self, path, body):
        """Sends a request until it has an answer. Every request of the protocol can be repeated."""
        until = time.monotonic() + self.PATIENCE
        longest = 0.1
        while True:
            try:
                return self._try(path, body)
            except LedgerError as error:
                longest = min(2, 2 * longest)
                pause = random.uniform(0, longest)
                if error.__cause__ is None or time.monotonic() + pause > until:
                    raise
            time.sleep(pause)

    def _try(self, path, body, timeout=90):
        """Sends a request once. A `LedgerError` with a cause can end otherwise when it is repeated."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = json.dumps(body, allow_nan=False).encode()
        request = urllib.request.Request(self.url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            self._refuse(error)
        except (OSError, ValueError, http.client.HTTPException) as error:
            # Also an answer that breaks off.
            raise LedgerError("gateway-unreachable", str(error), "same-key") from error

    def _refuse(self, error):
        code = error.headers.get("Hapax-Error")
        passes = error.headers.get("X-Should-Retry") == "true"
        if code is None:
            passes = error.code in (408, 425, 429, 500, 502, 503, 504)
        try:
            problem = json.load(error) if code else {}
        except (OSError, ValueError, http.client.HTTPException):
            problem = {}
        retry = problem.get("retry", "same-key" if passes else "never")
        # A conflict was waited for already.
        cause = error if passes and error.code != 409 else None
        detail = problem.get("detail", str(error))
        raise LedgerError(code or "gateway-unreachable", detail, retry) from cause
