"""What a PACS among the destinations takes of what is meant for it: asked by an association in which nothing is sent.

Comes in: a destination and the settings. Goes out: a sentence for a person, and whether everything can be told there,
be it in another form. What can go wrong: no association, which the sentence tells. A PACS may still answer a refusal
when it is sent something. Who is next: a person, by `crlm-node config check --probe`.
"""

from collections.abc import Sequence

from node.core.errors import Unavailable
from node.core.kinds import Kind, in_place_of
from node.core.peer import Peer
from node.core.settings import PacsDestination


def ask(destination: PacsDestination, calling_ae_title: str) -> tuple[str, bool]:
    """Return what a destination takes, in a sentence, and whether something of each kind of object can go there."""
    them = destination
    peer = Peer(them.ae_title, them.host, them.port, calling_ae_title, them.tls)
    chains = {kind: [kind, *(in_place_of(kind) if them.substitutes else ())] for kind in them.objects}
    offered = sorted({kind.sop_class_uid for chain in chains.values() for kind in chain})
    try:
        accepted = peer.accepted(offered)
    except Unavailable as error:
        return f"{them.name}: {error}", False
    gets = {kind: next((one for one in chain if one.sop_class_uid in accepted), None) for kind, chain in chains.items()}
    words = [_listed("takes", [kind for kind, got in gets.items() if got is kind])]
    for one in Kind:
        replaced = [kind for kind, got in gets.items() if got is one and kind is not one]
        words.append(_listed(f"gets {one} in place of", replaced))
    words.append(_listed("gets nothing of", [kind for kind, got in gets.items() if got is None]))
    return f"{them.name} {'; '.join(filter(None, words))}", None not in gets.values()


def _listed(words: str, kinds: Sequence[Kind]) -> str:
    return f"{words} {', '.join(kinds)}" if kinds else ""
