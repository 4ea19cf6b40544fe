"""Create the search index: entries and vocabulary, a GIN index or an FTS5 table."""

import django.db.models.deletion
from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

# Not inlined because of its SET clause, so that its cost counts: without it the planner
# reads the lexemes of all papers to find a common word.
POSTGRESQL = [
    """
    CREATE FUNCTION digest_search_vector(lexemes text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 10000 SET search_path = pg_catalog
    AS $$ SELECT array_to_tsvector(string_to_array(lexemes, ' ')) $$
    """,
    # Lexemes lie apart from the rows, which searches read by the thousand.
    "ALTER TABLE digest_searchentry SET (toast_tuple_target = 128)",
    # Queries would scan the pending list of fast updates.
    """
    CREATE INDEX digest_search_lexemes ON digest_searchentry
    USING gin (digest_search_vector(lexemes)) WITH (fastupdate = off)
    """,
]
SQLITE = [
    """
    CREATE VIRTUAL TABLE digest_search_fts USING fts5(
        lexemes, content = 'digest_searchentry', content_rowid = 'id',
        tokenize = "unicode61 remove_diacritics 0 tokenchars ':.+#-/_'"
    )
    """,
    """
    CREATE TRIGGER digest_search_insert AFTER INSERT ON digest_searchentry BEGIN
        INSERT INTO digest_search_fts (rowid, lexemes) VALUES (new.id, new.lexemes);
    END
    """,
    """
    CREATE TRIGGER digest_search_delete AFTER DELETE ON digest_searchentry BEGIN
        INSERT INTO digest_search_fts (digest_search_fts, rowid, lexemes)
        VALUES ('delete', old.id, old.lexemes);
    END
    """,
    """
    CREATE TRIGGER digest_search_update AFTER UPDATE OF lexemes ON digest_searchentry BEGIN
        INSERT INTO digest_search_fts (digest_search_fts, rowid, lexemes)
        VALUES ('delete', old.id, old.lexemes);
        INSERT INTO digest_search_fts (rowid, lexemes) VALUES (new.id, new.lexemes);
    END
    """,
]
UNDO = {
    "postgresql": [
        "DROP INDEX digest_search_lexemes",
        "DROP FUNCTION digest_search_vector(text)",
    ],
    "sqlite": [
        "DROP TRIGGER digest_search_insert",
        "DROP TRIGGER digest_search_delete",
        "DROP TRIGGER digest_search_update",
        "DROP TABLE digest_search_fts",
    ],
}


def create_indexes(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    vendor = schema_editor.connection.vendor
    for statement in {"postgresql": POSTGRESQL, "sqlite": SQLITE}[vendor]:
        schema_editor.execute(statement)


def drop_indexes(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    for statement in UNDO[schema_editor.connection.vendor]:
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("digest", "0003_index_authors_of_papers")]

    operations = [
        migrations.CreateModel(
            name="SearchEntry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("paper_updated_at", models.DateTimeField()),
                ("title_hash", models.CharField(db_index=True, max_length=16)),
                ("announced_on", models.DateField()),
                ("lexemes", models.TextField()),
                ("paper", models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name="search_entry", to="digest.paper")),
            ],
        ),
        migrations.CreateModel(
            name="SearchWord",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("word", models.CharField(max_length=48, unique=True)),
                ("papers", models.PositiveIntegerField(default=0)),
            ],
        ),
        migrations.RunPython(create_indexes, drop_indexes),
    ]
