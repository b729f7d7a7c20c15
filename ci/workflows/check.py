"""Executes the workflows of a clean clone on this machine, and looks whether they do what they are for.

usage: check.py CLONE FOLDER CACHE [--all]
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from runner import Machine, load, play

ACTION = "OWNER/forkspec"
# Never executed here, and why.
NEVER = [
    (r"\bsudo\b", "it changes the machine"),
    (r"\bgh\b", "it needs GitHub"),
    (r"\bci/check-workflows\b", "it is this check"),
]
# Executed only with --all: .ci/run has them, or they take long.
COSTLY = [
    (r"\bci/(lint|test|bench|lowest-rung|steady|check-\w+|release (?!--tag))", "ask for it with --all"),
    (r"\bcargo (run|test)\b", "ask for it with --all"),
]


def main(clone, folder, cache, *options):
    clone, folder, cache = Path(clone).resolve(), Path(folder).resolve(), Path(cache).resolve()
    machine = Machine(folder, cache, clone, ACTION, NEVER + ([] if "--all" in options else COSTLY))
    checks = Checks()
    for check in (own_workflow, release, classroom, sharded):
        before = machine.executed
        check(machine, clone, checks)
        checks.that(f"{check.__name__}: some step was executed", machine.executed > before)
        print(flush=True)
    steady(clone, checks)
    for path in [*clone.glob(".github/workflows/*.yml"), *clone.glob("docs/*.yml")]:
        every_job_is_bounded(clone, path, checks)
    return checks.report()


class Checks:
    """What was looked at, and what was wrong."""

    def __init__(self):
        self.right, self.wrong = 0, []

    def that(self, what, holds):
        if holds:
            self.right += 1
        else:
            self.wrong.append(what)

    def same(self, what, got, wanted):
        self.that(f"{what}: {got!r}, not {wanted!r}", got == wanted)

    def report(self):
        for what in self.wrong:
            print(f"check-workflows: {what}", file=sys.stderr)
        print(f"{self.right} passed, {len(self.wrong)} failed")
        return 1 if self.wrong else 0


def own_workflow(machine, clone, checks):
    results = play(machine, clone / ".github/workflows/ci.yml", clone, github("refs/heads/main", "main"))
    for name, result in results.items():
        checks.that(f"ci.yml: the job {name} {result.conclusion}", result.conclusion in ("success", "left out"))
    # The job compares the action's outputs with what they have to be; make sure that it did.
    checks.same("ci.yml: the job action", results["action"].conclusion, "success")


def release(machine, clone, checks):
    path = clone / ".github/workflows/release.yml"
    version = load_version(clone)
    results = play(machine, path, clone, github(f"refs/tags/v{version}", f"v{version}"))
    checks.same("release.yml: the version's own tag", results["version"].conclusion, "success")
    results = play(machine, path, clone, github("refs/tags/v999.0.0", "v999.0.0"))
    checks.same("release.yml: another tag", results["version"].conclusion, "failure")
    checks.same("release.yml: what another tag builds", results["build"].conclusion, "skipped")
    checks.same("release.yml: what another tag publishes", results["publish"].conclusion, "skipped")


def classroom(machine, clone, checks):
    for fixture, conclusion, verdict in (
        ("correct/sigchld-ignored", "success", "conforms"),
        ("defects/waits-once", "failure", "does-not-conform"),
    ):
        repository = submission(machine, clone, fixture)
        job = play(machine, clone / "docs/classroom.yml", repository, github("refs/heads/main", "main"))["forkspec"]
        checks.same(f"classroom.yml: {fixture}", job.conclusion, conclusion)
        checks.same(f"classroom.yml: {fixture}: verdict", outputs(job).get("verdict"), verdict)
        report = outputs(job).get("report", "")
        checks.that(f"classroom.yml: {fixture}: there is a report at {report!r}", report and Path(report).is_file())


def sharded(machine, clone, checks):
    for fixture, lost, conclusion, verdict in (
        ("correct/sigchld-ignored", "", "success", "conforms"),
        ("correct/sigchld-ignored", "shard-2", "failure", "invalid"),
        ("defects/waits-once", "", "failure", "does-not-conform"),
    ):
        machine.lose = lost
        repository = submission(machine, clone, fixture)
        path = clone / "docs/classroom-sharded.yml"
        jobs = play(machine, path, repository, github("refs/heads/main", "main"))
        checks.same(f"classroom-sharded.yml: {fixture}: shards", len(jobs["play"].steps), 3)
        checks.same(f"classroom-sharded.yml: {fixture}", jobs["merge"].conclusion, conclusion)
        checks.same(f"classroom-sharded.yml: {fixture}: verdict", outputs(jobs["merge"]).get("verdict"), verdict)


def steady(clone, checks):
    """No part is forgotten. The repeats themselves take hours."""
    job = load(clone / ".github/workflows/steady.yml")["jobs"]["repeat"]
    parts = job["strategy"]["matrix"]["part"]
    checks.same("steady.yml: the parts", parts, list(range(1, len(parts) + 1)))
    wanted = f'ci/steady "${{{{ matrix.part }}}}/{len(parts)}"'
    checks.that(f"steady.yml: no step is {wanted}", any(step.get("run") == wanted for step in job["steps"]))


def every_job_is_bounded(clone, path, checks):
    workflow, name = load(path), path.relative_to(clone)
    checks.same(f"{name}: permissions", workflow.get("permissions"), {"contents": "read"})
    for job, what in workflow["jobs"].items():
        checks.that(f"{name}: the job {job} has no timeout-minutes", isinstance(what.get("timeout-minutes"), int))


def outputs(job):
    """The outputs of the step `forkspec` of a job."""
    return job.steps[0]["forkspec"]["outputs"] if job.steps else {}


def submission(machine, clone, fixture):
    """A student's repository with a server."""
    repository = machine.new_folder("submission")
    source = clone / f"fixtures/{fixture}.c"
    shutil.copy(source, repository / "tcpserv.c")
    for header in source.parent.glob("*.h"):
        shutil.copy(header, repository)
    return repository


def github(ref, name):
    """The context `github` of a push."""
    return {
        "ref": ref, "ref_name": name, "repository": ACTION, "event_name": "push", "sha": "0" * 40,
        "workflow": "workflow",
    }


def load_version(clone):
    command = ["cargo", "metadata", "--no-deps", "--format-version=1", "--locked"]
    found = subprocess.run(command, cwd=clone, check=True, capture_output=True, text=True).stdout
    packages = json.loads(found)["packages"]
    return next(package["version"] for package in packages if package["name"] == "forkspec")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
