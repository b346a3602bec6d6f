"""All of QM9, from each form in which it is published, and the checks that tell a good file from a damaged one.

- `read_qm9pack`: the package qm9pack 1.0.3 by QM9's first author, 130,831 molecules (`pip download qm9pack==1.0.3 --no-deps`);
- `read_xyz`: `dsgdb9nsd.xyz.tar.bz2` (figshare 3195389), 133,885 molecules, of which 3,054 are to be left out;
- `read_sdf`: `gdb9.sdf` with `gdb9.sdf.csv` (deepchem's `gdb9.tar.gz`), likewise with all 133,885;
- `read_exclusions`: the 3,054 (figshare 3195404); `read_atoms`: energies of single atoms (figshare 3195395).

Every reader takes a path: the authors publish no checksums, and only the package's was recorded by us (`QM9PACK_SHA256`).
Every fault raises a ValueError that names the file and the line.
"""

from __future__ import annotations

import csv
import io
import re
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from m2m.data.molecules import ATOMS, ELEMENTS, PROPERTIES, Molecules
from m2m.data.qm9_records import Record, collect, demand, number_in, whole_in

QM9PACK_SHA256 = "1d88c2988007c6778e717ee3224cf511bd60e10732ebe3b7ed500ea5af05c9f0"  # the wheel, as seen on 2026-11-21
MOLECULES, EXCLUDED = 133_885, 3_054
_COLUMNS = (
    "RotA_GHz RotB_GHz RotC_GHz Dipole_debye Polarizability_bohr3 HOMO_au LUMO_au HOMO_LUMO_gap_au R2_bohr2 ZPVE_au "
    "InternalEnergy_0K_au InternalEnergy_298K_au Enthalphy_298K_au GibbsFreeEnergy_298K_au Heatcapacity_Cv_cal_mol_K"
).split()
_SDF_NAMES = {"U0": "u0", "U": "u298", "H": "h298", "G": "g298", "Cv": "cv"}  # where they differ from PROPERTIES


# --- The three forms ------------------------------------------------------------------------------------------------------


def read_qm9pack(path: str | Path) -> Molecules:
    """The molecules of the package qm9pack, from its wheel or from the folder with its `qm9_part*.csv`; about half a minute."""
    return collect(qm9pack_records(path))


def read_xyz(path: str | Path, exclude: Collection[int] = ()) -> Molecules:
    """The molecules of a `.tar.bz2` of `dsgdb9nsd_*.xyz`, of a folder of them, or of one such file.

    Args:
        exclude: indices to leave out, as `read_exclusions` gives them.
    """
    return collect(record for record in xyz_records(path) if record.index not in exclude)


def read_sdf(sdf: str | Path, table: str | Path, exclude: Collection[int] = ()) -> Molecules:
    """The molecules of `gdb9.sdf` (positions to 1e-4 angstrom) with the properties of `gdb9.sdf.csv`, columns found by name.

    PyTorch Geometric and others keep these columns in another order, with A, B and C last: here they come first.
    """
    return collect(record for record in sdf_records(sdf, table) if record.index not in exclude)


def read_exclusions(path: str | Path, expected: int | None = EXCLUDED) -> frozenset[int]:
    """The indices in `uncharacterized.txt`, between its header and its footer: molecules whose geometry fell apart.

    Raises:
        ValueError: a line of another form, or not the expected number of indices.
    """
    found = []
    for number, line in _numbered(path):
        words = line.split()
        if len(words) == 4 and words[0].isdigit():
            found.append(int(words[0]))
            demand(1 <= found[-1] <= MOLECULES, f"{path}:{number}", f"got index {words[0]}, expected 1 to {MOLECULES}")
        elif words and words[0].isdigit():
            raise ValueError(f"{path}:{number}: got {len(words)} columns, expected index, two SMILES and a distance")
    if len(set(found)) != (len(found) if expected is None else expected) or not found:
        raise ValueError(
            f"{path}: got {len(set(found))} indices, expected {expected or 'one or more, each once'}; is it truncated?"
        )
    return frozenset(found)


