import sys

from bench import attention, convolutions, flows, harmonics, messages, steerable

for _part in (flows, messages, harmonics, convolutions, attention, steerable):
    sys.argv = [sys.argv[0]]
    _part.main()
