"""Posts lists to the application under test, and processes them."""

import csv
import io
import zipfile
from functools import partial
from string import ascii_uppercase
from typing import Any
from urllib.parse import urlencode

import httpx

from app.submissions import across
from app.submissions.process import process_batch
from tests.api import Api
from tests.submissions.sender import make_sender

SHEET = """<?xml version="1.0"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">
<sheetData>{rows}</sheetData>{merged}</worksheet>"""
XLSX = {
    "[Content_Types].xml": """<?xml version="1.0"?><Types
 xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels"
 ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml"
 ContentType="application/xml"/><Override PartName="/xl/workbook.xml"
 ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/></Types>""",
    "_rels/.rels": """<?xml version="1.0"?><Relationships
 xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1"
 Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
 Target="xl/workbook.xml"/></Relationships>""",
    "xl/workbook.xml": """<?xml version="1.0"?><workbook
 xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"
 xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="People" sheetId="1"
 r:id="rId1"/></sheets></workbook>""",
    "xl/_rels/workbook.xml.rels": """<?xml version="1.0"?><Relationships
 xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1"
 Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet"
 Target="worksheets/sheet1.xml"/></Relationships>""",
}
ODS = """<?xml version="1.0"?><office:document-content
 xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
 xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"
 xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" office:version="1.2"><office:body><office:spreadsheet>
<table:table table:name="People">{rows}</table:table></office:spreadsheet></office:body></office:document-content>"""

MANIFEST = """<?xml version="1.0"?><manifest:manifest
 xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">
<manifest:file-entry manifest:full-path="/" manifest:media-type="{kind}"/></manifest:manifest>"""
ODS_TYPE = "application/vnd.oasis.opendocument.spreadsheet"


class Lists:
    """Posts lists for one source."""

    def __init__(self, api: Api, source: dict[str, Any]) -> None:
        self.api, self.source = api, source

    async def send(
        self, body: Any, content_type: str = "text/csv", *, headers: Any = None, **options: Any
    ) -> httpx.Response:
        query = urlencode({"source_id": self.source["id"], **options}, doseq=True)
        sent = {"Content-Type": content_type, **(headers or {})}
        return await self.api.call("POST", f"/v1/imports?{query}", headers=sent, content=encoded(body))

    async def post(
        self, body: Any, content_type: str = "text/csv", *, status: int = 202, **options: Any
    ) -> dict[str, Any]:
        answer = await self.send(body, content_type, **options)
        assert answer.status_code == status, answer.text
        return dict(answer.json())

    async def import_list(self, body: Any, content_type: str = "text/csv", **options: Any) -> dict[str, Any]:
        """Posts a list, processes all of its rows, and returns the import."""
        made = await self.post(body, content_type, **options)
        await process_lists(self.api)
        return await self.found(made)

    async def found(self, made: dict[str, Any]) -> dict[str, Any]:
        return dict(await self.api.get(f"/v1/imports/{made['id']}"))

    async def rows(self, made: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
        page = await self.api.get(f"/v1/imports/{made['id']}/rows?{urlencode({'limit': 200, **query})}")
        return list(page["data"])

    async def errors(self, made: dict[str, Any]) -> bytes:
        answer = await self.api.call("GET", f"/v1/imports/{made['id']}/errors")
        assert answer.status_code == 200, answer.text
        return answer.content


async def make_lists(api: Api, preset: str = "html-form", **members: Any) -> Lists:
    return Lists(api, (await make_sender(api, preset, **members)).source)


async def process_lists(api: Api) -> int:
    """Processes all rows of lists that wait; returns how many submissions they were in."""
    claim = partial(across.claim_listed, rested_at=api.now)
    total = 0
    while number := await process_batch(api.app.state.engine, api.clock.now, claim):
        total += number
    return total


def table(*rows: tuple[str, ...], delimiter: str = ",") -> str:
    """CSV text of rows."""
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue()


def encoded(body: Any) -> Any:
    return body.encode() if isinstance(body, str) else body


def xlsx(cells: dict[str, str | float | bool], merged: tuple[str, ...] = ()) -> bytes:
    """A workbook with these cells (`{"A1": "Email"}`) and merged ranges."""
    by_row: dict[int, list[str]] = {}
    for place, value in cells.items():
        by_row.setdefault(int(place.lstrip(ascii_uppercase)), []).append(_cell(place, value))
    rows = "".join(f'<row r="{n}">{"".join(found)}</row>' for n, found in sorted(by_row.items()))
    ranges = "".join(f'<mergeCell ref="{one}"/>' for one in merged)
    sheet = SHEET.format(rows=rows, merged=f"<mergeCells>{ranges}</mergeCells>" if merged else "")
    return _zipped({**XLSX, "xl/worksheets/sheet1.xml": sheet})


def _cell(place: str, value: str | float | bool) -> str:
    if isinstance(value, str):
        return f'<c r="{place}" t="inlineStr"><is><t>{value}</t></is></c>'
    kind = 't="b"' if isinstance(value, bool) else ""
    return f'<c r="{place}" {kind}><v>{float(value)!r}</v></c>'


def ods(*rows: tuple[str, ...]) -> bytes:
    """An OpenDocument spreadsheet with these rows."""
    cell = '<table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell>'
    lines = "".join(f"<table:table-row>{''.join(map(cell.format, row))}</table:table-row>" for row in rows)
    manifest = MANIFEST.format(kind=ODS_TYPE)
    return _zipped({"mimetype": ODS_TYPE, "META-INF/manifest.xml": manifest, "content.xml": ODS.format(rows=lines)})


def _zipped(files: dict[str, str]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return made.getvalue()


PEOPLE = table(
    ("First name", "Last name", "E-mail", "Company"),
    ("Ana", "Țepeș", "ana@nordsoft.example", "Nordsoft"),
    ("Jan", "Łuk", "jan@acme.example", "Acme"),
    ("Nobody", "", "", ""),
)


async def lead_of(api: Api, email: str) -> dict[str, Any]:
    (found,) = (await api.get(f"/v1/leads?email={email}"))["data"]
    return dict(found)
