from pathlib import Path

import pytest

from node.core.records import ClinicalFacts, Indication, RasStatus
from node.form import COLUMNS, Form, WrongForm, empty_csv, empty_toml, load, read
from node.identity import Identity

PATIENT = "PAT-4711"  # what must never be told


def written(folder: Path, text: str, name: str = "form.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def whose(patient_id: str, issuer: str = "") -> Identity:
    return Identity(patient_id, issuer, "", "")


def test_a_csv_says_what_is_in_its_cells(tmp_path: Path) -> None:
    """Columns in any order; an empty cell is unknown, zero is zero and no is no; comments and blank lines are none."""
    text = (
        "# made by hand\r\n"
        "cea_ng_ml,patient_id,height_m,node_positive_primary,disease_free_interval_months,ras,extrahepatic_disease\r\n"
        "\r\n"
        f"12.5, {PATIENT} ,1.72,Yes,0,KRAS-mutant,no\r\n"
        "  # a remark, with a comma\r\n"
        "0,0042,,,,,\r\n"
        ",0043,,,,,\r\n"
    )
    form = load(written(tmp_path, "\ufeff" + text))
    first, second, third = form.entries
    assert first.clinical == ClinicalFacts(True, 0.0, 12.5, RasStatus.KRAS_MUTANT, extrahepatic_disease=False)
    assert (first.line, first.height_m) == (4, 1.72)
    assert (second.line, second.height_m, second.clinical) == (6, None, ClinicalFacts(cea_ng_ml=0.0))
    assert (third.height_m, third.clinical) == (None, None)
    assert form.of(whose(PATIENT.lower())) is first
    assert form.of(whose("42")) is None
    assert PATIENT.lower() not in repr(form)


def test_a_toml_says_the_same(tmp_path: Path) -> None:
    """Numbers and truth values of TOML, or words as in a CSV."""
    text = (
        f'[[patient]]\npatient_id = "{PATIENT}"\nheight_m = 1.72\nnode_positive_primary = true\ncea_ng_ml = 12\n'
        'ras = "wild-type"\nextrahepatic_disease = "no"\n\n[[ patient ]]\npatient_id = "0042"\nras = ""\n'
    )
    form = load(written(tmp_path, text, "form.toml"))
    first, second = form.entries
    assert first.clinical == ClinicalFacts(True, None, 12.0, RasStatus.WILD_TYPE, extrahepatic_disease=False)
    assert (first.line, first.height_m) == (1, 1.72)
    assert (second.line, second.clinical) == (9, None)


FAULTS = {
    "an unknown column": ("patient_id,heigth_m\nA,1.7\n", "line 1, column 2: is not of this form: is height_m meant?"),
    "a column like none": ("patient_id,colour\nA,red\n", "line 1, column 2: is not of this form"),
    "a column twice": ("patient_id,ras,ras\nA,,\n", "line 1, column 3: has a name that stands there already"),
    "no header": (f"{PATIENT},1.72\n", "line 1, column 1: is not of this form"),
    "no patient ID": ("patient_id,ras\n,mutant\n", "line 2, patient_id: is missing"),
    "a decimal comma": ('patient_id,cea_ng_ml\nA,"12,5"\n', "line 2, cea_ng_ml: is no number"),
    "a unit": ("patient_id,cea_ng_ml\nA,12 ng\n", "line 2, cea_ng_ml: is no number"),
    "a bound": ("patient_id,cea_ng_ml\nA,<2\n", "line 2, cea_ng_ml: is no number"),
    "less than nothing": (
        "patient_id,disease_free_interval_months\nA,-1\n",
        "line 2, disease_free_interval_months: is",
    ),
    "too many digits": (f"patient_id,cea_ng_ml\nA,{'9' * 400}\n", "line 2, cea_ng_ml: is no number"),
    "perhaps": (
        "patient_id,node_positive_primary\nA,perhaps\n",
        "line 2, node_positive_primary: is neither yes nor no",
    ),
    "one and zero": ("patient_id,extrahepatic_disease\nA,0\n", "line 2, extrahepatic_disease: is neither yes nor no"),
    "a gene of its own": ("patient_id,ras\nA,braf\n", "line 2, ras: is none of wild-type, mutant, kras-mutant"),
    "a cell too few": ("patient_id,height_m,ras\nA,1.7\n", "line 2: has 2 cells below a header of 3"),
    "a cell too many": ("patient_id,height_m\nA,1.7,x\n", "line 2: has 3 cells below a header of 2"),
    "a patient twice": ("patient_id\nA\nB\n a \n", "line 4, patient_id: stands in line 2 already"),
    "a patient of any issuer": ("patient_id,issuer\nA,X\nA,\n", "line 3, patient_id: stands in line 2 already"),
    "open quotes": ('patient_id,ras\nA,"mutant\n', "is no CSV: its quotes do not match"),
    "nothing": ("# only this\n", "has no header"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_a_csv_is_named_by_line_and_column(name: str, tmp_path: Path) -> None:
    """In one sentence, without a word of what stands there; the whole form is refused."""
    text, sentence = FAULTS[name]
    path = written(tmp_path, text.replace("\nA,", f"\n{PATIENT},"))
    assert any(str(one).removeprefix("line 2: " if name == "open quotes" else "").startswith(sentence)
               for one in read(path).faults)  # fmt: skip
    with pytest.raises(WrongForm) as refused:
        load(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert PATIENT not in str(refused.value)
    assert "\n" not in str(refused.value)


TOML_FAULTS = {
    "an unknown key": ('[[patient]]\npatient_id = "A"\ncea = 3', "line 1, key 2: is not of this form"),
    "an ID as a number": ("[[patient]]\npatient_id = 42", "line 1, patient_id: is no text: write it in quotes"),
    "a truth for a number": ('[[patient]]\npatient_id = "A"\ncea_ng_ml = true', "line 1, cea_ng_ml: is no number"),
    "not a number": ('[[patient]]\npatient_id = "A"\ncea_ng_ml = nan', "line 1, cea_ng_ml: is no number"),
    "one for yes": (
        '[[patient]]\npatient_id = "A"\nextrahepatic_disease = 1',
        "line 1, extrahepatic_disease: is neith",
    ),
    "no patient ID": ("\n[[patient]]\ncea_ng_ml = 1", "line 2, patient_id: is missing"),
    "a patient twice": (
        '[[patient]]\npatient_id = "A"\n[[patient]]\npatient_id = "A"',
        "line 3, patient_id: stands in",
    ),
    "no TOML": ("[[patient]]\npatient_id = A", "is not TOML at line 2, column 14"),
    "an ID as a table": (f"[{PATIENT}]\n[{PATIENT}]", "is not TOML at line 2, column"),
    "something else": (f"[{PATIENT}]\nx = 1", "holds something beside tables [[patient]]"),
    "patients in a line": ('patient = [{patient_id = "A"}]', "has patients that are not written as tables [[patient]]"),
    "one patient": ('[patient]\npatient_id = "A"', "has patients that are not written as tables [[patient]]"),
}


@pytest.mark.parametrize("name", TOML_FAULTS)
def test_a_fault_of_a_toml_is_named_by_the_line_of_its_table(name: str, tmp_path: Path) -> None:
    """As in a CSV; tomllib's own words, which quote what stands there, are not told."""
    text, sentence = TOML_FAULTS[name]
    with pytest.raises(WrongForm) as refused:
        load(written(tmp_path, text.replace('"A"', f'"{PATIENT}"'), "form.toml"))
    assert sentence in str(refused.value)
    assert PATIENT not in str(refused.value)


def test_many_faults_are_counted(tmp_path: Path) -> None:
    """The first three are told, in the order of their lines, and how many more there are."""
    path = written(tmp_path, "patient_id,ras\n" + "".join(f"P{number},x\n" for number in range(5)))
    with pytest.raises(WrongForm, match=r"line 2, ras: .*; line 3, ras: .*; line 4, ras: [^;]*; and 2 more$"):
        load(path)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("gone.csv", None, "No such file"),
        ("form.xlsx", b"x", "its name ends with neither .csv nor .toml"),
        ("form.csv", b"patient_id\n\xe4\n", "is not UTF-8"),
    ],
)
def test_a_file_that_is_no_form_is_told(name: str, content: bytes | None, sentence: str, tmp_path: Path) -> None:
    """Missing, of another kind, or in another encoding."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(WrongForm, match=f"{name}: {sentence}"):
        load(tmp_path / name)


def test_issuers_tell_patients_of_one_id_apart(tmp_path: Path) -> None:
    """Each finds its own; without an issuer nobody knows which of two is meant, and neither is taken."""
    form = load(written(tmp_path, "patient_id,issuer,height_m\nA,X,1.6\nA,Y,1.7\nB,X,1.8\n"))

    def height(*identity: str) -> float | None:
        entry = form.of(whose(*identity))
        return entry.height_m if entry else None

    assert (height("a", "x"), height("a", "y"), height("a", "z"), height("a")) == (1.6, 1.7, None, None)
    assert (height("b", "x"), height("b"), height("b", "y"), height("")) == (1.8, 1.8, None, None)


@pytest.mark.parametrize(("text", "name"), [(empty_csv(), "form.csv"), (empty_toml(), "form.toml")])
def test_an_empty_form_is_a_form_and_names_every_column(text: str, name: str, tmp_path: Path) -> None:
    """What `facts template` prints can be used as it is, and filled in."""
    assert load(written(tmp_path, text, name)) == Form(())
    assert all(column in text for column in COLUMNS)
    filled = {
        "form.csv": text + f"{PATIENT},,1.7{',' * (len(COLUMNS) - 3)}\n",
        "form.toml": text.replace("# [[", "[[")
        .replace("# patient_id =", f'patient_id = "{PATIENT}"')
        .replace("# height_m =", "height_m = 1.7"),
    }
    [entry] = load(written(tmp_path, filled[name], name)).entries
    assert entry.height_m == 1.7


def test_the_form_of_the_docs_is_a_form(tmp_path: Path) -> None:
    """What docs/patient-facts.md shows can be copied, and its table names every column."""
    page = (Path(__file__).parents[3] / "docs" / "patient-facts.md").read_text(encoding="utf-8")
    first, second = load(written(tmp_path, page.split("```csv\n")[1].split("```")[0])).entries
    known = ClinicalFacts(True, 0.0, 12.5, RasStatus.KRAS_MUTANT, False, True, Indication.RESECTION)
    assert first.clinical == known
    assert second.clinical == ClinicalFacts(disease_free_interval_months=24.0)
    assert all(f"| `{name}` |" in page for name in COLUMNS)
