"""From a file that was uploaded to data that `zoo.finetune` reads: rows, texts, conversations, images in a zip file."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from needle.errors import DataError
from serving.engine.errors import ServingError
from serving.engine.text.asking import content_of, template
from serving.engine.tuning.archive import discard, unpack_images

KINDS = (".jsonl", ".txt", ".zip")
LONGEST_LINE = 1 << 26  # bytes
PLACE = re.compile(r"\bline (\d+)")


class Prepared:
    """Data that were prepared: `name`, relative to the job's folder, and of each of its lines that of the upload."""

    def __init__(self, name: str, upload: str, lines: list[int] | None = None):
        self.name, self.upload, self.lines = name, upload, lines

    def told(self, message: str) -> str:
        """A message about the data in the words of who uploaded them."""
        if self.name not in message:
            return message
        lines = self.lines
        if lines is not None:
            message = PLACE.sub(lambda found: f"line {lines[min(int(found[1]), len(lines)) - 1]}", message)
        return message.replace(self.name, self.upload)


def prepare(upload: Path, filename: str, folder: Path, stem: str) -> Prepared:
    """Write what an upload holds into `folder`, as a file or folder that begins with `stem`, anew if it is there.

    Raises DataError for what cannot be read; the rows of the zoo's own kinds are checked by whoever learns from them.
    """
    kind = _kind(upload, filename)
    for left in folder.glob(f"{stem}*"):
        discard(left) if left.is_dir() else left.unlink()
    try:
        if kind == ".zip":
            unpack_images(upload, folder / stem)
            return Prepared(stem, filename)
        write = COPIES.get(_fields(upload)) if kind == ".jsonl" else None
        if write is not None:
            ending, convert = write
            name = stem + ending
            with upload.open("rb") as rows, (folder / name).open("w", encoding="utf-8", newline="\n") as out:
                return Prepared(name, filename, _converted(rows, convert, out))
        shutil.copyfile(upload, folder / (stem + kind))  # the upload may be deleted while the job runs
        return Prepared(stem + kind, filename)
    except DataError as error:
        raise DataError(f"{filename}: {error}") from None


def _kind(upload: Path, filename: str) -> str:
    """Rows (.jsonl), a text (.txt) or images (.zip): by the file's name, else by how it begins."""
    suffix = Path(filename).suffix.lower()
    if suffix in KINDS:
        return suffix
    with upload.open("rb") as file:
        start = file.read(1 << 12).lstrip()
    return ".zip" if start.startswith(b"PK\x03\x04") else ".jsonl" if start.startswith(b"{") else ".txt"


def _lines(rows: IO[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a file with the numbers of their lines. Raises DataError."""
    number = 0
    while line := rows.readline(LONGEST_LINE):
        number += 1
        try:
            row = json.loads(line.decode("utf-8-sig")) if line.strip() else None
        except (ValueError, RecursionError) as error:
            raise DataError(f"line {number} is not JSON in UTF-8: {error}") from None
        if row is not None:
            if not isinstance(row, dict):
                raise DataError(f"line {number} has a {type(row).__name__}: write an object")
            yield number, row


def _fields(upload: Path) -> frozenset[str]:
    """The fields of the first row, which say of what kind all are; none where it cannot be read."""
    with upload.open("rb") as rows:
        try:
            return frozenset(next(_lines(rows), (0, {}))[1])
        except DataError:
            return frozenset()


def _converted(rows: IO[bytes], convert: Callable[[dict[str, Any]], Iterator[str]], out: IO[str]) -> list[int]:
    """Write each row as lines; the numbers of the lines that they come from. Raises DataError."""
    lines: list[int] = []
    for number, row in _lines(rows):
        try:
            for line in convert(row):
                out.write(line + "\n")
                lines += [number] * (1 + line.count("\n"))
        except ServingError as problem:
            raise DataError(f"line {number}: {problem}") from None
    return lines


def _conversation(row: dict[str, Any]) -> Iterator[str]:
    """For each answer in a conversation a row with all that was said before as its prompt.

    The prompt is what the server makes of a chat, and the completion ends with what an answer ends at there.
    """
    if set(row) != {"messages"}:
        raise ServingError(f"[messages] must be the one field, got {sorted(row)!r:.80}")
    messages = row["messages"]
    template(messages)
    answers = [i for i, message in enumerate(messages) if message["role"] == "assistant" and i > 0]
    if not answers:
        raise ServingError("[messages] needs an answer of the assistant to a message before it")
    for i in answers:
        prompt, stop = template(messages[:i])
        yield json.dumps({"prompt": prompt, "completion": content_of(messages[i]) + stop}, ensure_ascii=False)


def _text(row: dict[str, Any]) -> Iterator[str]:
    """A text by itself."""
    if set(row) != {"text"} or not isinstance(row["text"], str):
        raise ServingError(f'[text] must be the one field, and a string: {{"text": ...}}, got {sorted(row)!r:.80}')
    yield row["text"]


# The fields of rows that the zoo has not -> the ending of what is made of them, and how.
COPIES: dict[frozenset[str], tuple[str, Callable[[dict[str, Any]], Iterator[str]]]] = {
    frozenset({"messages"}): (".jsonl", _conversation),
    frozenset({"text"}): (".txt", _text),
}
