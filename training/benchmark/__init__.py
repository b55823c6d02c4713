"""How far from Nash is what independent learners learn? Suites of trainings, their results as tables, and statistics.

:mod:`.suites` says what is trained, :mod:`.results` writes one row a run, :mod:`.report` draws from these files alone;
:func:`add_score` puts anybody's learner beside them.
"""

from .foreign import add_score as add_score
