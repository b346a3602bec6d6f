"""QM9's published forms: each is written here from shipped molecules with the traps of the real one, and read back."""

import bz2
import csv
import hashlib
import io
import tarfile
import zipfile

import pytest
import torch

from m2m.data import molecules, qm9_formats, qm9_records

SYMBOL = {number: symbol for symbol, number in molecules.ELEMENTS.items()}


@pytest.fixture(scope="module")
def some():
    shipped = molecules.load()
    return shipped.subset([0, 1, 2, 40, 5000, 9999])


def number(value, hat=False):
    """As Mathematica writes it: `0.`, and where asked `1.5*^-6` for 1.5e-6."""
    text = f"{value:.10g}"
    if hat:
        mantissa, exponent = f"{value:.9e}".split("e")
        return f"{mantissa}*^{int(exponent)}"
    return text + "." if "." not in text and "e" not in text else text


def parts(some):
    """index, symbols, positions, properties, SMILES of each molecule."""
    for row in range(len(some)):
        one = some[row]
        yield one.index.item(), [SYMBOL[z] for z in one.z.tolist()], one.x.double().tolist(), one.y[0].tolist(), some.smiles[row]


def same(read, some, atol=1e-6):
    assert torch.equal(read.z, some.z) and torch.equal(read.sizes, some.sizes) and torch.equal(read.index, some.index)
    torch.testing.assert_close(read.x, some.x, atol=atol, rtol=0)
    torch.testing.assert_close(read.y, some.y, atol=1e-9, rtol=1e-9)


# --- dsgdb9nsd_*.xyz --------------------------------------------------------------------------------------------------------


def as_xyz(index, symbols, x, y, smiles):
    """Tabs, a tab at the end of line 2, blanks after tabs, `*^`, charges, frequencies, SMILES twice, InChI twice."""
    head = f"gdb {index}\t" + "\t".join(map(number, y)) + "\t"
    atoms = [
        f"{symbol}\t" + "\t ".join(number(value, hat=abs(value) < 0.05) for value in place) + f"\t{number(-0.000023, hat=True)}"
        for symbol, place in zip(symbols, x, strict=True)
    ]
    return "\n".join([str(len(x)), head, *atoms, "341.307\t1341.3284", f"{smiles}\t{smiles}\t", "InChI=1S/CH4\tInChI=1S/CH4", ""])


@pytest.fixture
def xyz_folder(some, tmp_path):
    folder = tmp_path / "xyz"
    folder.mkdir()
    for molecule in parts(some):
        (folder / f"dsgdb9nsd_{molecule[0]:06d}.xyz").write_text(as_xyz(*molecule))
    return folder


def as_tar(folder, path):
    with tarfile.open(path, "w:bz2") as archive:
        for file in sorted(folder.iterdir()):
            archive.add(file, file.name)
    return path


def test_xyz_from_folder_archive_and_file(some, xyz_folder, tmp_path):
    same(qm9_formats.read_xyz(xyz_folder), some)
    assert qm9_formats.read_xyz(xyz_folder).smiles == some.smiles
    same(qm9_formats.read_xyz(as_tar(xyz_folder, tmp_path / "dsgdb9nsd.xyz.tar.bz2")), some)
    same(qm9_formats.read_xyz(sorted(xyz_folder.iterdir())[0]), some.subset([0]))


def test_windows_line_ends(some, xyz_folder):
    for file in xyz_folder.iterdir():
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    same(qm9_formats.read_xyz(xyz_folder), some)


def test_exclusions_are_left_out(some, xyz_folder):
    left = some.index[1:3].tolist()
    read = qm9_formats.read_xyz(xyz_folder, exclude=frozenset(left))
    assert read.index.tolist() == [i for i in some.index.tolist() if i not in left]


def swap(line, column, text, tab="\t"):
    words = line.split(tab)
    words[column] = text
    return tab.join(words)


# what to break -> (line, how, which line the message names, what it says)
XYZ_FAULTS = {
    "element": (2, lambda line: "Si" + line[1:], 2, "got element Si"),
    "nan": (3, lambda line: swap(line, 1, "nan"), 4, "got 'nan' as position, expected a finite number"),
    "text": (3, lambda line: swap(line, 2, "1.2.3"), 4, "got '1.2.3' as position, expected a number"),
    "column": (4, lambda line: line.rsplit("\t", 1)[0], 5, "got 4 columns, expected element, x, y, z, charge"),
    "property": (1, lambda line: line.rstrip("\t").rsplit("\t", 1)[0], 2, "got 16 columns, expected 'gdb', index, 15"),
    "count": (0, lambda line: str(int(line) + 1), None, "is it truncated"),
    "no count": (0, lambda line: "five", 1, "got 'five', expected a whole number"),
    "energy in eV": (1, lambda line: swap(line, 11, "-11000.5"), 2, "hartree; other units"),
    "orbitals in eV": (1, lambda line: "\t".join(w if k not in (6, 7, 8) else number(float(w) * 27.2114) for k, w in enumerate(line.split("\t"))),
                       2, "expected them equal, in hartree"),
    "gap": (1, lambda line: swap(line, 8, "0.5"), 2, "expected them equal"),
    "columns exchanged": (1, lambda line: swap(swap(line, 12, line.split("\t")[13]), 13, line.split("\t")[12]), 2, "expected kT"),
}  # fmt: skip


