"""What holds for every test."""

import signal

# A shell starts its background jobs with SIGINT ignored, and their children inherit that: the tests
# of ctrl-C would then wait for a process that never ends.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
