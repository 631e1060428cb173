"""Request and response models of imports (api.md, sections 3 and 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from fastapi import Query
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from app.errors import RequestInvalid
from app.matching.channel import Channel
from app.matching.consent import is_purpose
from app.sources.charset import charset
from app.submissions.schemas import Verdict
from app.web.fields import Code, ImportId, LeadId, Note, ResponseBody, ShortText, SourceId, SubmissionId

State = Literal["receiving", "processing", "completed", "cancelled"]
MAX_PURPOSES: Final = 20
DELIMITERS: Final = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}


def _purpose(word: str) -> str:
    if not is_purpose(word):
        raise PydanticCustomError("purpose_invalid", "a purpose is a snake_case word, such as email_marketing")
    return word


def _encoding(name: str) -> str:
    if not charset(name):
        raise PydanticCustomError("encoding_unknown", "no character set of this name; write one such as windows-1250")
    return name


@dataclass(frozen=True, slots=True)
class ListOptions:
    """What is said of a list in the query of its request."""

    source_id: Annotated[SourceId, Query(description="The source of the leads; its document maps the columns.")]
    dry_run: Annotated[bool, Query(description="Answer what would come of the rows, and write nothing.")] = False
    name: Annotated[ShortText | None, Query(description="The name of the file.")] = None
    source: Annotated[ShortText | None, Query(description="Attribution of rows without their own, as the others.")] = (
        None
    )
    medium: Annotated[ShortText | None, Query()] = None
    campaign: Annotated[ShortText | None, Query()] = None
    channel: Annotated[
        Channel | None,
        Query(description="By which these people came; else the source's, `purchased_list` with `entry`, or `import`."),
    ] = None
    entry: Annotated[
        Code | None, Query(description="The stage in which new leads start: `suspect` for a list that was bought.")
    ] = None
    activity_type: Annotated[Code | None, Query(description="What the people in the list have done.")] = None
    consent: Annotated[
        list[Annotated[str, AfterValidator(_purpose)]] | None,
        Query(
            max_length=MAX_PURPOSES,
            description="Purposes to which all in the list have consented; a row's own answer wins.",
        ),
    ] = None
    consent_evidence: Annotated[
        Note | None, Query(description="Where and how they consented; required with `consent`.")
    ] = None
    encoding: Annotated[
        str | None,
        Query(max_length=40, description="The character set of a CSV that is not UTF-8."),
        AfterValidator(_encoding),
    ] = None
    delimiter: Annotated[
        Literal["comma", "semicolon", "tab", "pipe"] | None, Query(description="By default found in the first rows.")
    ] = None
    header_row: Annotated[
        int | None, Query(ge=1, le=100, description="The row with the names of the columns; by default the first.")
    ] = None
    sheet: Annotated[ShortText | None, Query(description="Of a spreadsheet; by default the first that is visible.")] = (
        None
    )

    def checked(self) -> ListOptions:
        """The same. Raises RequestInvalid for consent without evidence."""
        if self.consent and not (self.consent_evidence or "").strip():
            raise RequestInvalid.of(
                "consent_evidence", "evidence_required", "say where and how the people in the list have consented"
            )
        return self

    def kept(self) -> dict[str, Any]:
        """What holds for all rows, as it is stored with them."""
        names = ("source", "medium", "campaign", "channel", "entry", "activity_type", "consent", "consent_evidence")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


class ImportOut(ResponseBody):
    id: ImportId
    source_id: SourceId
    name: str | None
    state: State = Field(description="`processing` until every row has a verdict.")
    rows: int = Field(description="Rows received, without empty ones and the names of the columns.")
    bytes: int
    sha256: str | None = Field(description="SHA-256 of the file, in hex; null while it is being received.")
    columns: list[str]
    text_guessed: bool = Field(
        description="The text is neither UTF-8 nor in a declared set: windows-1252 was assumed. Send `encoding`."
    )
    options: dict[str, Any]
    created_at: str
    cancelled_at: str | None


class ImportProgress(ImportOut):
    rows_done: int
    counts: dict[str, int] = Field(description="Rows by verdict.")
    completed_at: str | None


class ImportPage(ResponseBody):
    data: list[ImportOut]
    next: str | None


class ImportedRow(ResponseBody):
    row: int = Field(description="As a spreadsheet program counts; the names of the columns are usually row 1.")
    verdict: Verdict
    lead_id: LeadId | None
    reason: str | None = Field(
        description="Why the row is quarantined; of a lead `consent_withdrawn`: the row or the list claims a consent "
        "that the person has refused or withdrawn, which does not count."
    )
    unmet: list[dict[str, Any]]
    submission_id: SubmissionId


class ImportedRowPage(ResponseBody):
    data: list[ImportedRow]
    next: str | None


class ListDryRunRow(ResponseBody):
    row: int
    verdict: str
    submission_key: str
    fields: dict[str, Any]
    unmet: list[dict[str, Any]]


class ListDryRunOut(ResponseBody):
    """What would come of a list: counts over all rows, the first rows, and the first that would be refused."""

    dry_run: bool
    rows: int
    bytes: int
    sha256: str
    columns: list[str]
    text_guessed: bool
    counts: dict[str, int]
    reasons: dict[str, int]
    equal_rows: int = Field(
        description="Rows with the cells of one of the first 100,000 before them: each counts, and all are one lead."
    )
    first: list[ListDryRunRow]
    refused: list[ListDryRunRow]
