"""Plays the jobs of a workflow that are for this kind of machine, step by step, in empty folders.

`run:` steps and composite actions of this repository are executed. Of the actions of others, checkout, the artifacts and
the two halves of the cache are imitated, and the rest is left out. What is left out is said.
"""

import glob
import itertools
import os
import platform
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from expression import as_text, condition, fill, value

ARM = platform.machine() in ("aarch64", "arm64")
IMITATED = re.compile(r"actions/(checkout|upload-artifact|download-artifact|cache/restore|cache/save)@")
SHELLS = {
    None: ["bash", "-e"],
    "bash": ["bash", "--noprofile", "--norc", "-eo", "pipefail"],
    "sh": ["sh", "-e"],
}


@dataclass
class Machine:
    """Where jobs are played."""

    folder: Path  # everything is in it
    cache: Path  # what actions keep for later runs
    action: Path  # this repository, clean
    action_name: str  # what other repositories call it, without @VERSION
    leave_out: list = field(default_factory=list)  # (pattern, why): `run:` steps that are not executed
    lose: str = ""  # the artifact that does not arrive
    executed: int = 0  # how many steps were

    def new_folder(self, name):
        """A new, empty folder."""
        for number in itertools.count():
            folder = self.folder / f"{name}-{number}"
            if not folder.exists():
                folder.mkdir(parents=True)
                return folder


@dataclass
class Result:
    """What became of a job, or of all jobs of a matrix."""

    conclusion: str = "success"
    outputs: dict = field(default_factory=dict)
    steps: list = field(default_factory=list)  # the contexts `steps`, one for each job of a matrix


def load(path):
    """A workflow or an action. YAML 1.1 takes the key `on` for true."""
    document = yaml.safe_load(Path(path).read_text())
    if True in document:
        document["on"] = document.pop(True)
    return document


def play(machine, path, repository, github):
    """Plays a workflow in a copy of `repository`; the result of each job. `github` is added to that context."""
    workflow, results = load(path), {}
    artifacts = machine.new_folder("artifacts")
    waiting = dict(workflow["jobs"])
    while waiting:
        name = next(name for name, job in waiting.items() if all(need in results for need in _list(job.get("needs"))))
        job = waiting.pop(name)
        results[name] = _Jobs(machine, workflow, name, job, repository, artifacts, github, results).play()
    return results


class _Jobs:
    """All jobs of one matrix."""

    def __init__(self, machine, workflow, name, job, repository, artifacts, github, results):
        self.machine, self.workflow, self.name, self.job = machine, workflow, name, job
        self.repository, self.artifacts, self.github = repository, artifacts, github
        self.needs = {
            need: {"result": results[need].conclusion, "outputs": results[need].outputs}
            for need in _list(job.get("needs"))
        }

    def play(self):
        before = [need["result"] for need in self.needs.values()]
        status = "success" if all(result in ("success", "left out") for result in before) else "failure"
        contexts = {"github": self.github, "needs": self.needs, "status": status}
        if not condition(self.job.get("if", "success()"), contexts):
            self.say("skipped")
            return Result("skipped")
        total, played = Result("left out"), 0
        combinations = _matrix(self.job.get("strategy", {}).get("matrix"))
        for combination in combinations:
            label = value(self.job["runs-on"], {"matrix": combination})
            words = " ".join(str(word) for word in combination.values() if not isinstance(word, dict))
            if not label.startswith("ubuntu-") or label.endswith("-arm") != ARM:
                self.say(f"left out: for {label}", words)
                continue
            if "container" in self.job:
                self.say(f"left out: in a container, {self.job['container']}", words)
                continue
            self.say("", words)
            result = self.one(combination, len(combinations))
            failed = "failure" in (result.conclusion, total.conclusion)
            total.conclusion = "failure" if failed else "success"
            total.outputs.update(result.outputs)
            total.steps += result.steps
        return total

    def say(self, what, words=""):
        print(f"{self.workflow['name']} / {self.name}{f' ({words})' if words else ''}{f': {what}' if what else ''}", flush=True)

    def one(self, combination, total):
        run = _Run(self, combination, total)
        conclusion = run.steps(self.job["steps"])
        contexts = run.contexts()
        outputs = {name: value(text, contexts) for name, text in self.job.get("outputs", {}).items()}
        if conclusion == "failure" and self.job.get("continue-on-error"):
            conclusion = "success"
        return Result(conclusion, outputs, [run.state])