@pytest.mark.parametrize("fault", XYZ_FAULTS)
def test_faults_of_xyz_name_file_and_line(fault, xyz_folder):
    line, change, named, says = XYZ_FAULTS[fault]
    file = sorted(xyz_folder.iterdir())[1]
    lines = file.read_text().split("\n")
    lines[line] = change(lines[line])
    file.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=says) as error:
        qm9_formats.read_xyz(xyz_folder)
    assert f"{file.name}:{named}" in str(error.value) if named else file.name in str(error.value)


@pytest.mark.parametrize("share", [0.2, 0.6, 0.97])
def test_truncated_xyz(share, xyz_folder):
    file = sorted(xyz_folder.iterdir())[2]
    text = file.read_text()
    file.write_text(text[: int(len(text) * share)])
    with pytest.raises(ValueError, match=file.name):
        qm9_formats.read_xyz(xyz_folder)


def test_positions_in_bohr_or_nanometres_are_noticed(some, tmp_path):
    index, symbols, x, y, smiles = next(parts(some))
    for factor in (1.8897, 0.1):
        (tmp_path / "one.xyz").write_text(as_xyz(index, symbols, [[factor * value for value in place] for place in x], y, smiles))
        with pytest.raises(ValueError, match="expected 0.9 to 1.45 angstrom; other units"):
            qm9_formats.read_xyz(tmp_path / "one.xyz")


