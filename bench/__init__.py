"""Speed beside the libraries that one would otherwise use. `python -m bench` runs all of it.

One thread each, set here before anything is imported that reads it: libraries differ in how they use a second thread, and
on a busy machine that is all one would measure.
"""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
