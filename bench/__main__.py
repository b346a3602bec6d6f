import sys

from bench import flows, messages

for _part in (flows, messages):
    sys.argv = [sys.argv[0]]
    _part.main()