def read_atoms(path: str | Path) -> dict[str, tuple[float, ...]]:
    """The energies of single atoms in `atomref.txt` as a dict like `molecules.ATOMS`: name -> numbers of H, C, N, O, F in hartree."""
    rows = {}
    for number, line in _numbered(path):
        words = line.split()
        if words and words[0] in ELEMENTS:
            where = f"{path}:{number}"
            demand(len(words) == 7, where, f"got {len(words)} columns, expected element, ZPVE, U0, U, H, G, Cv")
            rows[words[0]] = [number_in(word, where, name) for word, name in zip(words[2:6], ATOMS, strict=True)]
    demand(list(rows) == list(ELEMENTS), str(path), f"got elements {list(rows)}, expected {list(ELEMENTS)}")
    return {name: tuple(row[k] for row in rows.values()) for k, name in enumerate(ATOMS)}


def qm9pack_records(path: str | Path) -> Iterator[Record]:
    """The rows of `qm9_part1.csv`, `qm9_part2.csv`, `qm9_part3.csv`; lists there are texts such as `[[0.,1.5],[...]]`."""
    csv.field_size_limit(2**24)
    for part in (1, 2, 3):
        with _member(Path(path), f"qm9_part{part}.csv") as (file, name):
            reader = csv.DictReader(line for line in file if line.strip())
            _demand_columns(reader, ("Index", "SMILES", "Elements", "XYZ_Ang", *_COLUMNS), name, "the table of qm9pack 1.0.3")
            for number, row in enumerate(reader, 1):
                where = f"{name}: molecule {number}"
                demand(
                    None not in row.values() and None not in row,
                    where,
                    f"got another number of columns, expected {len(reader.fieldnames)}",
                )
                flat = [number_in(word, where, "XYZ_Ang") for word in re.sub(r"[\[\]]", "", row["XYZ_Ang"]).split(",")]
                y = [number_in(row[column], where, column) for column in _COLUMNS]
                yield Record(
                    where,
                    whole_in(row["Index"], where),
                    re.findall(r"\w+", row["Elements"]),
                    _rows(flat, where),
                    y,
                    row["SMILES"],
                )


def xyz_records(path: str | Path) -> Iterator[Record]:
    """`dsgdb9nsd_*.xyz`: number of atoms; `gdb`, index, 15 properties; atoms with a charge; frequencies; SMILES; InChI."""
    for name, text in _xyz_files(Path(path)):
        lines = text.rstrip("\n").split("\n")
        atoms = whole_in(lines[0], f"{name}:1")
        demand(
            len(lines) == atoms + 5,
            f"{name}:{len(lines)}",
            f"got {len(lines)} lines, expected {atoms + 5} for {atoms} atoms; is it truncated?",
        )
        head = lines[1].split()
        demand(
            len(head) == 2 + len(PROPERTIES) and head[0] == "gdb",
            f"{name}:2",
            f"got {len(head)} columns, expected 'gdb', index, {len(PROPERTIES)} properties",
        )
        y = [number_in(word, f"{name}:2", key) for word, key in zip(head[2:], PROPERTIES, strict=True)]
        symbols, x = [], []
        for number, line in enumerate(lines[2 : 2 + atoms], 3):
            words = line.split()
            demand(len(words) == 5, f"{name}:{number}", f"got {len(words)} columns, expected element, x, y, z, charge")
            symbols.append(words[0])
            x.append([number_in(word, f"{name}:{number}", "position") for word in words[1:4]])
        smiles = lines[atoms + 3].split()
        demand(len(smiles) in (1, 2), f"{name}:{atoms + 4}", f"got {len(smiles)} columns, expected two SMILES")
        yield Record(f"{name}:2", whole_in(head[1], f"{name}:2"), symbols, x, y, smiles[0])


def sdf_records(sdf: str | Path, table: str | Path) -> Iterator[Record]:
    """The molecules of a V2000 file beside the rows of a table; both must name the same molecules in the same order."""
    names = [_SDF_NAMES.get(name, name) for name in PROPERTIES]
    with _opened(table) as file:
        reader = csv.DictReader(file)
        _demand_columns(reader, ("mol_id", *names), table, "those of gdb9.sdf.csv")
        blocks = _sdf_blocks(sdf)
        for number, row in enumerate(reader, 2):
            where = f"{table}:{number}"
            block = next(blocks, None)
            demand(
                block is not None,
                str(sdf),
                f"got {number - 2} molecules, expected one for line {number} of {table}; is it truncated?",
            )
            title, symbols, x = block
            demand(
                row["mol_id"] == title, where, f"got {row['mol_id']}, expected {title}, the molecule at this place in {sdf}"
            )
            y = [number_in(row[name], where, name) for name in names]
            yield Record(where, whole_in(title.removeprefix("gdb_"), where), symbols, x, y, row.get("smiles") or "")
        demand(next(blocks, None) is None, str(table), f"got fewer rows than {sdf} has molecules; is it truncated?")


