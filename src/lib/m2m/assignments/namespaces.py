"""Linux namespaces: a process that sees a few read-only folders, an empty working folder, and nothing else of the
machine.

The steps are those of unshare(1), made by system calls, because the process must be forked from one that has already
imported torch, and not started anew.

Sources: user_namespaces(7), pivot_root(2), mount_setattr(2), capabilities(7). Linux 5.12 or later.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from pathlib import Path

NEW_EVERYTHING = (
    0x10000000 | 0x00020000 | 0x20000000 | 0x40000000 | 0x08000000 | 0x04000000
)  # user, mount, pid, net, ipc, uts
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
MNT_DETACH, MOUNT_SETATTR, AT_RECURSIVE, READ_ONLY_NOSUID_NODEV = 2, 442, 0x8000, 1 | 2 | 4
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 24, 36, 38
LAST_CAPABILITY = 63
STUDENT = 1000  # the user inside; outside it is "nobody" if root grades, else the user who grades
NOBODY = 65534
SYSTEM_FOLDERS = ("/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc/ld.so.cache", "/etc/ssl")
DEVICES = ("null", "zero", "full", "random", "urandom")

libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> int:
    """A libc function that says by -1 that it failed.

    Raises:
        OSError: it failed, or this system does not have it.
    """
    values = [str(a).encode() if isinstance(a, str | Path) else a for a in arguments]
    try:
        result = getattr(libc, name)(*values)
    except AttributeError as error:
        raise OSError(f"this system has no {name}") from error
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


def prctl(option: int, value: int = 0) -> None:
    """Set a property of this process, by the numbers of the system call prctl(2)."""
    call("prctl", option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))


def unshare() -> None:
    """Leave every namespace of this process; its next child is process 1 of a new process namespace."""
    call("unshare", NEW_EVERYTHING)


def write_user_maps(pid: int) -> None:
    """Say, from outside, who the users inside are: root for building the view, and a student without any right."""
    process = Path(f"/proc/{pid}")
    if os.geteuid() == 0:
        lines = f"0 0 1\n{STUDENT} {NOBODY} 1\n"
        (process / "uid_map").write_text(lines)
        (process / "gid_map").write_text(lines)
    else:
        (process / "setgroups").write_text("deny")
        (process / "uid_map").write_text(f"0 {os.geteuid()} 1\n")
        (process / "gid_map").write_text(f"0 {os.getegid()} 1\n")


def _mount(source: object, target: object, kind: str | None = None, flags: int = 0, options: str | None = None) -> None:
    call("mount", source, target, kind, ctypes.c_ulong(flags), options)


def _bind_read_only(source: str, root: Path) -> None:
    """The file or folder under its own path in the new root; a link is copied as a link."""
    target = Path(f"{root}{source}")
    if os.path.islink(source) and source in SYSTEM_FOLDERS:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(os.readlink(source))
        return
    if os.path.isdir(source):
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    _mount(source, target, None, MS_BIND | MS_REC)
    attributes = struct.pack("QQQQ", READ_ONLY_NOSUID_NODEV, 0, 0, 0)
    call("syscall", MOUNT_SETATTR, -100, target, AT_RECURSIVE, attributes, ctypes.c_ulong(len(attributes)))


def enter_view(root: Path, visible: Sequence[str], megabytes: int = 64) -> None:
    """Make an empty tmpfs on the folder `root` the root of this process, with `visible` and the system read-only in it.

    For process 1 of the new namespaces. The working folder is /sandbox, empty.
    """
    owner = STUDENT if _two_users() else 0
    _mount(None, "/", None, MS_REC | MS_PRIVATE)
    _mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, f"size={megabytes}m,mode=755")
    for source in [*SYSTEM_FOLDERS, *visible]:
        if os.path.exists(source):
            _bind_read_only(source, root)
    for name in ("sandbox", "tmp", "dev/shm"):
        (root / name).mkdir(parents=True, exist_ok=True)
        os.chown(root / name, owner, owner)
    for name in DEVICES:
        (root / "dev" / name).touch()
        _mount(f"/dev/{name}", root / "dev" / name, None, MS_BIND)
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/passwd").write_text(f"student:x:{owner}:{owner}::/sandbox:/bin/sh\n")
    (root / "proc").mkdir()
    _mount("proc", root / "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    os.chdir(root)
    call("pivot_root", ".", ".")
    call("umount2", ".", MNT_DETACH)
    os.chdir("/sandbox")


def _two_users() -> bool:
    return f"\n{STUDENT:>10} " in "\n" + Path("/proc/self/uid_map").read_text()


def give_up_rights() -> None:
    """Become the student: no capability, none to be had again, no further namespaces, no look into this process."""
    Path("/proc/sys/user/max_user_namespaces").write_text("0")
    two_users = _two_users()
    for capability in range(LAST_CAPABILITY + 1):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:
            break
    if two_users:
        os.setgroups([])
        os.setresgid(STUDENT, STUDENT, STUDENT)
        os.setresuid(STUDENT, STUDENT, STUDENT)
    header, nothing = struct.pack("Ii", 0x20080522, 0), struct.pack("IIIIII", 0, 0, 0, 0, 0, 0)
    call("capset", header, nothing)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_DUMPABLE, 0)
