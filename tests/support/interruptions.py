"""Interruptions, as a user's or a cluster's."""


def interrupt_after(monkeypatch, owner, name, calls):
    """Lets a function of a module or class be called so often, and interrupts the process at the next call."""
    function, done = getattr(owner, name), []

    def interrupted(*arguments):
        if len(done) == calls:
            raise KeyboardInterrupt
        function(*arguments)
        done.append(1)

    monkeypatch.setattr(owner, name, interrupted)
