"""Which replies of the playground are still about what was asked last."""

from codeprune_tui.playground.conversation import Conversation
from core.run.exchange import MOST_CHARACTERS, Done, MethodsFound, Variant


def methods_reply(number: int) -> MethodsFound:
    return MethodsFound(id=number, methods=[], total=0, warnings=[], unread=0)


def test_only_replies_to_the_newest_text_as_it_still_is_count() -> None:
    talk = Conversation()
    first, second = talk.read("a"), talk.read("b")
    assert not talk.is_about(methods_reply(first.id), "b")
    assert talk.is_about(methods_reply(second.id), "b")
    assert not talk.is_about(methods_reply(second.id), "typed on"), "its methods are those of another text"


def test_only_replies_to_the_newest_question_count() -> None:
    talk = Conversation()
    reading = talk.read("a")
    first, second = (talk.comment(0, [Variant("m")], beam) for beam in (1, 10))
    assert (first.reading, second.n_best, first.n_best) == (reading.id, 5, 1)
    assert not talk.is_about(Done(id=first.id), "a")
    assert talk.is_about(Done(id=second.id), "a")
    assert len({reading.id, first.id, second.id, talk.abilities().id}) == 4


def test_what_would_not_be_read_is_not_sent() -> None:
    request = Conversation().read("x" * (MOST_CHARACTERS + 7))
    assert (len(request.source), request.cut) == (MOST_CHARACTERS, 7)
