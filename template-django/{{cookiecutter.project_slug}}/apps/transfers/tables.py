"""Tables that people upload and download, as CSV or XLSX. Neither direction is trusted."""

import csv
import io
import itertools
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final
from xml.etree.ElementTree import ParseError

from openpyxl import Workbook, load_workbook
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.utils.exceptions import InvalidFileException

from apps.core.errors import UnprocessableError

NO_WORKBOOK: Final = "The file is named .xlsx but is no XLSX workbook."
MAX_COLUMNS: Final = 100
LAST_ROW: Final = 1_048_576  # of a sheet
MAX_UNPACKED: Final = 50 * 1024 * 1024  # bytes; a workbook is a zip archive
MAX_RATIO: Final = 100  # unpacked to packed
HARMLESS: Final = 1024 * 1024  # bytes; below it no ratio is worth a refusal

# What openpyxl raises for a file that is damaged, or made to do damage (defusedxml: ValueError).
DAMAGED: Final = (
    ArithmeticError,
    AttributeError,
    EOFError,
    InvalidFileException,
    LookupError,
    NotImplementedError,
    OSError,
    ParseError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)

OTHER_FILES: Final = {
    b"PK\x03\x04": "an XLSX workbook or another zip archive",
    b"\xd0\xcf\x11\xe0": "an old .xls workbook",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF",
}

# Spreadsheets run what begins like this, also behind blanks.
FORMULA: Final = re.compile(r"'*\s*[=+\-@＝＋－＠]|'*[\t\r\n]")  # noqa: RUF001 - Excel takes the wide signs too
ESCAPED: Final = re.compile(rf"'(?={FORMULA.pattern})")


@dataclass(frozen=True)
class Table:
    """Text cells; each row with the number that a spreadsheet shows next to it."""

    columns: list[str]
    rows: list[tuple[int, list[str]]]


def defuse(text: str) -> str:
    """Put an apostrophe before what a spreadsheet would run as a formula."""
    return f"'{text}" if FORMULA.match(text) else text


def restore(text: str) -> str:
    """Undo `defuse`."""
    return text[1:] if ESCAPED.match(text) else text


def is_formula(text: str) -> bool:
    return text.lstrip().startswith("=")


def open_table(name: str, content: bytes) -> Iterator[Sequence[str]]:
    """The rows of a file, by the ending of its name.

    What cannot be a table is refused in one sentence, before anything expensive is done with it.
    """
    ending = name.lower().rpartition(".")[2]
    if ending not in ("csv", "xlsx"):
        raise UnprocessableError("Upload a .csv or an .xlsx file.")
    if not content.strip():
        raise UnprocessableError("The file is empty.")
    return open_csv(content) if ending == "csv" else open_xlsx(content)


def open_csv(content: bytes) -> Iterator[Sequence[str]]:
    for start, kind in OTHER_FILES.items():
        if content.startswith(start):
            raise UnprocessableError(f"The file is named .csv but is {kind}.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnprocessableError(
            'The file is not encoded in UTF-8: save it as "CSV UTF-8" and upload it again.'
        ) from error
    if "\0" in text:
        raise UnprocessableError("The file contains NUL bytes: it is not text.")
    first = io.StringIO(text.lstrip(), newline="").readline()
    # Excel writes semicolons where the comma is the decimal sign.
    return csv_rows(text, max(",;\t", key=first.count))


def csv_rows(text: str, delimiter: str) -> Iterator[Sequence[str]]:
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        yield from lines
    except csv.Error as error:
        raise UnprocessableError(
            f"Line {lines.line_num} is not valid CSV (a quotation mark too many?)."
        ) from error


def open_xlsx(content: bytes) -> Iterator[Sequence[str]]:
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        raise UnprocessableError(
            "The file is an old .xls workbook or has a password:"
            " save it as .xlsx without a password and upload it again."
        )
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise UnprocessableError(NO_WORKBOOK) from error
    if not any(entry.filename == "xl/workbook.xml" for entry in entries):
        raise UnprocessableError(NO_WORKBOOK)
    # No more of an entry is ever read than the archive says here.
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED or any(
        entry.file_size > max(HARMLESS, entry.compress_size * MAX_RATIO) for entry in entries
    ):
        raise UnprocessableError("The workbook unpacks to far more than a workbook should.")
    return xlsx_rows(content)


def xlsx_rows(content: bytes) -> Iterator[Sequence[str]]:
    try:
        workbook = load_workbook(io.BytesIO(content), read_only=True)
        sheet: Any = workbook.worksheets[0]
        # What the file says of its own size may be wrong.
        sheet.reset_dimensions()
        rows = sheet.iter_rows(max_col=MAX_COLUMNS + 1, values_only=True)
        for cells in itertools.islice(rows, LAST_ROW):
            yield [text_of(cell) for cell in cells] if any(cells) else ()
    except DAMAGED as error:
        raise UnprocessableError("The workbook is damaged and cannot be read.") from error


def read_table(name: str, content: bytes, *, max_rows: int) -> Table:
    """Raises UnprocessableError, in one sentence, for whatever is no table."""
    return shape(open_table(name, content), max_rows)


def text_of(value: object) -> str:
    """The cell as CSV would hold it, so that both kinds of file are read alike."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).upper()
        case float() if value.is_integer():
            return str(int(value))
        case datetime() if value.time() == time():
            return value.date().isoformat()
        case datetime() | date():
            return value.isoformat()
        case _:
            return str(value).replace("\0", "")


def shape(rows: Iterable[Sequence[str]], max_rows: int) -> Table:
    """Take the first row with something in it as the names of the columns."""
    columns: list[str] | None = None
    found: list[tuple[int, list[str]]] = []
    for number, cells in enumerate(rows, start=1):
        row = [cell.strip(" ") for cell in cells]
        while row and not row[-1]:
            row.pop()
        if not row:
            continue
        if columns is None:
            columns = [restore(cell).strip() for cell in row]
            if len(columns) > MAX_COLUMNS:
                raise UnprocessableError(f"The file has more than {MAX_COLUMNS} columns.")
            continue
        if len(found) == max_rows:
            raise UnprocessableError(
                f"The file has more than {max_rows:,} rows: split it and import the parts."
            )
        found.append((number, row))
    if columns is None:
        raise UnprocessableError("The file is empty.")
    if not found:
        raise UnprocessableError("The file has no rows below the names of the columns.")
    return Table(columns, found)


def write_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """UTF-8 with the mark by which Excel knows it."""
    file = io.StringIO(newline="")
    lines = csv.writer(file)
    lines.writerow([defuse(column) for column in columns])
    lines.writerows([safe_text(value) for value in row] for row in rows)
    return file.getvalue().encode("utf-8-sig")


def write_xlsx(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    workbook = Workbook(write_only=True)
    sheet = workbook.create_sheet()
    sheet.append([defuse(column) for column in columns])
    for row in rows:
        sheet.append([safe_cell(value) for value in row])
    file = io.BytesIO()
    workbook.save(file)
    return file.getvalue()


def safe_text(value: object) -> str:
    """A number stays a number, also a negative one; text that could run gets its apostrophe."""
    text = text_of(value)
    return text if isinstance(value, int | float | Decimal) else defuse(text)


def safe_cell(value: object) -> object:
    match value:
        # A workbook knows no time zones.
        case int() | float() | Decimal() | None:
            return value
        case datetime():
            return value.isoformat()
        case date():
            return value
        case _:
            return defuse(ILLEGAL_CHARACTERS_RE.sub("\N{REPLACEMENT CHARACTER}", text_of(value)))
