import sys

from bench import attention, clouds, convolutions, flows, harmonics, messages, steerable

for _part in (flows, messages, harmonics, convolutions, attention, steerable, clouds):
    sys.argv = [sys.argv[0]]
    _part.main()
