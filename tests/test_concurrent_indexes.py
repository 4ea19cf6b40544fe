"""Operations that build indexes without blocking writes."""

import pytest
from django.db import connection, models
from django.db.migrations.operations import AddIndex
from django.db.migrations.state import ModelState, ProjectState

from accounts.concurrent_indexes import AddIndexConcurrently, RemoveIndexConcurrently

pytestmark = [pytest.mark.both, pytest.mark.django_db(transaction=True)]

INDEX = models.Index(fields=["size"], name="boxes_by_size")


def project_state():
    fields = [
        ("id", models.BigAutoField(primary_key=True)),
        ("size", models.IntegerField()),
    ]
    state = ProjectState()
    state.add_model(ModelState("digest", "Box", fields))
    return state


@pytest.fixture
def boxes():
    state = project_state()
    model = state.apps.get_model("digest", "Box")
    with connection.schema_editor() as editor:
        editor.create_model(model)
    yield state
    with connection.schema_editor() as editor:
        editor.delete_model(model)


def run(operation, state, direction="forwards"):
    """Run an operation in one direction; return its statements and the state after it."""
    after = state.clone()
    operation.state_forwards("digest", after)
    states = (state, after) if direction == "forwards" else (after, state)
    statements = []

    def record(execute, sql, *arguments):
        statements.append(str(sql))
        return execute(sql, *arguments)

    with (
        connection.execute_wrapper(record),
        connection.schema_editor(atomic=False) as editor,
    ):
        getattr(operation, f"database_{direction}")("digest", editor, *states)
    return statements, after


def index_names():
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, "digest_box")
    return {name for name, constraint in constraints.items() if constraint["index"]}


def is_concurrent(statements):
    return all("CONCURRENTLY" in sql for sql in statements if " INDEX " in sql)


def test_index_is_added_and_removed_concurrently_where_the_database_can(boxes):
    add, remove = (
        AddIndexConcurrently("box", INDEX),
        RemoveIndexConcurrently("box", INDEX.name),
    )

    added, with_index = run(add, boxes)
    assert INDEX.name in index_names()
    removed, _ = run(remove, with_index)
    assert INDEX.name not in index_names()
    restored, _ = run(remove, with_index, "backwards")
    assert INDEX.name in index_names()
    dropped, _ = run(add, boxes, "backwards")
    assert INDEX.name not in index_names()

    for statements in (added, removed, restored, dropped):
        assert is_concurrent(statements) == (connection.vendor == "postgresql")


def test_interrupted_build_is_run_again(boxes):
    if connection.vendor != "postgresql":
        pytest.skip("only PostgreSQL leaves an index behind")
    run(AddIndex("box", INDEX), boxes)

    run(AddIndexConcurrently("box", INDEX), boxes)

    assert INDEX.name in index_names()


def test_autodetector_sees_the_same_model_as_after_a_plain_index():
    plain, concurrent = project_state(), project_state()

    AddIndex("box", INDEX).state_forwards("digest", plain)
    AddIndexConcurrently("box", INDEX).state_forwards("digest", concurrent)

    assert plain.models == concurrent.models
