"""The faults: each is done to a training at a random time, which then must go on to the undisturbed end, or have said what is wrong."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from fault_check.cases import WORKER, Case, mount, small_disk
from fault_check.injections import PLACES
from fault_check.trainings import LIMIT, ROOT, Training

Fault = Callable[[Case], None]
ENDS = {0, 130}  # of a training that a signal asks to end: it was done already, or it stops
GO_ON = "resume="


def kill_at_a_time(case: Case) -> None:
    training = case.begin()
    case.pass_time(training)
    case.kill(training, signal.SIGKILL)
    case.wait(training, {0, -9})


def kill_at_an_operation(case: Case) -> None:
    number = case.chance.randrange(2 * case.reference.operations)
    case.note(f"at half {number} of {2 * case.reference.operations}")
    case.wait(case.begin({"kill at operation": number}), {0, -9})


def kill_in_a_save(case: Case) -> None:
    number, place = case.chance.randrange(case.reference.num_steps + 2), case.chance.choice(PLACES)
    case.note(f"save {number}, {place}")
    case.wait(case.begin({"kill in save": [number, place]}), {0, -9})


def terminate(case: Case) -> None:
    signalled(case, signal.SIGTERM)


def interrupt(case: Case) -> None:
    signalled(case, signal.SIGINT)


def signalled(case: Case, number: int) -> None:
    """SIGTERM ends a training that has not yet begun as it ends any program."""
    training = case.begin()
    case.pass_time(training)
    case.kill(training, number)
    case.wait(training, ENDS | ({-15} if number == signal.SIGTERM else set()))


def signal_to_the_group(case: Case) -> None:
    """As a terminal's Ctrl-C, a cluster's SIGTERM, and a terminal that is closed: to the workers too."""
    number = case.chance.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    training = case.begin(others=WORKER)
    case.pass_time(training)
    case.kill(training, number, group=True)
    case.wait(training, ENDS | ({-number} - {-signal.SIGINT}))


def two_signals(case: Case) -> None:
    training = case.begin()
    case.pass_time(training)
    for _ in range(2 + case.chance.randrange(2)):
        case.kill(training, case.chance.choice([signal.SIGINT, signal.SIGTERM]))
        case.rest(training, case.chance.choice([0.0, 0.01, 0.1]))
    case.wait(training, ENDS | {-15})


def terminated_then_killed(case: Case) -> None:
    training = case.begin()
    case.pass_time(training)
    case.kill(training, signal.SIGTERM)
    case.rest(training, case.chance.uniform(0.0, 0.2))
    case.kill(training, signal.SIGKILL)
    case.wait(training, ENDS | {-9, -15})


def frozen_then_killed(case: Case) -> None:
    training = case.begin(others=WORKER)
    case.pass_time(training)
    case.kill(training, signal.SIGSTOP)
    case.rest(training, 0.05)
    case.kill(training, signal.SIGKILL)
    case.wait(training, {0, -9})


def interrupt_amid_imports(case: Case) -> None:
    """A process of its own, interrupted at the n-th module that it imports once soli has begun to."""
    number = int(3000 ** case.chance.uniform(0.0, 1.0))
    case.note(f"at module {number}")
    output = case.warm.folder / f"{case.home.name} imports"
    here = str(Path(__file__).with_name("startup"))
    paths = [here, str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "INTERRUPT_AT_IMPORT": str(number)}
    command = [sys.executable, "-m", "soli.train", *case.laboratory.arguments(case.variant)]
    with open(output.with_suffix(".out"), "w") as out, open(output.with_suffix(".err"), "w") as err:
        process = subprocess.Popen(
            command, cwd=case.home, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment, start_new_session=True
        )
        try:
            status = process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
    training = Training(process.pid, output, status)
    case.wait(training, ENDS)


def full_disk(case: Case) -> None:
    needed = sum(-(-path.stat().st_size // 4096) for path in case.reference.home.rglob("*") if path.is_file())
    pages = case.chance.randrange(1, needed + 40)  # a checkpoint is written beside the one that it replaces
    with small_disk(case.home, pages) as mounted:
        if not mounted:
            return refused(case, errno.ENOSPC, "free some space")
        case.note(f"{pages} pages")
        case.wait(case.begin(), {0, 1}, ("no space left", "free some space"))
        mount("-o", "remount,size=64m", str(case.home))
        case.go_on()


def read_only_disk(case: Case) -> None:
    """At the start of a resumed run as a real one; amid a training it is injected."""
    if case.chance.random() < 0.5:
        return refused(case, errno.EROFS, "writable")
    with small_disk(case.home, 16_384) as mounted:
        if not mounted:
            return refused(case, errno.EROFS, "writable")
        training = case.begin()
        case.pass_time(training)
        case.kill(training, signal.SIGKILL)
        case.wait(training, {0, -9})
        mount("-o", "remount,ro", str(case.home))
        case.wait(case.begin(), {0, 1}, ("read-only", "writable"))
        mount("-o", "remount,rw", str(case.home))
        case.go_on()


def no_permission(case: Case) -> None:
    refused(case, errno.EACCES, "permission")


def refused(case: Case, number: int, remedy: str) -> None:
    operation = case.chance.randrange(case.reference.operations + 1)
    case.note(f"{errno.errorcode[number]} from operation {operation} of {case.reference.operations}")
    case.wait(case.begin({"refuse": [number, operation]}), {0, 1}, (os.strerror(number), remedy))


def photograph_vanishes(case: Case) -> None:
    spoilt(case, "vanishes", "does not exist")


def photograph_is_damaged(case: Case) -> None:
    spoilt(case, "is damaged", "cannot be read")


def spoilt(case: Case, how: str, said: str) -> None:
    """When the training has begun: before, all photographs are checked. The cause is removed afterwards."""
    pictures = sorted(path.name for path in case.laboratory.pictures.glob("*.jpg") if not path.name.startswith("test"))
    victim = case.laboratory.pictures / case.chance.choice(pictures)
    others = case.chance.choice([(), WORKER])
    number = case.chance.randrange(case.reference.photographs_before, case.reference.photographs)
    with_worker = ", with a worker" if others else ""
    case.note(f"{victim.name} {how} when photograph {number} of {case.reference.photographs} is opened{with_worker}")
    spoil = {"spoil": {"number": number, "how": how, "victim": str(victim)}}
    try:
        case.wait(case.begin(spoil, others), {0, 1}, (victim.name, said, GO_ON))
    finally:
        gone = Path(f"{victim}.gone")
        if gone.exists():
            gone.replace(victim)


def worker_killed(case: Case) -> None:
    training = case.begin(others=WORKER)
    case.pass_time(training)
    while not case.warm.is_over(training) and not (workers := children(training.pid)):
        case.rest(training, 0.002)
    if not case.warm.is_over(training):
        number = case.chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGSEGV])
        case.note(f"{signal.Signals(number).name} to the worker")
        for pid in workers:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                case.note("which had ended")
    case.wait(training, {0, 1}, ("runtime.workers", signal.Signals.SIGKILL.name[:3], GO_ON))


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def not_a_number(case: Case) -> None:
    number = case.chance.randrange(case.reference.num_steps)
    case.note(f"at step {number + 1}")
    case.wait(case.begin({"nan at": number}), {1}, (f"nan at step {number + 1}", "checkpoint", "optimizer.lr"))


def second_process(case: Case) -> None:
    """The second one must be refused, and the first must not notice."""
    first = case.begin()
    while not (case.run / "config.yaml").exists() and not case.warm.is_over(first):
        case.rest(first, 0.01)
    case.rest(first, case.chance.uniform(0.0, 0.6) * case.reference.seconds)
    case.kill(first, signal.SIGSTOP)  # it does not end before the second one has looked
    second = case.begin()
    case.wait(second, {0, 1}, (str(case.run.name), "another process trains", str(first.pid)))
    if second.status == 0 and "is finished" not in second.said:
        case.problems.append("two trainings shared a run folder")
    case.kill(first, signal.SIGCONT)
    case.wait(first, {0})


def two_at_once(case: Case) -> None:
    both = [case.begin(), case.begin()]
    for training in both:
        case.wait(training, {0, 1}, ("run",))
    if sorted(training.status for training in both) != [0, 1]:
        case.problems.append(f"of two at once {sum(training.status == 0 for training in both)} have trained")


FAULTS: dict[str, Fault] = {
    "kill -9 at a time": kill_at_a_time,
    "kill -9 at a file operation": kill_at_an_operation,
    "kill -9 in a save": kill_in_a_save,
    "SIGTERM": terminate,
    "SIGINT": interrupt,
    "signal to the group": signal_to_the_group,
    "two signals": two_signals,
    "SIGTERM then kill -9": terminated_then_killed,
    "SIGSTOP then kill -9": frozen_then_killed,
    "SIGINT amid imports": interrupt_amid_imports,
    "full disk": full_disk,
    "read-only disk": read_only_disk,
    "no permission": no_permission,
    "photograph vanishes": photograph_vanishes,
    "photograph is damaged": photograph_is_damaged,
    "worker is killed": worker_killed,
    "NaN in a loss": not_a_number,
    "second process": second_process,
    "two at once": two_at_once,
}
