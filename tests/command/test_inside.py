"""What a command sees: an exact environment, a private directory, no descriptors, no rights beyond its user's."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
from pathlib import Path

import pytest

from angelica.domain.command import Command
from angelica.runtime.commands.checks import CannotRun, user_for
from angelica.runtime.commands.environment import environment
from tests.command.house import PATH, PYTHON, ROOT, RUN_AS, left_in, play, ran, run, runner_in

LOOK = """
import json, os, resource, stat, sys
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
fds = {}
for name in os.listdir("/proc/self/fd"):
    try:
        fds[name] = os.readlink(f"/proc/self/fd/{name}")
    except OSError:
        pass  # the one that lists
mask = os.umask(0)
print(json.dumps({
    "env": dict(os.environ), "cwd": os.getcwd(), "argv": sys.argv, "fds": fds, "umask": mask,
    "uid": os.getresuid(), "gid": os.getresgid(), "groups": os.getgroups(),
    "no_new_privs": status["NoNewPrivs"].strip(), "caps": [status[c].strip() for c in ("CapPrm", "CapEff", "CapAmb")],
    "session": os.getsid(0) == os.getpid() == os.getpgrp(), "stdin": sys.stdin.read(), "tty": os.isatty(0),
    "modes": {name: stat.S_IMODE(os.stat(f"{os.getcwd()}/{name}").st_mode) for name in (".", "../home", "../tmp")},
    "listing": sorted(os.listdir(".")),
    "limits": [resource.getrlimit(n)[0] for n in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE)],
    "ignored": status["SigIgn"].strip(), "blocked": status["SigBlk"].strip(),
}))
"""


def look(directory, **more):
    done = run(directory, PYTHON, "-c", LOOK, **more)
    assert done.end.exit_code == 0, done.why
    return json.loads(done.out[0])


def test_the_environment_is_exactly_what_was_given_and_three_more(directory, monkeypatch):
    monkeypatch.setenv("CANARY_SECRET", "s3cr3t")
    monkeypatch.setenv("LD_PRELOAD", "")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    seen = look(directory, env={**PATH, "LANG": "C.UTF-8", "TASK_ID": "t-1"})
    home, _, _ = seen["cwd"].rpartition("/")
    assert seen["env"].pop("TASK_RUN")
    seen["env"].pop("LC_CTYPE", None)  # Python's own, where it coerces the C locale
    assert seen["env"] == {
        **PATH, "LANG": "C.UTF-8", "TASK_ID": "t-1", "HOME": f"{home}/home", "TMPDIR": f"{home}/tmp"
    }  # fmt: skip


def test_no_secret_of_the_worker_can_be_read_in_the_helper(directory, monkeypatch):
    monkeypatch.setenv("CANARY_SECRET", "s3cr3t-of-the-worker")

    async def story():
        async with runner_in(directory) as runner:
            await runner.start()
            return await asyncio.to_thread(Path(f"/proc/{runner.helper_pid}/environ").read_bytes)

    assert b"s3cr3t" not in play(story())


def test_the_variables_of_a_task_and_those_that_are_let_through():
    command = Command("train", "python x", "/usr/bin/python3", env=("AWS_REGION", "NOT_SET"))
    environ = {"AWS_REGION": "eu", "SECRET": "x", "LD_PRELOAD": "/x.so", "PATH": "/evil", "ANGELICA_TOKEN": "t"}
    made = environment(command, environ, task_id="t", attempt=2, queue="q", deadline=1_700_000_000_500_000)
    assert made == {
        "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "AWS_REGION": "eu", "TASK_ID": "t",
        "TASK_ATTEMPT": "2", "TASK_QUEUE": "q", "TASK_COMMAND": "train", "TASK_DEADLINE": "1700000000.500",
    }  # fmt: skip
    assert "TASK_DEADLINE" not in environment(command, {}, task_id="t", attempt=1, queue="q", deadline=None)


def test_it_has_the_rights_of_its_user_and_no_others(directory):
    seen = look(directory)
    uid = pwd.getpwnam(RUN_AS).pw_uid if ROOT else os.getuid()
    gid = pwd.getpwnam(RUN_AS).pw_gid if ROOT else os.getgid()
    assert (seen["uid"], seen["gid"]) == ([uid] * 3, [gid] * 3)
    assert seen["groups"] == ([] if ROOT else os.getgroups())
    assert seen["no_new_privs"] == "1"
    assert seen["caps"] == ["0" * 16] * 3
    assert seen["umask"] == 0o077
    assert seen["session"] is True


def test_a_setuid_program_gains_nothing(directory):
    # passwd and su are setuid root: were the bit heeded, the effective uid of what they run would be 0.
    script = """
