"""python3 -m app ...: from nothing but Python and pip to the running program.

Standard library only, and no newer grammar than old Pythons know: they must get our sentence, not a syntax error.
Makes `.venv` beside this package where it is missing, installs the locked requirements into it where the lock has
changed, and goes on inside it. The command `baton` is the same program without this step.
"""

import contextlib
import hashlib
import os
import subprocess
import sys

OLDEST, NEWEST = (3, 11), (3, 14)
OLDEST_PIP = (22, 3)  # the first that knows --python
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PLAIN, DEVELOPERS = "requirements.lock", "requirements-dev.lock"  # the second holds the first
FOR_DEVELOPERS = ("test", "check")


class Refusal(Exception):
    """One sentence for the person at the keyboard."""


def refuse_version(version):
    """Raise Refusal for a Python (major, minor) that is too old, or newer than the newest wheels."""
    here, oldest, newest = (".".join(str(part) for part in each) for each in (version, OLDEST, NEWEST))
    if version < OLDEST:
        raise Refusal(
            "Baton needs Python %s or newer; this is %s. With a newer one: python%s -m app ..." % (oldest, here, newest)
        )
    if version > NEWEST:
        raise Refusal(
            "Baton's packages are built for Python up to %s; this is %s. With that one: python%s -m app ..."
            % (newest, here, newest)
        )


def environment():
    """The folder of the virtual environment."""
    return os.path.abspath(os.environ.get("BATON_VENV") or os.path.join(ROOT, ".venv"))


def is_inside(folder):
    """True where this process is the environment's own Python."""
    return os.path.realpath(sys.prefix) == os.path.realpath(folder)


@contextlib.contextmanager
def alone(folder):
    """One process at a time works on the environment."""
    import fcntl

    with open(os.path.join(folder, "baton.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make(folder):
    """Make the environment, without pip: the one outside installs into it."""
    python = os.path.join(folder, "bin", "python")
    try:
        os.makedirs(folder, exist_ok=True)
        with alone(folder):
            if os.path.exists(python):  # another process was first
                return
            for name in ("python", "python3"):  # links that a removed Python has left dangling
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(folder, "bin", name))
            done = run([sys.executable, "-m", "venv", "--without-pip", folder])
    except OSError as error:
        raise Refusal(
            "%s cannot be written (%s): make the checkout writable, or set BATON_VENV to a folder that is"
            % (folder, error.strerror)
        )
    if done.returncode != 0:
        raise Refusal("the virtual environment could not be made: %s" % last_line(done))


def wanted(arguments):
    """The lock file that this command needs."""
    command = next((word for word in arguments if not word.startswith("-")), "")
    return DEVELOPERS if command in FOR_DEVELOPERS else PLAIN


def mark_of(lock):
    """What an environment says of itself once this lock is installed in it."""
    with open(os.path.join(ROOT, lock), "rb") as file:
        return hashlib.sha256(file.read()).hexdigest() + " %d.%d" % sys.version_info[:2]


def is_installed(folder, lock):
    """True where the environment holds what the lock says now, for this Python."""
    try:
        with open(os.path.join(folder, lock + ".installed")) as file:
            return file.read() == mark_of(lock)
    except FileNotFoundError:
        return False


def install(folder, lock):
    """Install the locked requirements, each checked by its hash, and note that it was done."""
    with alone(folder):
        if is_installed(folder, lock):  # another process was first
            return
        sys.stderr.write("Setting up %s from %s (once; a minute or two)\n" % (folder, lock))
        sys.stderr.flush()
        python = os.path.join(folder, "bin", "python")
        options = ["-qq", "--disable-pip-version-check", "--no-input", "--require-hashes", "--only-binary=:all:"]
        command = [pip(), "-m", "pip", "--python", python, "install"] + options + ["-r", os.path.join(ROOT, lock)]
        if subprocess.call(command, stdout=sys.stderr) != 0:
            raise Refusal("the packages could not be installed: see pip's words above, then run the same command again")
        for done in (PLAIN, DEVELOPERS) if lock == DEVELOPERS else (PLAIN,):
            with open(os.path.join(folder, done + ".new"), "w") as file:
                file.write(mark_of(done))
            os.replace(os.path.join(folder, done + ".new"), os.path.join(folder, done + ".installed"))


def pip():
    """A Python whose pip is new enough: the one this environment was made from."""
    base = getattr(sys, "_base_executable", None) or sys.executable
    found = run([base, "-m", "pip", "--version"])
    if found.returncode != 0:
        raise Refusal("pip is missing for %s: install it (on Debian: apt install python3-pip) and run again" % base)
    version = found.stdout.split()[1]
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_PIP:
        raise Refusal("pip %s is too old: update it (%s -m pip install -U pip) and run again" % (version, base))
    return base


def run(command):
    return subprocess.run(
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True
    )


def last_line(done):
    return (done.stdout.strip().splitlines() or ["it said nothing"])[-1]


def main(arguments):
    """Prepare the environment, then become the program."""
    refuse_version(sys.version_info[:2])
    if os.name != "posix":
        raise Refusal("Baton runs on Linux and macOS; on Windows use it in WSL")
    folder = environment()
    python = os.path.join(folder, "bin", "python")
    if not is_inside(folder):
        if not os.path.exists(python):
            make(folder)
        os.execv(python, [python, "-m", "app"] + arguments)
    lock = wanted(arguments)
    if not is_installed(folder, lock):
        install(folder, lock)
    from app.commands.cli import main as program

    program()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Refusal as refusal:
        sys.exit(str(refusal))