def _sdf_blocks(path: str | Path) -> Iterator[tuple[str, list[str], list[list[float]]]]:
    """Title, elements and positions of each molecule. Columns have fixed widths there and may touch one another."""
    lines: list[str] = []
    number = 0
    for number, line in _numbered(path):
        if line.strip() != "$$$$":
            lines.append(line)
            continue
        yield lines[0].strip(), *_sdf_atoms(path, lines, number)
        lines = []
    demand(
        not any(line.strip() for line in lines),
        f"{path}:{number}",
        "the last molecule has no end ($$$$); is the file truncated?",
    )


def _sdf_atoms(path: str | Path, lines: list[str], number: int) -> tuple[list[str], list[list[float]]]:
    """Elements and positions from the lines of a molecule, of which line `number` of the file is the end."""
    first = number - len(lines)
    counted = len(lines) > 3 and "V2000" in lines[3]
    demand(counted, f"{path}:{first + 3}", "got no line of counts with V2000, expected one in the fourth line")
    atoms = whole_in(lines[3][:3], f"{path}:{first + 3}")
    demand(len(lines) >= 4 + atoms, f"{path}:{number}", f"got {len(lines) - 4} lines, expected {atoms} atoms")
    symbols, x = [], []
    for k, atom in enumerate(lines[4 : 4 + atoms]):
        where = f"{path}:{first + 4 + k}"
        x.append([number_in(atom[c : c + 10], where, "position") for c in (0, 10, 20)])
        symbols.append(atom[31:34].strip())
    return symbols, x


def _demand_columns(reader: csv.DictReader, columns: Iterable[str], file: str | Path, expected: str) -> None:
    missing = [column for column in columns if column not in (reader.fieldnames or ())]
    demand(not missing, f"{file}:1", f"got no column {', '.join(missing)}, expected {expected}")


def _rows(flat: list[float], where: str) -> list[list[float]]:
    demand(len(flat) % 3 == 0, where, f"got {len(flat)} coordinates, expected three for each atom")
    return [flat[k : k + 3] for k in range(0, len(flat), 3)]


# --- Files, folders, archives -----------------------------------------------------------------------------------------------


@contextmanager
def _opened(path: str | Path) -> Iterator[IO[str]]:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            yield file
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file ({error})") from error


def _numbered(path: str | Path) -> Iterator[tuple[int, str]]:
    with _opened(path) as file:
        for number, line in enumerate(file, 1):
            yield number, line.rstrip("\r\n")


@contextmanager
def _member(path: Path, name: str) -> Iterator[tuple[IO[str], str]]:
    """A table of qm9pack, in its wheel or in a folder, and how to call it in a message."""
    if path.is_dir():
        with _opened(path / name) as file:
            yield file, str(path / name)
        return
    try:
        with zipfile.ZipFile(path) as wheel, wheel.open(f"qm9pack/data/{name}") as member:
            yield io.TextIOWrapper(member, encoding="utf-8", newline=""), f"{path}:{name}"
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such file; `pip download qm9pack==1.0.3 --no-deps` gets it") from None
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, OSError) as error:
        raise ValueError(f"{path}: truncated, or not the wheel of qm9pack 1.0.3 ({error})") from error


def _xyz_files(path: Path) -> Iterator[tuple[str, str]]:
    if path.is_dir():
        files = sorted(path.glob("dsgdb9nsd_*.xyz"))
        demand(bool(files), str(path), "got no file dsgdb9nsd_*.xyz, expected the folder of the unpacked archive")
    elif path.suffix == ".xyz":
        files = [path]
    else:
        yield from _tar_files(path)
        return
    for file in files:
        with _opened(file) as opened:
            yield str(file), opened.read().replace("\r\n", "\n")


def _tar_files(path: Path) -> Iterator[tuple[str, str]]:
    try:
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                if member.isfile() and member.name.endswith(".xyz"):
                    yield f"{path}:{member.name}", archive.extractfile(member).read().decode("utf-8")
    except FileNotFoundError:
        raise
    except (tarfile.TarError, EOFError, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: truncated, or not a tar archive of xyz files ({error})") from error