import os, subprocess, sys
for program in ("/usr/bin/su", "/bin/su", "/usr/bin/passwd", "/usr/bin/sudo", "/bin/mount"):
    if os.path.exists(program) and os.stat(program).st_mode & 0o4000:
        child = subprocess.Popen([program, "--help"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.kill(child.pid, 19)
        status = open(f"/proc/{child.pid}/status").read()
        print(program, [line.split()[1:] for line in status.splitlines() if line.startswith("Uid")][0])
        os.kill(child.pid, 9)
        child.wait()
"""
    done = run(directory, PYTHON, "-c", script)
    assert done.end.exit_code == 0, done.why
    assert done.out, "no setuid program on this machine"
    uid = str(pwd.getpwnam(RUN_AS).pw_uid if ROOT else os.getuid())
    for line in done.out:
        assert line.endswith(str([uid] * 4)), line


def test_it_has_three_descriptors_and_an_empty_stdin(directory):
    seen = look(directory)
    listing = seen["fds"].pop("3", None)  # of the directory that is being listed
    assert listing is None or listing.startswith("/proc/")
    assert sorted(seen["fds"]) == ["0", "1", "2"]
    assert seen["fds"]["0"] == "/dev/null"
    assert all(seen["fds"][number].startswith("pipe:") for number in "12")
    assert (seen["stdin"], seen["tty"]) == ("", False)


def test_its_signals_are_as_a_program_expects_them(directory):
    done = run(directory, "/bin/sh", "-c", "grep -E 'Sig(Ign|Blk)' /proc/self/status")
    # 32 and 33 are the C library's own: its posix_spawn, which `make` uses, leaves them ignored in all that follows.
    own = 1 << 31 | 1 << 32
    assert [int(line.split()[1], 16) & ~own for line in done.out] == [0, 0]


def test_its_directories_are_private_and_hold_its_files(directory, tmp_path):
    (tmp_path / "data.txt").write_text("some data", "utf-8")
    (tmp_path / "run.sh").write_text(
        "#!/bin/sh\ncat data.txt; echo; pwd > new; echo x > $HOME/a; echo x > $TMPDIR/b", "utf-8"
    )
    (tmp_path / "run.sh").chmod(0o755)
    files = (str(tmp_path / "data.txt"), str(tmp_path / "run.sh"))
    seen = look(directory, files=files)
    assert set(seen["modes"].values()) == {0o700}
    assert seen["listing"] == ["data.txt", "run.sh"]
    done = run(directory, "/bin/sh", "-c", "./run.sh && ls -l data.txt", files=files)
    assert done.out[0] == "some data"
    assert done.out[1].startswith("-rw-------")
    assert left_in(directory) == []


def test_its_limits_are_set(directory):
    assert look(directory)["limits"] == [256, 1 << 30, 0]


def test_what_it_leaves_behind_is_removed_whatever_it_is(directory):
    script = """
import os
os.symlink("/etc/passwd", "link"); os.symlink("/", "root"); os.mkfifo("fifo")
os.makedirs("locked/inside"); os.chmod("locked/inside", 0); os.chmod("locked", 0)
for _ in range(1500):
    os.mkdir("d" * 50); os.chdir("d" * 50)
"""
    done = run(directory, PYTHON, "-c", script)
    assert done.end.exit_code == 0, done.why
    assert left_in(directory) == []
    assert Path("/etc/passwd").exists()


def modes_below(directory):
    (place,) = Path(directory).glob("run-*")
    return [oct(path.stat().st_mode & 0o777) for path in (Path(directory), place, place / "work", place / "lock")]


def test_other_users_cannot_look_into_a_place(directory):
    async def story():
        async with runner_in(directory) as runner:
            begun = asyncio.Event()
            task = asyncio.create_task(
                ran(runner, "/bin/sh", "-c", "pwd; sleep 20", on_lines=lambda *_: begun.set(), timeout=20)
            )
            await begun.wait()
            modes = await asyncio.to_thread(modes_below, directory)
            task.cancel()
            await asyncio.wait([task])
            return modes

    assert play(story()) == ["0o711", "0o711", "0o700", "0o600"]


@pytest.mark.parametrize(
    ("argv", "more", "said"),
    [
        (("/nonexistent/program",), {}, "/nonexistent/program: No such file or directory"),
        (("/etc/passwd",), {}, "/etc/passwd: Permission denied"),
        (("/bin/true",), {"files": ("/nonexistent/file",)}, "/nonexistent/file: No such file or directory"),
        (("/bin/true",), {"files": ("/dev/null",)}, "/dev/null: is not a regular file"),
    ],
)
def test_what_cannot_be_started_says_why_and_leaves_nothing(directory, argv, more, said):
    done = run(directory, *argv, **more)
    assert (done.end.reason, done.end.message) == ("not_started", said)
    assert left_in(directory) == []


def test_root_runs_nothing_without_another_user(directory, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(CannotRun) as refused:
        user_for(None)
    assert refused.value.code == "run-as-required"
    with pytest.raises(CannotRun, match="another user"):
        user_for("root")
    with pytest.raises(CannotRun) as refused:
        user_for("no-such-user")
    assert refused.value.code == "unknown-user"
    assert user_for("nobody") == (pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert user_for("nobody") is None


def test_the_exit_code_and_the_signal_are_told(directory):
    async def story():
        async with runner_in(directory) as runner:
            for code in (0, 1, 3, 127, 255):
                done = await ran(runner, "/bin/sh", "-c", f"exit {code}")
                assert (done.end.reason, done.end.exit_code, done.end.signal) == ("exited", code, None)
            done = await ran(runner, "/bin/sh", "-c", "kill -USR1 $$")
            assert (done.end.reason, done.end.exit_code, done.end.signal) == ("signalled", None, 10)
            done = await ran(runner, PYTHON, "-c", "import ctypes; ctypes.string_at(0)")
            assert (done.end.reason, done.end.signal) == ("signalled", 11)

    play(story())


def test_arguments_arrive_as_they_are(directory):
    words = [
        "; id",
        "$(id)",
        "`id`",
        "a\nb",
        "--config=/x",
        "-oProxyCommand=x",
        "a b",
        "*",
        "",
        "é",
        "'",
        '"',
        "\\",
        "x" * 100_000,
    ]
    done = run(directory, PYTHON, "-c", "import json, sys; print(ascii(sys.argv[1:])[:9000000])", *words)
    assert done.end.exit_code == 0, done.why
    shown = ascii(words)
    assert done.out[0].split(" … [cut")[0] == shown[: 16_384 - 64]
    assert f"[cut: the line has {len(shown):,} bytes]" in done.out[0]
