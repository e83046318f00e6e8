import pytest

from node.core.states import MOVES, DeliveryState, IllegalMove, JobState, State, StudyState, check_move

ALL: list[State] = [*StudyState, *JobState, *DeliveryState]


def test_every_state_has_a_row() -> None:
    """The table says of every state what it may become, so that no move is a KeyError."""
    assert {kind: set(table) for kind, table in MOVES.items()} == {
        kind: set(kind) for kind in (StudyState, JobState, DeliveryState)
    }


def test_moves_stay_in_their_machine() -> None:
    """No job becomes a delivery's state, though both machines have the word `failed`."""
    for kind, table in MOVES.items():
        for old, news in table.items():
            assert {type(old), *(type(new) for new in news)} == {kind}
    with pytest.raises(IllegalMove):
        check_move(JobState.RUNNING, DeliveryState.FAILED)


@pytest.mark.parametrize("old", ALL, ids=lambda state: f"{type(state).__name__}-{state}")
def test_a_move_is_allowed_exactly_by_the_table(old: State) -> None:
    """`check_move` raises on each move of the machine that is not in the table, and on no other."""
    for new in type(old):
        if new in MOVES[type(old)][old]:
            check_move(old, new)
        else:
            with pytest.raises(IllegalMove, match=f"{old} may not become {new}"):
                check_move(old, new)


def test_final_states_are_final() -> None:
    """A proven delivery and a superseded job change no more: their evidence stands."""
    assert MOVES[DeliveryState][DeliveryState.PROVEN] == frozenset()
    assert MOVES[JobState][JobState.SUPERSEDED] == frozenset()


@pytest.mark.parametrize(
    ("start", "kind"),
    [(StudyState.RECEIVING, StudyState), (JobState.QUEUED, JobState), (DeliveryState.PENDING, DeliveryState)],
)
def test_every_state_can_be_reached(start: State, kind: type[State]) -> None:
    """From its first state each machine can come to each of its states."""
    reached, todo = {start}, [start]
    while todo:
        for new in MOVES[kind][todo.pop()] - reached:
            reached.add(new)
            todo.append(new)
    assert reached == set(kind)
