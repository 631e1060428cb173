"""python3 -m app ...: sets up a virtual environment if needed, then runs the command in it.

Needs only Python and pip. Creates `.venv` beside this package if it is missing, installs the locked requirements into
it if the lock file has changed, and runs the command there. The command `baton` is the same program without this step.
Standard library only, and old syntax only: an old Python must print our message, not a SyntaxError.
"""

import contextlib
import hashlib
import os
import subprocess
import sys

OLDEST, NEWEST = (3, 11), (3, 14)
OLDEST_PIP = (22, 3)  # the first with --python
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PLAIN, DEVELOPERS = "requirements.lock", "requirements-dev.lock"  # the second includes the first
FOR_DEVELOPERS = ("test", "check")


class SetupError(Exception):
    """The environment cannot be set up; the text is one sentence that says what to do."""


def check_version(version):
    """Raise SetupError for a Python (major, minor) that is too old, or too new for the locked packages."""
    here, oldest, newest = (".".join(str(part) for part in each) for each in (version, OLDEST, NEWEST))
    if version < OLDEST:
        raise SetupError(
            "Baton needs Python %s or newer; this is %s. With a newer one: python%s -m app ..." % (oldest, here, newest)
        )
    if version > NEWEST:
        raise SetupError(
            "Baton's packages are built for Python up to %s; this is %s. With that one: python%s -m app ..."
            % (newest, here, newest)
        )


def environment():
    """The directory of the virtual environment."""
    return os.path.abspath(os.environ.get("BATON_VENV") or os.path.join(ROOT, ".venv"))


def is_inside(folder):
    """Whether this process runs the environment's Python."""
    return os.path.realpath(sys.prefix) == os.path.realpath(folder)


@contextlib.contextmanager
def locked(folder):
    """Hold the environment's lock file, so that one process at a time changes it."""
    import fcntl

    with open(os.path.join(folder, "baton.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def create(folder):
    """Create the environment, without pip: the pip of the base Python installs into it."""
    python = os.path.join(folder, "bin", "python")
    try:
        os.makedirs(folder, exist_ok=True)
        with locked(folder):
            if os.path.exists(python):  # another process was first
                return
            for name in ("python", "python3"):  # dangling links to a Python that was removed
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(folder, "bin", name))
            done = run([sys.executable, "-m", "venv", "--without-pip", folder])
    except OSError as error:
        raise SetupError(
            "%s cannot be written (%s): make the checkout writable, or set BATON_VENV to a directory that is"
            % (folder, error.strerror)
        )
    if done.returncode != 0:
        raise SetupError("the virtual environment could not be created: %s" % last_line(done))


def lock_file_for(arguments):
    """The name of the lock file that this command needs."""
    command = next((word for word in arguments if not word.startswith("-")), "")
    return DEVELOPERS if command in FOR_DEVELOPERS else PLAIN


def marker(lock):
    """The marker of an environment with this lock installed: the lock file's hash and the Python version."""
    with open(os.path.join(ROOT, lock), "rb") as file:
        return hashlib.sha256(file.read()).hexdigest() + " %d.%d" % sys.version_info[:2]


def is_installed(folder, lock):
    """Whether the current lock is installed in the environment, for this Python."""
    try:
        with open(os.path.join(folder, lock + ".installed")) as file:
            return file.read() == marker(lock)
    except FileNotFoundError:
        return False


def install(folder, lock):
    """Install the locked requirements with hash checking, then write the marker."""
    with locked(folder):
        if is_installed(folder, lock):  # another process was first
            return
        sys.stderr.write("Setting up %s from %s (once; a minute or two)\n" % (folder, lock))
        sys.stderr.flush()
        python = os.path.join(folder, "bin", "python")
        options = ["-qq", "--disable-pip-version-check", "--no-input", "--require-hashes", "--only-binary=:all:"]
        command = (
            [python_with_pip(), "-m", "pip", "--python", python, "install"] + options + ["-r", os.path.join(ROOT, lock)]
        )
        if subprocess.call(command, stdout=sys.stderr) != 0:
            raise SetupError(
                "the packages could not be installed: see pip's output above, then run the same command again"
            )
        for done in (PLAIN, DEVELOPERS) if lock == DEVELOPERS else (PLAIN,):
            with open(os.path.join(folder, done + ".new"), "w") as file:
                file.write(marker(done))
            os.replace(os.path.join(folder, done + ".new"), os.path.join(folder, done + ".installed"))


def python_with_pip():
    """The base Python of this environment, whose pip must be new enough."""
    base = getattr(sys, "_base_executable", None) or sys.executable
    found = run([base, "-m", "pip", "--version"])
    if found.returncode != 0:
        raise SetupError("pip is missing for %s: install it (on Debian: apt install python3-pip) and run again" % base)
    version = found.stdout.split()[1]
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_PIP:
        raise SetupError("pip %s is too old: update it (%s -m pip install -U pip) and run again" % (version, base))
    return base


def run(command):
    return subprocess.run(
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True
    )


def last_line(done):
    return (done.stdout.strip().splitlines() or ["no output"])[-1]


def main(arguments):
    """Set up the environment, then run the command in it."""
    check_version(sys.version_info[:2])
    if os.name != "posix":
        raise SetupError("Baton runs on Linux and macOS; on Windows use it in WSL")
    if os.path.exists(os.path.join(ROOT, PLAIN)):  # else a wheel was installed, with its requirements
        enter_environment(arguments)
    from app.commands.cli import main as program

    program()


def enter_environment(arguments):
    """Create or update the environment as needed, and continue inside it."""
    folder = environment()
    python = os.path.join(folder, "bin", "python")
    if not is_inside(folder):
        if not os.path.exists(python):
            create(folder)
        os.execv(python, [python, "-m", "app"] + arguments)
    lock = lock_file_for(arguments)
    if not is_installed(folder, lock):
        install(folder, lock)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except SetupError as error:
        sys.exit(str(error))
