#!/usr/bin/env bash
# Inside Colab's container image: install m2m as the setup cell does, show that nothing else changed, run every notebook.
set -euo pipefail

pip install --quiet nbval==0.11.0 pytest-xdist
pip freeze | sort > before.txt
pip install --quiet --no-deps .
pip freeze | sort > after.txt
changed=$(comm -3 before.txt after.txt | grep -v moons-to-molecules || true)
[ -z "$changed" ] || { echo "installing m2m changed:"; echo "$changed"; exit 1; }

# In a folder with nothing but the notebooks and the long runs' results, so that what runs is the installed library
folder=$(mktemp -d)
cp -r book results "$folder"
cd "$folder"
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 M2M_THREADS=1 M2M_SCALE=cpu
python3 -m pytest --nbval-lax --nbval-current-env --nbval-cell-timeout=600 -n 2 --dist loadscope -q book