class _Run:
    """The steps of one job, or of one composite action within a job."""

    def __init__(self, jobs, combination, total):
        self.jobs, self.machine = jobs, jobs.machine
        root = self.machine.new_folder(jobs.name)
        self.workspace, self.temp = root / "workspace", root / "temp"
        self.workspace.mkdir()
        self.temp.mkdir()
        self.depth, self.state, self.inputs, self.path = 1, {}, None, None
        self.extra_env, self.extra_path = {}, []
        self.matrix, self.strategy = combination, {"job-total": total}
        self.deadline = time.monotonic() + 60 * jobs.job["timeout-minutes"]

    def within(self, action, inputs):
        """The steps of a composite action in this job."""
        inner = object.__new__(_Run)
        inner.__dict__.update(self.__dict__)
        inner.depth, inner.state, inner.inputs, inner.path = self.depth + 1, {}, inputs, action
        return inner

    def contexts(self, status="success"):
        arch = "ARM64" if ARM else "X64"
        found = {
            "github": dict(self.jobs.github, workspace=str(self.workspace), job=self.jobs.name, token=""),
            "runner": {"os": "Linux", "arch": arch, "temp": str(self.temp)},
            "env": self.env({}, None),
            "steps": self.state,
            "status": status,
        }
        if self.inputs is not None:
            return dict(found, inputs=self.inputs)
        return dict(found, matrix=self.matrix, strategy=self.strategy, needs=self.jobs.needs)

    def env(self, step, contexts):
        """The variables that a workflow, its job and a step set."""
        env = {}
        for level in (self.jobs.workflow, self.jobs.job):
            env.update({name: as_text(text) for name, text in level.get("env", {}).items()})
        env.update(self.extra_env)
        env.update({name: as_text(value(as_text(text), contexts)) for name, text in step.get("env", {}).items()})
        return env

    def steps(self, steps):
        """Plays steps; `success` or `failure`."""
        status = "success"
        for number, step in enumerate(steps):
            contexts = self.contexts(status)
            entry = {"outputs": {}, "outcome": "skipped", "conclusion": "skipped"}
            if condition(step.get("if", "success()"), contexts):
                outcome = self.step(step, contexts, entry["outputs"])
                forgiven = outcome == "failure" and step.get("continue-on-error")
                entry.update(outcome=outcome, conclusion="success" if forgiven else outcome)
                if entry["conclusion"] == "failure":
                    status = "failure"
            else:
                self.say("skip", self.title(step))
            self.state[step.get("id", f"__{number}")] = entry
        return status

    @staticmethod
    def title(step):
        return step.get("name") or step.get("uses") or step["run"].splitlines()[0]

    def say(self, mark, text):
        print(f"{'  ' * self.depth}{mark:4}  {text}", flush=True)

    def step(self, step, contexts, outputs):
        if "run" in step:
            return self.run(step, contexts, outputs)
        inputs = {name: as_text(value(as_text(text), contexts)) for name, text in step.get("with", {}).items()}
        uses = step["uses"]
        if uses.startswith("./"):
            return self.composite(step, self.workspace / uses, inputs, outputs)
        if uses.split("@")[0] == self.machine.action_name:
            return self.composite(step, self.machine.action, inputs, outputs)
        if not IMITATED.match(uses):
            self.say("-", f"{self.title(step)} (left out: an action of others)")
            return "success"
        try:
            {
                "checkout": self.checkout,
                "upload-artifact": self.upload,
                "download-artifact": self.download,
                "cache/restore": self.restore,
                "cache/save": self.save,
            }[IMITATED.match(uses)[1]](inputs, outputs)
        except (OSError, ValueError) as error:
            self.say("FAIL", f"{self.title(step)}: {error}")
            return "failure"
        self.say("ok", f"{self.title(step)} (imitated)")
        return "success"

    def composite(self, step, folder, inputs, outputs):
        action = load(folder / "action.yml")
        known = action.get("inputs", {})
        unknown = set(inputs) - set(known)
        if unknown:
            raise ValueError(f"{self.title(step)}: the action has no input {', '.join(sorted(unknown))}")
        inputs = {name: inputs.get(name, as_text(about.get("default"))) for name, about in known.items()}
        self.say("", self.title(step))
        inner = self.within(folder, inputs)
        status = inner.steps(action["runs"]["steps"])
        contexts = inner.contexts(status)
        outputs.update({name: as_text(value(about["value"], contexts)) for name, about in action.get("outputs", {}).items()})
        return status

    def run(self, step, contexts, outputs):
        script = fill(step["run"], contexts)
        for pattern, why in self.machine.leave_out:
            if re.search(pattern, script):
                self.say("-", f"{self.title(step)} (left out: {why})")
                return "success"
        files = {name: self.temp / f"_{name.lower()}" for name in ("OUTPUT", "ENV", "PATH", "STATE", "STEP_SUMMARY")}
        for file in files.values():
            file.write_text("")
        env = dict(os.environ, **self.env(step, contexts), **{f"GITHUB_{name}": str(file) for name, file in files.items()})
        env.update(
            CI="true", GITHUB_ACTIONS="true", GITHUB_WORKSPACE=str(self.workspace), RUNNER_TEMP=str(self.temp),
            RUNNER_OS="Linux", PATH=os.pathsep.join([*self.extra_path, env["PATH"]]),
        )
        env.update({f"GITHUB_{name.upper()}": text for name, text in self.jobs.github.items()})
        if self.path is not None:
            env["GITHUB_ACTION_PATH"] = str(self.path)
        defaults = {} if self.path else self.jobs.workflow.get("defaults", {}).get("run", {})
        shell = step.get("shell", defaults.get("shell"))
        file = self.temp / "_script"
        file.write_text(script)
        where = self.workspace / fill(step.get("working-directory", "."), contexts)
        code, output, seconds = self.execute([*SHELLS[shell], str(file)], where, env)
        self.machine.executed += 1
        self.say("ok" if code == 0 else "FAIL", f"{self.title(step)} ({seconds:.1f} s)")
        if code != 0:
            # The bar also keeps GitHub from obeying what a step says, where it is GitHub that runs us.
            shown = output.splitlines()[-12 if step.get("continue-on-error") or self.inputs is not None else -60:]
            print("\n".join(f"{'  ' * self.depth}    | {line[:160]}" for line in shown))
            print(f"{'  ' * self.depth}    | exit code {code}", flush=True)
        outputs.update(_assignments(files["OUTPUT"].read_text()))
        self.extra_env.update(_assignments(files["ENV"].read_text()))
        self.extra_path[:0] = reversed(files["PATH"].read_text().split("\n")[:-1])
        return "success" if code == 0 else "failure"

    def execute(self, command, where, env):
        """Runs a command to its end, or to that of the job's time. The exit code, all output, the seconds."""
        start = time.monotonic()
        process = subprocess.Popen(
            command, cwd=where, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=max(1, self.deadline - start))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            output += b"\nout of time"
        return process.returncode, output.decode(errors="replace"), time.monotonic() - start

    # What is imitated.

    def checkout(self, inputs, _):
        shutil.copytree(self.jobs.repository, self.workspace / inputs.get("path", "."), symlinks=True, dirs_exist_ok=True)

    def upload(self, inputs, _):
        files = [Path(name) for line in inputs["path"].split("\n") if line for name in glob.glob(str(self.workspace / line))]
        if not files and inputs.get("if-no-files-found") == "error":
            raise ValueError("nothing to upload")
        name = inputs.get("name", "artifact")
        if name == self.machine.lose:
            return
        place = self.jobs.artifacts / name
        place.mkdir()
        # As in the original: the nearest folder that all have in common is the artifact's root.
        root = Path(os.path.commonpath([file.parent for file in files])) if files else None
        for file in files:
            copy = place / file.relative_to(root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)

    def download(self, inputs, _):
        place = self.workspace / inputs.get("path", ".")
        for artifact in sorted(self.jobs.artifacts.glob(inputs.get("name") or inputs.get("pattern", "*"))):
            flat = inputs.get("merge-multiple") == "true" or "name" in inputs
            shutil.copytree(artifact, place if flat else place / artifact.name, dirs_exist_ok=True)

    def restore(self, inputs, outputs):
        stored = self.machine.cache / inputs["key"]
        if stored.exists():
            shutil.copytree(stored, inputs["path"], dirs_exist_ok=True)
            outputs["cache-hit"] = "true"

    def save(self, inputs, _):
        shutil.copytree(inputs["path"], self.machine.cache / inputs["key"], dirs_exist_ok=True)


def _list(value):
    return [value] if isinstance(value, str) else value or []


def _matrix(matrix):
    """All combinations of a matrix; one, without a name, if there is none."""
    axes = {name: values for name, values in (matrix or {}).items() if name not in ("include", "exclude")}
    if matrix and ("exclude" in matrix or (axes and "include" in matrix)):
        raise ValueError("a matrix with `exclude`, or with both axes and `include`, is beyond this runner")
    if matrix and "include" in matrix:
        return matrix["include"]
    return [dict(zip(axes, values)) for values in itertools.product(*axes.values())]


def _assignments(text):
    """The variables in a file of GitHub's: NAME=VALUE, or NAME<<END, lines, END."""
    found, lines = {}, iter(text.splitlines())
    for line in lines:
        heredoc = re.match(r"([^=]+?)<<(.+)$", line)
        if heredoc:
            found[heredoc[1]] = "\n".join(itertools.takewhile(lambda one: one != heredoc[2], lines))
        elif "=" in line:
            name, _, text = line.partition("=")
            found[name] = text
        elif line:
            raise ValueError(f"neither NAME=VALUE nor NAME<<END: {line!r}")
    return found
