"""The workers of all hosts that `tearless mirror` has brought here: python dashboard.py NAMESPACE."""

import sys
import time

import tearless

hub = tearless.Namespace(sys.argv[1] if len(sys.argv) > 1 else "fleet").hub()
while True:
    states = hub.states()
    for name, state in states.items():
        print(f"{name}: {state.value!r}, {state.origin or 'of this host'}, {hub.status(name).health}")
    for name, error in states.errors.items():
        print(f"{name}: {error}")
    time.sleep(1)
