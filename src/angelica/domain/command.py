"""Commands: which command lines the configuration allows, and how a text becomes one of them or is refused."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Final

from angelica.domain.command_pattern import Word, parse_pattern
from angelica.errors import CommandNotAllowed, CommandsDisabled, InvalidValue

LONGEST_TEXT: Final = 32_768
"""Characters of a command text; the split of a longer one would take long."""

MOST_WORDS: Final = 256
DEFAULT_PIDS: Final = 128
ANY: Final = "*"
"""The name of a command that no pattern stands for; no name of a configuration."""

FUNCTION_PREFIX: Final = "command:"
"""What stands before the name of a command where a task has the name of its function."""

_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Limits:
    """What a command may take: `memory` bytes and `cpu` (None: unbounded), `pids` processes and threads."""

    memory: int | None = None
    cpu: float | None = None
    pids: int = DEFAULT_PIDS

    def within(self, resources: Mapping[str, float]) -> Limits:
        """Return the smaller of these limits and of what a task says that it needs (`memory`, `cpu`)."""
        if not resources:
            return self
        memory, cpu = resources.get("memory"), resources.get("cpu")
        return Limits(
            self.memory if memory is None else min(int(memory), self.memory or int(memory)),
            self.cpu if cpu is None else min(cpu, self.cpu or cpu),
            self.pids,
        )


@dataclass(frozen=True, slots=True)
class Command:
    """One command of the configuration.

    `program` is the absolute path of what runs in place of the pattern's first word. `files` are absolute paths that
    are copied into the private working directory. `run_as` is the user to become when the worker is root. `env`
    names variables of the worker that are passed on. `timeout` is microseconds, None: the task's own. `resources`
    (`cpu` in CPUs, `memory` in bytes) are those of a task that says none.
    """

    name: str
    pattern: str
    program: str
    files: tuple[str, ...] = ()
    run_as: str | None = None
    env: tuple[str, ...] = ()
    timeout: int | None = None
    limits: Limits = field(default_factory=Limits)
    resources: Mapping[str, float] = field(default_factory=dict)
    words: tuple[Word, ...] = ()

    def __post_init__(self) -> None:
        if not self.words:
            object.__setattr__(self, "words", parse_pattern(self.pattern))

    def has_shape(self, words: Sequence[str]) -> bool:
        """Whether the literal parts of the pattern are there and the number of words is right."""
        return len(words) == len(self.words) and all(
            mine.fits(word) for mine, word in zip(self.words, words, strict=True)
        )

    def first_problem(self, words: Sequence[str]) -> InvalidValue | None:
        """Return what is wrong with the first placeholder that refuses its word; `words` have the shape."""
        for number, (mine, word) in enumerate(zip(self.words, words, strict=True), 1):
            problem = mine.problem(word)
            if problem is not None:
                return InvalidValue(
                    "/command",
                    f"word {number} is for {mine.shown} and must be {problem}",
                    hint=self.pattern,
                    rule="command_parameter",
                    word=number,
                    parameter=mine.shown,
                    pattern=self.pattern,
                )
        return None


@dataclass(frozen=True, slots=True)
class CommandLine:
    """An allowed command line: the command, and the argument list that is run, program first; never a shell's."""

    command: Command
    argv: tuple[str, ...]
    text: str

    @property
    def function(self) -> str:
        """What stands for the name of a function in its tasks."""
        return FUNCTION_PREFIX + self.command.name