def test_truncated_archive(xyz_folder, tmp_path):
    whole = as_tar(xyz_folder, tmp_path / "whole.tar.bz2").read_bytes()
    (tmp_path / "cut.tar.bz2").write_bytes(whole[: len(whole) * 2 // 3])
    (tmp_path / "other.tar.bz2").write_bytes(bz2.compress(b"text"))
    for name in ("cut", "other"):
        with pytest.raises(ValueError, match=f"{name}.tar.bz2: truncated, or not a tar archive"):
            qm9_formats.read_xyz(tmp_path / f"{name}.tar.bz2")
    with pytest.raises(FileNotFoundError):
        qm9_formats.read_xyz(tmp_path / "none.tar.bz2")
    with pytest.raises(ValueError, match="got no file dsgdb9nsd"):
        (tmp_path / "empty").mkdir()
        qm9_formats.read_xyz(tmp_path / "empty")


def test_the_same_molecule_twice(xyz_folder):
    first, second = sorted(xyz_folder.iterdir())[:2]
    second.write_text(first.read_text())
    with pytest.raises(ValueError, match="more than once"):
        qm9_formats.read_xyz(xyz_folder)


# --- gdb9.sdf and its table -------------------------------------------------------------------------------------------------


def as_sdf(some):
    """Fixed columns that touch one another, `-.1234` without a zero, bonds to skip, `$$$$`."""
    text = ""
    for index, symbols, x, _, _ in parts(some):
        text += f"gdb_{index}\n  -OEChem-03231823403D\n\n{len(x):3d}{1:3d}  0     0  0  0  0  0  0999 V2000\n"
        for symbol, place in zip(symbols, x, strict=True):
            text += "".join(f"{value:10.4f}" for value in place) + f" {symbol:<3} 0  0  0  0  0  0  0  0  0  0  0  0\n"
        text += "  1  2  1  0  0  0  0\nM  END\n$$$$\n"
    return text


def as_table(some, names=None):
    """`gdb9.sdf.csv`: A, B, C first, other names for energies, more columns after, numbers such as `-.3877` and `0.`."""
    names = names or ["A", "B", "C", "mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "u0", "u298", "h298", "g298", "cv"]
    ours = {"u0": "U0", "u298": "U", "h298": "H", "g298": "G", "cv": "Cv"}
    place = [list(molecules.PROPERTIES).index(ours.get(name, name)) for name in names]
    lines = [",".join(["mol_id", *names, "u0_atom"])]
    for index, _, _, y, _ in parts(some):
        values = [number(y[k]).replace("-0.", "-.") for k in place]
        lines.append(",".join([f"gdb_{index}", *values, "-395.999594594"]))
    return "\n".join(lines) + "\n"


@pytest.fixture
def sdf(some, tmp_path):
    (tmp_path / "gdb9.sdf").write_text(as_sdf(some))
    (tmp_path / "gdb9.sdf.csv").write_text(as_table(some))
    return tmp_path / "gdb9.sdf", tmp_path / "gdb9.sdf.csv"


def test_sdf(some, sdf):
    same(qm9_formats.read_sdf(*sdf), some, atol=0.51e-4)
    assert len(qm9_formats.read_sdf(*sdf, exclude={int(some.index[0])})) == len(some) - 1


def test_columns_are_found_by_name(some, sdf):
    """PyTorch Geometric's order, with A, B and C last."""
    order = ["mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "u0", "u298", "h298", "g298", "cv", "A", "B", "C"]
    sdf[1].write_text(as_table(some, order))
    same(qm9_formats.read_sdf(*sdf), some, atol=0.51e-4)


def cut_line(text, k):
    lines = text.split("\n")
    return "\n".join(lines[:k] + lines[k + 1 :])


SDF_FAULTS = {
    "row missing": (1, lambda text: cut_line(text, 2), "gdb9.sdf.csv:3: got gdb_"),
    "last row missing": (1, lambda text: cut_line(text, 6), "gdb9.sdf.csv: got fewer rows"),
    "column missing": (1, lambda text: text.replace("u298,", "u300,", 1), "gdb9.sdf.csv:1: got no column u298"),
    "empty cell": (1, lambda text: text.replace(text.split("\n")[3].split(",")[5], "", 1), "gdb9.sdf.csv:4: got '' as alpha"),
    "molecule missing": (0, lambda text: text[: text.rindex("gdb_")], "gdb9.sdf: got 5 molecules"),
    "end missing": (0, lambda text: text[: text.rindex("$$$$")], "gdb9.sdf:[0-9]+: the last molecule has no end"),
    "other version": (0, lambda text: text.replace("V2000", "V3000", 1), "gdb9.sdf:4: got no line of counts with V2000"),
    "position": (0, lambda text: text[:70] + text[70:].replace(".", "x", 1), "gdb9.sdf:5: got .* as position"),
}


@pytest.mark.parametrize("fault", SDF_FAULTS)
def test_faults_of_sdf_name_file_and_line(fault, sdf):
    which, change, says = SDF_FAULTS[fault]
    sdf[which].write_text(change(sdf[which].read_text()))
    with pytest.raises(ValueError, match=says):
        qm9_formats.read_sdf(*sdf)


# --- qm9pack ----------------------------------------------------------------------------------------------------------------

HEAD = ["XYZ_file", "Index", "SMILES", "InChi", "N_atoms", "Stoichiometry", "Elements", "XYZ_Ang", "Mulliken_pop", "Harmonic_Freq_cmi"]


def as_qm9pack(some, part):
    """Every second line empty, lists as texts with `0.`, two molecules a part."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n\n", quoting=csv.QUOTE_MINIMAL)
    writer.writerow(HEAD + qm9_formats._COLUMNS)
    for index, symbols, x, y, smiles in list(parts(some))[2 * part - 2 : 2 * part]:
        places = "[" + ",".join("[" + ",".join(map(number, place)) + "]" for place in x) + "]"
        row = [f"dsgdb9nsd_{index:06d}.xyz", index, smiles, "InChI=1S", len(x), "[1]", str(symbols).replace(" ", ""), places, "[0.]", "[1.]"]
        writer.writerow(row + [number(value) for value in y])
    return buffer.getvalue()


def as_wheel(path, texts):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for part, text in enumerate(texts, 1):
            wheel.writestr(f"qm9pack/data/qm9_part{part}.csv", text)
    return path


@pytest.fixture
def tables(some):
    return [as_qm9pack(some, part) for part in (1, 2, 3)]


def test_qm9pack_from_wheel_and_folder(some, tables, tmp_path):
    same(qm9_formats.read_qm9pack(as_wheel(tmp_path / "qm9pack.whl", tables)), some)
    for part, text in enumerate(tables, 1):
        (tmp_path / f"qm9_part{part}.csv").write_text(text)
    read = qm9_formats.read_qm9pack(tmp_path)
    same(read, some)
    assert read.smiles == some.smiles


QM9PACK_FAULTS = {
    "column": (lambda text: text.replace("HOMO_au", "HOMO_eV", 1), "qm9_part2.csv:1: got no column HOMO_au"),
    "cut": (lambda text: text[: len(text) - 120], "qm9_part2.csv: molecule 2: got"),
    "element": (lambda text: text.replace("'H'", "'P'", 1), "qm9_part2.csv: molecule 1: got element P"),
    "coordinate": (lambda text: text.replace("]]", "],[0.1]]", 1), "qm9_part2.csv: molecule 1: got [0-9]+ coordinates, expected three"),
    "atoms": (lambda text: text.replace("'H',", "", 1), "qm9_part2.csv: molecule 1: got [0-9]+ elements and"),
}


@pytest.mark.parametrize("fault", QM9PACK_FAULTS)
def test_faults_of_qm9pack_name_file_and_molecule(fault, tables, tmp_path):
    change, says = QM9PACK_FAULTS[fault]
    tables[1] = change(tables[1])
    with pytest.raises(ValueError, match=says):
        qm9_formats.read_qm9pack(as_wheel(tmp_path / "qm9pack.whl", tables))


def test_truncated_wheel(tables, tmp_path):
    data = as_wheel(tmp_path / "qm9pack.whl", tables).read_bytes()
    (tmp_path / "qm9pack.whl").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="qm9pack.whl: truncated, or not the wheel"):
        qm9_formats.read_qm9pack(tmp_path / "qm9pack.whl")
    as_wheel(tmp_path / "qm9pack.whl", tables[:2])
    with pytest.raises(ValueError, match="qm9pack.whl: truncated, or not the wheel"):
        qm9_formats.read_qm9pack(tmp_path / "qm9pack.whl")
    with pytest.raises(FileNotFoundError, match="pip download qm9pack==1.0.3"):
        qm9_formats.read_qm9pack(tmp_path / "none.whl")


# --- The two lists ------------------------------------------------------------------------------------------------------------

EXCLUSIONS = """
List of molecules among the 133885 GDB9 molecules whose geometry failed the consistency check
=============================================================================================
#   Index      GDB17 SMILES      SMILES for B3LYP XYZ       D_IJ
=============================================================================================
      58        NC(=N)C#N        NC(=N)C#N           6.036217
      61        NC(=N)C=O        NC(=N)C=O           5.631463
=============================================================================================
3054 compounds
"""


def test_exclusions(tmp_path):
    path = tmp_path / "uncharacterized.txt"
    path.write_text(EXCLUSIONS.replace("3054 compounds\n", ""))
    assert qm9_formats.read_exclusions(path, expected=2) == {58, 61} == qm9_formats.read_exclusions(path, expected=None)
    with pytest.raises(ValueError, match="got 2 indices, expected 3054; is it truncated"):
        qm9_formats.read_exclusions(path)
    path.write_text(EXCLUSIONS.replace("NC(=N)C=O           5.631463", ""))
    with pytest.raises(ValueError, match="uncharacterized.txt:7: got 2 columns"):
        qm9_formats.read_exclusions(path, expected=None)
    path.write_text(EXCLUSIONS.replace(" 61 ", " 610000 "))
    with pytest.raises(ValueError, match="uncharacterized.txt:7: got index 610000"):
        qm9_formats.read_exclusions(path, expected=None)


ATOMS = """
=========================================================================================================
  Ele-    ZPVE         U (0 K)      U (298.15 K)    H (298.15 K)    G (298.15 K)     CV
  ment   Hartree       Hartree        Hartree         Hartree         Hartree        Cal/(Mol Kelvin)
=========================================================================================================
   H     0.000000     -0.500273      -0.498857       -0.497912       -0.510927       2.981
   C     0.000000    -37.846772     -37.845355      -37.844411      -37.861317       2.981
   N     0.000000    -54.583861     -54.582445      -54.581501      -54.598897       2.981
   O     0.000000    -75.064579     -75.063163      -75.062219      -75.079532       2.981
   F     0.000000    -99.718730     -99.717314      -99.716370      -99.733544       2.981
=========================================================================================================
"""


def test_atoms(tmp_path):
    path = tmp_path / "atomref.txt"
    path.write_text(ATOMS)
    assert qm9_formats.read_atoms(path) == molecules.ATOMS
    path.write_text(ATOMS[: ATOMS.index("   F ")])
    with pytest.raises(ValueError, match="atomref.txt: got elements"):
        qm9_formats.read_atoms(path)
    path.write_text(ATOMS.replace("      2.981\n   C", "\n   C"))
    with pytest.raises(ValueError, match="atomref.txt:6: got 6 columns"):
        qm9_formats.read_atoms(path)


def test_nothing_to_collect():
    with pytest.raises(ValueError, match="got no molecule"):
        qm9_records.collect([])


def test_checksum_is_one():
    assert len(qm9_formats.QM9PACK_SHA256) == len(hashlib.sha256(b"").hexdigest())
