import sys

from bench import convolutions, flows, harmonics, messages

for _part in (flows, messages, harmonics, convolutions):
    sys.argv = [sys.argv[0]]
    _part.main()
