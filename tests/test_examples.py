"""Every example runs, and the README shows the first one as it is, with what it printed."""

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_example_runs(path):
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if path.name == "first_session.py":
        shown = re.search(r"```text\n(two-layer.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
        assert shown is not None
        # Numbers are printed to three digits, which other processors round alike; verdicts and counts to the letter.
        assert _words(done.stdout) == _words(shown.group(1))


def test_readme_shows_the_example_itself():
    code = (
        (ROOT / "examples" / "first_session.py").read_text().split('"""\n', 1)[1].lstrip().replace("  # noqa: E402", "")
    )
    assert f"```python\n{code}```" in (ROOT / "README.md").read_text()


def _words(text: str) -> list[str]:
    return [word for word in text.split() if not any(c.isdigit() for c in word)]
