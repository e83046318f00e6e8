"""PixelMed's validator of SR: many files in one Java machine, in a quarter of a second each.

Its main program takes one file. For each a machine starts, 6 MB of XSLT are compiled, and then the list of context
groups is parsed anew for every code that is looked up in it, several hundred times: its resolver hands the list over
without a name, so that the XSLT processor does not see that it has it. Here the class itself is asked, and the same
list has a name. `python tests/support/pixelmed.py FILE...` prints what it says of each file, as JSON.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zipfile import ZipFile

NAME = "DicomSRValidator"
_PACKAGE = "com.pixelmed.validate"
_FOLDER = Path("/usr/share/java")
_JARS = [_FOLDER / f"{name}.jar" for name in ("pixelmed", "commons-codec", "vecmath", "slf4j-api", "javax.json")]
_LIMITS = ("xpathTotalOpLimit", "xpathExprOpLimit", "xpathExprGrpLimit")
_OPTIONS = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", *(f"-Djdk.xml.{one}=0" for one in _LIMITS))
_LIST = "DicomContextGroupsSource.xml"
_PATIENCE_S = 280


def missing() -> str:
    """Name what has to be installed first; nothing where all is there."""
    absent = [] if find_spec("jpype") else ["JPype1"]
    return ", ".join([*absent, *(jar.name for jar in _JARS if not jar.exists())])


def judge(paths: Sequence[Path]) -> dict[Path, list[str]]:
    """Return the lines that it says of each file; a file that it cannot read is an error like any other."""
    command = [sys.executable, __file__, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout.splitlines()[-1])
    return {path: said[str(path)] for path in paths}


def _validator() -> Any:
    """Return PixelMed's validator, its first pass with a resolver that names the list by what it is asked for."""
    import jpype

    jpype.startJVM(*_OPTIONS, classpath=[str(jar) for jar in _JARS], convertStrings=True)
    content = ZipFile(_JARS[0]).read(f"{_PACKAGE.replace('.', '/')}/{_LIST}").decode()
    stream, reader = jpype.JClass("javax.xml.transform.stream.StreamSource"), jpype.JClass("java.io.StringReader")

    @jpype.JImplements("javax.xml.transform.URIResolver")
    class Named:
        @jpype.JOverride
        def resolve(self, href: str, _base: str) -> Any:
            assert str(href) == _LIST
            return stream(reader(content), href)

    class_ = jpype.JClass(f"{_PACKAGE}.{NAME}")
    validator = class_()
    first_pass = class_.class_.getDeclaredField("transformerPass1")
    first_pass.setAccessible(True)
    first_pass.get(validator).setURIResolver(Named())
    return validator


def main() -> None:
    """Judge the files that are named."""
    from jpype import JException

    validator, said = _validator(), {}
    for path in sys.argv[1:]:
        try:
            said[path] = validator.validate(path).splitlines()
        except JException as error:
            said[path] = [f"Error: {error}"]
    sys.stdout.write("\n" + json.dumps(said) + "\n")


if __name__ == "__main__":
    main()
