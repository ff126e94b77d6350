"""`python -m deploy.release.audit`: known vulnerabilities of what Concord brings, by pip-audit; 1 where there are any.

It asks a service on the network. Where none can be reached, or the one that answers knows none of the packages, it says that
nothing was audited and ends with 0: a machine without the network is no reason against a change.
"""

import json
import subprocess
import sys
import tempfile

from deploy.release.dependencies import dependencies

TIMEOUT_S = 10
LIMIT_S = 120


def main() -> int:
    pins = [f"{one.name}=={one.version}" for one in dependencies()]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(pins))
        file.flush()
        asked = (
            "--disable-pip",
            "--no-deps",
            "--format",
            "json",
            "--progress-spinner",
            "off",
            "--timeout",
            str(TIMEOUT_S),
        )
        command = [sys.executable, "-m", "pip_audit", *asked, "-r", file.name]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            return said_nothing(f"no answer within {LIMIT_S} s")
    return judged(done.stdout, done.stderr)


def judged(answer: str, errors: str) -> int:
    """What pip-audit's JSON comes to, in words and as an exit code."""
    try:
        found = json.loads(answer)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return said_nothing((errors.strip().splitlines() or ["no answer"])[-1])
    looked = [one for one in found if "vulns" in one]
    if not looked:
        return said_nothing("the service knows none of these packages")
    bad = [(one["name"], one["version"], vuln) for one in looked for vuln in one["vulns"]]
    for name, version, vuln in bad:
        fixed = ", ".join(vuln.get("fix_versions") or ()) or "no version yet"
        print(f"{name} {version}: {vuln['id']}; mended in {fixed}", file=sys.stderr)
    print(f"audit: {len(looked)} of {len(found)} dependencies known to the service, {len(bad)} vulnerabilities")
    return 1 if bad else 0


def said_nothing(why: str) -> int:
    print(f"audit: NOT DONE, no vulnerability service could be asked ({why[:200]})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
