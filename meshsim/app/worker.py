"""A process beside the server that answers analytic questions: ``python -m meshsim.app.worker NICE``.

Lowering an application of 1,000 services takes a second or two of Python; in a thread of the server it would hold up
every visitor. Questions come in pickled on stdin, answers go out on stdout; it ends when the server does.
"""

from __future__ import annotations

import os
import pickle
import sys


def main(nice: int) -> None:
    """Answer until there is nobody to answer to; ``nice``: how much it gives way to other processes."""
    if hasattr(os, "nice"):
        os.nice(nice)
    inward, outward = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a stray print must not end up between two answers
    from meshsim.app.approximate import at_rates

    while True:
        try:
            place, rates = pickle.load(inward)
        except EOFError:
            return
        try:
            answer: object = at_rates(place, rates)
        except Exception as error:
            answer = error
        pickle.dump(answer, outward)
        outward.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
