"""Every page and the browser view of a digest, as html-validate sees them.

`make html` installs html-validate, which needs npm, and runs this.
"""

import json
import shutil
import subprocess

import pytest

from tests.conftest import ROOT
from tests.site.conftest import body

INSTALLED = ROOT / ".venv" / "html" / "node_modules" / ".bin" / "html-validate"
HTML_VALIDATE = str(INSTALLED) if INSTALLED.exists() else shutil.which("html-validate")
RULES = {
    "extends": ["html-validate:standard"],
    "elements": ["html5"],
    # Titles of papers may be long.
    "rules": {"long-title": "off"},
}
# Attributes of layout tables, which mail clients need.
RULE_OF_PAGES = "no-deprecated-attr"


@pytest.mark.skipif(not HTML_VALIDATE, reason="needs html-validate: run make html")
def test_html_validate_has_no_finding(client, every_page, tmp_path):
    (tmp_path / ".htmlvalidate.json").write_text(json.dumps({"root": True} | RULES))
    is_mail = []
    for number, path in enumerate(every_page):
        page = body(client.get(path))
        assert "<!doctype html>" in page.lower(), path
        (tmp_path / f"{number:02}.html").write_text(page)
        is_mail.append('role="presentation"' in page)

    process = subprocess.run(
        [HTML_VALIDATE, "--formatter", "json", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )

    findings = [
        (every_page[int(row["filePath"][-7:-5])], m["ruleId"], m["line"], m["message"])
        for row in json.loads(process.stdout)
        for m in row["messages"]
        if m["ruleId"] != RULE_OF_PAGES or not is_mail[int(row["filePath"][-7:-5])]
    ]
    assert findings == [], "\n".join(map(str, findings))
