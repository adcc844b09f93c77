import io
import zipfile
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from openpyxl import Workbook, load_workbook

from apps.core.errors import UnprocessableError
from apps.transfers import tables
from apps.transfers.tables import defuse, read_table, restore, write_csv, write_xlsx

ROWS = [["1", "Ann"], ["2", "Ben"]]


def workbook(*rows: list[object]) -> bytes:
    book = Workbook()
    for row in rows:
        book.worksheets[0].append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def archive(**entries: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in entries.items():
            zipped.writestr(name.replace("__", "/").replace("_", "."), content)
    return file.getvalue()


def with_sheet(xml: bytes) -> bytes:
    """A workbook whose sheet is this text."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(workbook(["number"], ["1"]))) as old,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for entry in old.namelist():
            is_sheet = entry == "xl/worksheets/sheet1.xml"
            new.writestr(entry, xml if is_sheet else old.read(entry))
    return file.getvalue()


def refusal(name: str, content: bytes, max_rows: int = 100) -> str:
    with pytest.raises(UnprocessableError) as caught:
        read_table(name, content, max_rows=max_rows)
    return str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"number,name\n1,Ann\n2,Ben\n",
        b"\xef\xbb\xbfnumber,name\r\n1,Ann\r\n2,Ben\r\n",
        b"number;name\n1;Ann\n2;Ben\n",
        b"number\tname\n1\tAnn\n2\tBen",
        b'"number","name"\n"1","Ann"\n"2"," Ben "\n',
    ],
    ids=["plain", "with a BOM", "semicolons", "tabs", "quoted"],
)
def test_every_usual_kind_of_csv_is_read(content: bytes) -> None:
    table = read_table("a.CSV", content, max_rows=2)

    assert table.columns == ["number", "name"]
    assert [cells for _, cells in table.rows] == ROWS


def test_rows_have_the_numbers_that_a_spreadsheet_shows() -> None:
    table = read_table("a.csv", b"\nnumber,name\n\n1,Ann\n,\n2,Ben\n", max_rows=2)

    assert table.rows == [(4, ["1", "Ann"]), (6, ["2", "Ben"])]


def test_cells_of_a_workbook_are_read_as_csv_would_hold_them() -> None:
    content = workbook(
        ["text", "whole", "part", "day", "moment", "yes", "nothing", "end"],
        ["Ann", 7, 7.5, date(2010, 5, 31), datetime(2010, 5, 31, 8, 30), True, None, 7.0],  # noqa: DTZ001 - a workbook knows no zones
    )

    table = read_table("a.xlsx", content, max_rows=1)

    assert tables.text_of(7.0) == "7"
    assert table.rows == [
        (2, ["Ann", "7", "7.5", "2010-05-31", "2010-05-31T08:30:00", "TRUE", "", "7"])
    ]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.txt", b"number\n1", "Upload a .csv or an .xlsx file."),
        ("a.csv", b" \n\n", "The file is empty."),
        ("a.csv", b";;\n;;", "The file is empty."),
        ("a.xlsx", b"", "The file is empty."),
        ("a.csv", b"number,name\n", "The file has no rows below the names of the columns."),
        ("a.csv", "name\nZoë".encode("latin-1"), "is not encoded in UTF-8: save it as"),
        ("a.csv", "name\nZoë".encode("utf-16"), "is not encoded in UTF-8: save it as"),
        ("a.csv", b"name\nA\0nn", "contains NUL bytes"),
        ("a.csv", b'name\n"Ann', "Line 2 is not valid CSV"),
        ("a.csv", b"\x89PNG\r\n\x1a\n", "is named .csv but is a PNG image"),
        ("a.csv", b"PK\x03\x04...", "is named .csv but is an XLSX workbook or another zip"),
        ("a.csv", b"number\n1\n2\n3\n4", "has more than 3 rows: split it"),
        ("a.csv", b"x" + b",x" * 100 + b"\n1", "has more than 100 columns"),
        ("a.xlsx", b"number,name\n1,Ann", "is named .xlsx but is no XLSX workbook"),
        ("a.xlsx", b"\x89PNG\r\n\x1a\n", "is named .xlsx but is no XLSX workbook"),
        ("a.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1", "old .xls workbook or has a password"),
        ("a.xlsx", archive(a_txt=b"hello"), "is named .xlsx but is no XLSX workbook"),
        ("a.xlsx", archive(xl__workbook_xml=b"hello"), "The workbook is damaged"),
        ("a.xlsx", with_sheet(b"<worksheet><row"), "The workbook is damaged"),
    ],
)
def test_what_is_no_table_is_refused_in_one_sentence(
    name: str, content: bytes, sentence: str
) -> None:
    assert sentence in refusal(name, content, max_rows=3)


def test_a_zip_bomb_is_refused_before_it_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "load_workbook", None)
    bomb = archive(xl__workbook_xml=b"<a/>", xl__worksheets__sheet1_xml=b" " * 5_000_000)

    assert len(bomb) < 10_000
    assert "unpacks to far more" in refusal("a.xlsx", bomb)


def test_many_small_parts_of_a_zip_bomb_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_UNPACKED", 1000)

    assert "unpacks to far more" in refusal("a.xlsx", workbook(["number"], ["1"]))


def test_entities_in_a_workbook_are_not_expanded() -> None:
    xml = (
        b'<!DOCTYPE w [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><worksheet'
        b' xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData><row r="1">'
        b'<c r="A1" t="inlineStr"><is><t>&b;</t></is></c></row></sheetData></worksheet>'
    )

    assert "The workbook is damaged" in refusal("a.xlsx", with_sheet(xml))


def test_a_row_that_claims_to_be_the_last_of_the_universe_ends_the_sheet() -> None:
    xml = (
        b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
        b'<row r="1"><c r="A1"><v>1</v></c></row><row r="99999999999"><c r="A99999999999"><v>2</v>'
        b"</c></row></sheetData></worksheet>"
    )
    content = with_sheet(xml)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "LAST_ROW", 1000)
        assert "no rows below" in refusal("a.xlsx", content)


DANGEROUS = ["=1+1", "+1", "-cmd", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1", "'=1", "''=1"]  # noqa: RUF001 - Excel takes the wide sign too


@pytest.mark.parametrize("text", DANGEROUS)
def test_text_that_would_run_is_escaped_and_comes_back(text: str) -> None:
    assert defuse(text) == f"'{text}"
    assert restore(defuse(text)) == text


@pytest.mark.parametrize("text", ["", "Ann", "O'Hara", "'tis", "a=b", "2010-05-31", "x@y.example"])
def test_other_text_is_left_alone(text: str) -> None:
    assert defuse(text) == text
    assert restore(text) == text


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_what_is_written_can_be_read_again(form: str) -> None:
    rows = [[text.strip(), "Zoë", Decimal("-5.5"), -5, date(2010, 5, 31)] for text in DANGEROUS]
    write = write_csv if form == "csv" else write_xlsx

    table = read_table(f"a.{form}", write(["=a", "b", "c", "d", "e"], rows), max_rows=20)

    assert table.columns == ["=a", "b", "c", "d", "e"]
    assert [[restore(cell) for cell in cells] for _, cells in table.rows] == [
        [text.strip(), "Zoë", "-5.5", "-5", "2010-05-31"] for text in DANGEROUS
    ]


def test_a_workbook_has_no_formula_and_numbers_stay_numbers() -> None:
    moment = datetime(2010, 5, 31, 8, 30, tzinfo=UTC)
    content = write_xlsx(["=a"], [["=1+1"], [-5], [date(2010, 5, 31)], [moment], ["a\x07"], [None]])

    cells = [row[0] for row in load_workbook(io.BytesIO(content)).worksheets[0]]

    assert {cell.data_type for cell in cells} == {"s", "n", "d"}
    assert cells[0].value == "'=a"
    assert cells[1].value == "'=1+1"
    assert cells[2].value == -5
    assert cells[4].value == "2010-05-31T08:30:00+00:00"
    assert cells[5].value == "a\N{REPLACEMENT CHARACTER}"


def test_csv_begins_with_the_mark_by_which_excel_knows_utf_8() -> None:
    content = write_csv(["name", "mark"], [["Zoë", -5], ["-Zoë", Decimal("-5")], [None, True]])

    assert content.startswith(b"\xef\xbb\xbf")
    assert content.decode("utf-8-sig") == "name,mark\r\nZoë,-5\r\n'-Zoë,-5\r\n,TRUE\r\n"
