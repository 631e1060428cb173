"""Lists and searches read what they answer: words of leads, and an index for each filter.

Revision ID: 0014_cost_of_lists
Revises: 0010_consents_of_contacts

Triggers keep the words, so that leads written by old code are found as well. Which statement needs each index, and why
others are dropped, is in docs/decisions/0033. All steps can be repeated, since they commit as they go.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa
from alembic import context, op

revision = "0014_cost_of_lists"
down_revision = "0010_consents_of_contacts"
branch_labels = None
depends_on = None

# Marks above and below letters, and characters that are not seen.
MARKS = (
    r"\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed"
    r"\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\u3099\u309a\ufe20-\ufe2f"
    r"\u00ad\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff"
    r"\uffa0\ufff0-\ufffb"
)
NOT_WORD = (
    r"\u0001-/:-@\[-`{-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u00d7\u00f7\u037e\u0387\u055a-\u055f\u0589\u05be"
    r"\u05f3\u05f4\u060c\u061b\u061f\u066a-\u066d\u06d4\u0964\u0965\u2000-\u206f\u20a0-\u20cf\u2100-\u2bff\u2e00-\u2e7f"
    r"\u3000-\u3004\u3008-\u3020\u3030\u303d\u30fb\ufffc\ufffd"
)
# lower() does not know these letters where the database has the locale C.
CAPITALS = "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩςАБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯЂЄЅІЈЉЊЋЏҐŁĐØÐłđøıð\u0345"
SMALL = "αβγδεζηθικλμνξοπρστυφχψωσабвгдежзийклмнопрстуфхцчшщъыьэюяђєѕіјљњћџґldodldoidι"
# Letters that become two.
DOUBLE = {"æ": "ae", "Æ": "ae", "œ": "oe", "Œ": "oe", "þ": "th", "Þ": "th", "ß": "ss", "ẞ": "ss"}

WITHOUT_CASE_AND_MARKS = (
    f"lower(regexp_replace(translate(normalize(value, NFKD), '{CAPITALS}', '{SMALL}'), '[{MARKS}]+', '', 'g'))"
)
FOLDED = "replace(" * len(DOUBLE) + WITHOUT_CASE_AND_MARKS + "".join(f", '{a}', '{b}')" for a, b in DOUBLE.items())

STEPS = (
    # The same as `fold_letters` in app/matching/text.py.
    f"""
    CREATE OR REPLACE FUNCTION folded(value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT CASE WHEN value ~ '[^\\x01-\\x7f]' THEN {FOLDED} ELSE lower(value) END
    $$
    """,
    # Three lines: words of the company, of the name, and e-mail address and domain. A space precedes each word.
    f"""
    CREATE OR REPLACE FUNCTION search_words(fields jsonb) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT concat(
            regexp_replace(folded(' ' || coalesce(fields ->> 'company', '')), '[{NOT_WORD}]+', ' ', 'g'), E'\\n',
            regexp_replace(folded(concat(' ', fields ->> 'first_name', ' ', fields ->> 'last_name', ' ',
                                         fields ->> 'full_name')), '[{NOT_WORD}]+', ' ', 'g'), E'\\n',
            regexp_replace(folded(concat(' ', fields ->> 'email', ' ', fields ->> 'domain')), '\\s+', ' ', 'g'))
    $$
    """,
    # The rank is the number of the line. A key of an index is limited to 2,700 bytes.
    """
    CREATE OR REPLACE FUNCTION ranked_words(words text) RETURNS TABLE (word text, rank smallint)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT DISTINCT left(w.word, 100), l.rank::smallint
          FROM string_to_table(words, E'\\n') WITH ORDINALITY l(line, rank), string_to_table(l.line, ' ') w(word)
         WHERE w.word <> ''
    $$
    """,
    """
    CREATE OR REPLACE FUNCTION set_words() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.words := CASE WHEN NEW.merged_into IS NULL AND NEW.erased_at IS NULL THEN search_words(NEW.fields) END;
        RETURN NEW;
    END $$
    """,
    """
    CREATE OR REPLACE FUNCTION insert_words() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO lead_words (tenant_id, word, lead_id, rank)
        SELECT n.tenant_id, w.word, n.id, w.rank FROM added n, ranked_words(n.words) w;
        RETURN NULL;
    END $$
    """,
    """
    CREATE OR REPLACE FUNCTION replace_words() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        DELETE FROM lead_words d USING (
            SELECT * FROM ranked_words(OLD.words) EXCEPT SELECT * FROM ranked_words(NEW.words)
        ) w WHERE d.tenant_id = OLD.tenant_id AND d.word = w.word AND d.lead_id = OLD.id AND d.rank = w.rank;
        INSERT INTO lead_words (tenant_id, word, lead_id, rank)
        SELECT NEW.tenant_id, w.word, NEW.id, w.rank FROM (
            SELECT * FROM ranked_words(NEW.words) EXCEPT SELECT * FROM ranked_words(OLD.words)
        ) w;
        RETURN NULL;
    END $$
    """,
    "CREATE OR REPLACE TRIGGER set_words_of_new BEFORE INSERT ON leads FOR EACH ROW EXECUTE FUNCTION set_words()",
    """
    CREATE OR REPLACE TRIGGER set_words BEFORE UPDATE OF fields, merged_into, erased_at ON leads FOR EACH ROW
    WHEN (OLD.fields IS DISTINCT FROM NEW.fields OR OLD.merged_into IS DISTINCT FROM NEW.merged_into
          OR OLD.erased_at IS DISTINCT FROM NEW.erased_at)
    EXECUTE FUNCTION set_words()
    """,
    """
    CREATE OR REPLACE TRIGGER insert_words AFTER INSERT ON leads REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION insert_words()
    """,
    """
    CREATE OR REPLACE TRIGGER replace_words AFTER UPDATE ON leads FOR EACH ROW
    WHEN (OLD.words IS DISTINCT FROM NEW.words) EXECUTE FUNCTION replace_words()
    """,
)
# A transaction for each thousand leads, so that none is locked for long.
FILL = """
    DO $$
    DECLARE
        after record;
        last uuid[] := ARRAY['00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000'];
    BEGIN
        LOOP
            SELECT array_agg(p.tenant_id) AS tenants, array_agg(p.id) AS ids INTO after FROM (
                SELECT tenant_id, id FROM leads WHERE (tenant_id, id) > (last[1], last[2])
                 ORDER BY tenant_id, id LIMIT 1000) p;
            EXIT WHEN after.ids IS NULL;
            UPDATE leads l SET words = search_words(l.fields)
              FROM unnest(after.tenants, after.ids) f(tenant_id, id)
             WHERE l.tenant_id = f.tenant_id AND l.id = f.id
               AND l.words IS NULL AND l.merged_into IS NULL AND l.erased_at IS NULL;
            last := ARRAY[after.tenants[cardinality(after.ids)], after.ids[cardinality(after.ids)]];
            COMMIT;
        END LOOP;
    END $$
"""
# Not a table without rows: until the next ANALYZE, plans would take it for one that stays empty, where each index is as
# good as any other, and the foreign keys to `leads` would be checked by one that reads all leads of the tenant.
ANALYZE = """
    DO $$
    BEGIN
        IF EXISTS (SELECT FROM leads) THEN ANALYZE leads, lead_words; END IF;
        IF EXISTS (SELECT FROM submissions) THEN ANALYZE submissions; END IF;
    END $$
"""
FUNCTIONS = ("replace_words()", "insert_words()", "set_words()", "ranked_words(text)", "search_words(jsonb)")


PARTITIONS = sa.text(
    "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
    " WHERE i.inhparent = 'event_log'::regclass ORDER BY 1"
)
IS_INVALID = sa.text(
    "SELECT 1 FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relname = :name AND NOT i.indisvalid"
)
# The records of the pipeline, and the columns that their lists are filtered by.
RECORDS = {
    "accounts": ["owner_id"],
    "contacts": ["owner_id"],
    "opportunities": ["owner_id", "stage", "class", "business"],
}
# Name: table, what is indexed, condition.
LIVE = "archived_at IS NULL"
INDEXES = {
    "leads_by_stage_idx": ("leads", "tenant_id, stage, created_at, id", None),
    "leads_by_owner_id_idx": ("leads", "tenant_id, owner_id, created_at, id", "owner_id IS NOT NULL"),
    "leads_by_account_id_idx": ("leads", "tenant_id, account_id, created_at, id", "account_id IS NOT NULL"),
    "leads_by_source_id_idx": ("leads", "tenant_id, source_id, created_at, id", "source_id IS NOT NULL"),
    "leads_by_temperature_idx": ("leads", "tenant_id, temperature, created_at, id", "temperature <> 'cold'"),
    **{
        f"leads_{touch}_campaign_idx": (
            "leads",
            f"tenant_id, ({touch} ->> 'campaign'), created_at, id",
            f"{touch} ->> 'campaign' IS NOT NULL",
        )
        for touch in ("first_touch", "last_touch")
    },
    "milestones_lead_id_idx": ("milestones", "tenant_id, lead_id", None),
    "idempotency_keys_sweep_idx": ("idempotency_keys", "created_at", None),
    "submissions_quarantined_idx": ("submissions", "tenant_id, received_at, id", "state = 'quarantined'"),
    "delivery_retries_state_idx": ("delivery_retries", "tenant_id, subscription_id, state, position", None),
    "opportunities_contact_id_idx": ("opportunities", "tenant_id, contact_id", None),
    "opportunities_journey_id_idx": ("opportunities", "tenant_id, journey_id", "journey_id IS NOT NULL"),
    **{f"{table}_live_idx": (table, "tenant_id, created_at, id", LIVE) for table in RECORDS},
    **{f"{table}_archived_idx": (table, "tenant_id, created_at, id", "archived_at IS NOT NULL") for table in RECORDS},
    **{
        f"{table}_live_{column}_idx": (table, f"tenant_id, {column}, created_at, id", LIVE)
        for table, columns in RECORDS.items()
        for column in columns
    },
}
DROPPED = {
    "leads_stage_idx": ("leads", "tenant_id, stage, stage_entered_at, id", None),
    "leads_owner_id_idx": ("leads", "tenant_id, owner_id, id", "owner_id IS NOT NULL"),
    "leads_account_id_idx": ("leads", "tenant_id, account_id, id", "account_id IS NOT NULL"),
    "idempotency_keys_created_at_idx": ("idempotency_keys", "tenant_id, created_at", None),
    "milestones_reached_at_idx": ("milestones", "tenant_id, name, reached_at", None),
    **{f"{table}_created_at_idx": (table, "tenant_id, created_at, id", None) for table in RECORDS},
}
# A value may be common, and yet have no row of this tenant.
STATISTICS = {
    **{
        f"leads_{column}_stats": f"(mcv) ON tenant_id, {column} FROM leads"
        for column in ("stage", "owner_id", "source_id", "temperature")
    },
    **{
        f"leads_{touch}_campaign_stats": f"(mcv) ON tenant_id, ({touch} ->> 'campaign') FROM leads"
        for touch in ("first_touch", "last_touch")
    },
    "submissions_state_stats": "(mcv) ON tenant_id, state, source_id FROM submissions",
}


def build_index(name: str, table: str, columns: str, condition: str | None) -> None:
    """Builds an index without blocking writers. One that an interrupted build left is not valid: it is replaced."""
    if not context.is_offline_mode() and op.get_bind().scalar(IS_INVALID, {"name": name}):
        drop_indexes([name])
    where = f" WHERE {condition}" if condition else ""
    op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {table} ({columns}){where}")


def create_indexes(indexes: dict[str, tuple[str, str, str | None]]) -> None:
    for name, definition in indexes.items():
        build_index(name, *definition)


def drop_indexes(names: Iterable[str]) -> None:
    for name in names:
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


def index_the_log(name: str, columns: str, condition: str | None) -> None:
    """An index of the partitioned log: built for each partition, then joined."""
    partitions = () if context.is_offline_mode() else op.get_bind().scalars(PARTITIONS).all()
    for partition in partitions:
        build_index(f"{partition}_{name}", partition, columns, condition)
    # The index of a partitioned table holds nothing itself, and cannot be made or dropped CONCURRENTLY.
    where = f" WHERE {condition}" if condition else ""
    op.execute(
        "-- squawk-ignore require-concurrent-index-creation\n"
        f"CREATE INDEX IF NOT EXISTS event_log_{name} ON ONLY event_log ({columns}){where}"
    )
    for partition in partitions:
        op.execute(f"ALTER INDEX event_log_{name} ATTACH PARTITION {partition}_{name}")


def upgrade() -> None:
    op.add_column("leads", sa.Column("words", sa.Text(), nullable=True), if_not_exists=True)
    op.create_table(
        "lead_words",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("word", sa.Text(collation="C"), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.Column("rank", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "word", "lead_id", "rank", name="lead_words_pkey"),
        if_not_exists=True,
    )
    for step in STEPS:
        op.execute(step)
    op.execute("-- squawk-ignore prefer-robust-stmts\nALTER TABLE journeys SET (fillfactor = 80)")  # can be repeated
    for name, definition in STATISTICS.items():
        op.execute(f"CREATE STATISTICS IF NOT EXISTS {name} {definition}")
    with op.get_context().autocommit_block():
        op.execute("SET statement_timeout = 0")
        op.execute(FILL)
        create_indexes(INDEXES)
        drop_indexes(DROPPED)
        index_the_log("without_lead_idx", "tenant_id, event_seq", "lead_id IS NULL")
        op.execute("-- squawk-ignore require-concurrent-index-deletion\nDROP INDEX IF EXISTS event_log_type_idx")
        op.execute(ANALYZE)
        op.execute("SET statement_timeout = '5min'")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        index_the_log("type_idx", "tenant_id, type, position", None)
        op.execute("DROP INDEX IF EXISTS event_log_without_lead_idx")
        create_indexes(DROPPED)
        drop_indexes(INDEXES)
    op.execute("ALTER TABLE journeys RESET (fillfactor)")
    for name in STATISTICS:
        op.execute(f"DROP STATISTICS IF EXISTS {name}")
    for trigger in ("replace_words", "insert_words", "set_words", "set_words_of_new"):
        op.execute(f"DROP TRIGGER IF EXISTS {trigger} ON leads")
    for function in (*FUNCTIONS, "folded(text)"):
        op.execute(f"DROP FUNCTION IF EXISTS {function}")
    op.execute("DROP TABLE IF EXISTS lead_words")
    op.drop_column("leads", "words", if_exists=True)