class AllowList:
    """The commands of a configuration in their order; without any, commands are off."""

    def __init__(self, commands: Iterable[Command] = ()) -> None:
        self.commands = {command.name: command for command in commands}

    def __bool__(self) -> bool:
        return bool(self.commands)

    @property
    def functions(self) -> tuple[str, ...]:
        """What stands for the name of a function in the tasks of these commands."""
        return tuple(FUNCTION_PREFIX + name for name in self.commands)

    def match(self, text: str) -> CommandLine:
        """Return the command line that `text` asks for, by the first pattern that takes it.

        Raises `CommandsDisabled` if there are no commands, `CommandNotAllowed` with the nearest pattern if none has
        its shape, `InvalidValue` for a text that cannot be split and a parameter that does not fit its placeholder.
        """
        if not self.commands:
            raise CommandsDisabled
        words = split(text)
        bad: InvalidValue | None = None
        for command in self.commands.values():
            if command.has_shape(words):
                problem = command.first_problem(words)
                if problem is None:
                    return CommandLine(command, (command.program, *words[1:]), text)
                bad = bad or problem
        if bad is not None:
            raise bad
        raise CommandNotAllowed(_shown(text), self._nearest(words))

    def recheck(self, name: str, argv: Sequence[str]) -> Command:
        """Return the command that may run `argv`, an argument list that was made elsewhere, perhaps not by us.

        The worker asks this of its own configuration before it runs anything, so that who can write to the store
        can choose among what is allowed here and nothing else. Raises what `match` raises.
        """
        if not self.commands:
            raise CommandsDisabled
        command = self.commands.get(name)
        if command is None or not argv or argv[0] != command.program:
            raise CommandNotAllowed(_shown(shlex.join(argv)), self._nearest(argv))
        words = (command.words[0].before, *argv[1:])
        if not command.has_shape(words):
            raise CommandNotAllowed(_shown(shlex.join(argv)), command.pattern)
        problem = command.first_problem(words)
        if problem is not None:
            raise problem
        return command

    def _nearest(self, words: Sequence[str]) -> str:
        """Return the pattern that has most in common with `words`."""
        asked = [word[:_SHOWN] for word in words[:MOST_WORDS]]

        def likeness(command: Command) -> tuple[float, float]:
            same = sum(mine.fits(word) for mine, word in zip(command.words, asked, strict=False))
            alike = SequenceMatcher(None, command.pattern, " ".join(asked)[:_SHOWN]).ratio()
            return same / max(len(command.words), len(asked), 1), alike

        return max(self.commands.values(), key=likeness).pattern


NO_COMMANDS: Final = AllowList()


class OpenList(AllowList):
    """Any command line whose program `find` finds, beside the commands of a configuration: for development only.

    `find` returns the absolute path of a program by its name or by that very path, None if there is none. Those that
    no pattern takes run as `run_as`.
    """

    def __init__(
        self, commands: Iterable[Command], find: Callable[[str], str | None], *, run_as: str | None = None
    ) -> None:
        super().__init__(commands)
        self._find = find
        self._run_as = run_as

    def __bool__(self) -> bool:
        return True

    @property
    def functions(self) -> tuple[str, ...]:
        return (*super().functions, FUNCTION_PREFIX + ANY)

    def match(self, text: str) -> CommandLine:
        words = split(text)
        if self.commands:
            try:
                return super().match(text)
            except (CommandNotAllowed, InvalidValue):  # not one of the patterns: then any
                pass
        program = self._find(words[0])
        if program is None:
            whom = f" that {self._run_as} can run" if self._run_as else ""
            raise InvalidValue(
                "/command", f"there is no program {_shown(words[0])!r} on the PATH{whom}", rule="unknown_program"
            )
        return CommandLine(self._any(program), (program, *words[1:]), text)

    def recheck(self, name: str, argv: Sequence[str]) -> Command:
        if name != ANY:
            return super().recheck(name, argv)
        if not argv or self._find(argv[0]) != argv[0]:
            raise CommandNotAllowed(_shown(shlex.join(argv)), "a program of the PATH")
        return self._any(argv[0])

    def _any(self, program: str) -> Command:
        return Command(ANY, ANY, program, run_as=self._run_as, words=(Word(ANY),))


def split(text: str) -> list[str]:
    """Split a command text into words by the rules of POSIX shells for quotes and backslashes, and by nothing else.

    Nothing is expanded: no variable, no glob, no substitution, no operator. Raises `InvalidValue` for `/command`.
    """
    if len(text) > LONGEST_TEXT:
        raise InvalidValue(
            "/command", f"has {len(text):,} characters", hint=f"at most {LONGEST_TEXT:,}", rule="too_long"
        )
    if "\0" in text:
        raise InvalidValue("/command", "has a NUL", rule="nul")
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InvalidValue("/command", f"cannot be split into words: {error}", rule="unbalanced") from None
    if not words:
        raise InvalidValue("/command", "is empty", hint="a command line of the configuration", rule="empty")
    if len(words) > MOST_WORDS:
        raise InvalidValue("/command", f"has {len(words):,} words", hint=f"at most {MOST_WORDS}", rule="too_long")
    return words


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
