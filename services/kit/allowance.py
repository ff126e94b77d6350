"""What the system lets this process have: open files, memory, threads. Too little of it is said in words, not as a trace."""

import errno
import resource

# Services keep a few files open a thread, and a connection a caller.
LEAST_FILES, WANTED_FILES = 128, 4_096
MIB = 2**20
# Address space, most of it never touched: stacks and arenas of threads, libraries.
LEAST_ADDRESSES = 2_048 * MIB
# Under this NumPy's own library ends the process while it is loaded, in words that name nobody.
LEAST_TO_START = 256 * MIB
WANT = {
    errno.EMFILE: "this process may open no more files: ulimit -n 4096 lets it",
    errno.ENFILE: "this machine has no more open files to give: end something, or raise fs.file-max",
    errno.ENOMEM: "there is no memory left: end something, or lift the limit (ulimit -v unlimited)",
    errno.EAGAIN: "this process may start no more threads: ulimit -u says how many, ulimit -v may be too low for them",
    errno.ENOSPC: "the disk is full: make room, or name another folder in CONCORD_HOME",
    errno.EDQUOT: "your share of the disk is full: make room, or name another folder in CONCORD_HOME",
    errno.EIO: "the disk cannot be read or written: look at it (dmesg), and at a copy",
    errno.EROFS: "the disk may only be read: name another folder in CONCORD_HOME",
}


def widen() -> None:
    """Lets this process open as many files as services want, as far as the system lets it ask for them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(WANTED_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def too_few_addresses() -> bool:
    """Whether not even the libraries can be loaded."""
    addresses = resource.getrlimit(resource.RLIMIT_AS)[0]
    return addresses != resource.RLIM_INFINITY and addresses < LEAST_TO_START


def lacking() -> list[str]:
    """What services would come to want, a sentence each with what to do; none: there is enough."""
    out = []
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if files != resource.RLIM_INFINITY and files < LEAST_FILES:
        out.append(f"this process may open {files} files and services need {LEAST_FILES}: ulimit -n {WANTED_FILES}")
    addresses = resource.getrlimit(resource.RLIMIT_AS)[0]
    if addresses != resource.RLIM_INFINITY and addresses < LEAST_ADDRESSES:
        out.append(
            f"this process may use {addresses // MIB:,} MiB of addresses and services need {LEAST_ADDRESSES // MIB:,}: "
            "ulimit -v unlimited"
        )
    return out


def want(error: BaseException) -> str | None:
    """What the system did not give, in words with what to do; None for an error of another kind."""
    if isinstance(error, MemoryError):
        return WANT[errno.ENOMEM]
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return WANT[errno.EAGAIN]
    if isinstance(error, ImportError) and any(
        sign in str(error) for sign in ("failed to map", "cannot allocate memory")
    ):
        return WANT[errno.ENOMEM]
    if isinstance(error, OSError) and error.errno in WANT:
        return WANT[error.errno]
    return None
